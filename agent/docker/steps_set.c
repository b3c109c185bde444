/*
 * The chapters about what belongs to Docker's packages: where they come from, the hold that keeps the
 * set together, and who may use it. The hold is one selection for all of them, so a kill leaves all
 * held or none; what we held is recorded before, so that it can be released, and nothing else is.
 */
#include "agent/docker/steps.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/docker/recipe.h"
#include "agent/docker/site.h"
#include "agent/docker/source.h"
#include "agent/system/command.h"
#include "agent/system/file.h"
#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"

#define RECORD_MAXIMUM 4096
#define USERMOD_DEADLINE_MS 30000

int step_sources(void *subject, struct ph_error *error)
{
	struct install *install = subject;
	const char *list[DOCKER_PACKAGES_MAXIMUM + 1];
	bool installs = install_missing(install, list) > 0;
	bool bundle = strcmp(install->wanted.source, "bundle") == 0;
	int result;

	if (!install_needs(install, PLAN_SOURCE) && !(bundle && installs))
		return FLOW_UNCHANGED;
	result = source_place(&install->wanted, install->facts.recipe, &install->facts.os, error);
	if (result == 0 && bundle && installs) {
		install_say(install, "checking the bundle's hashes");
		result = source_bundle_prepare(&install->wanted, error);
	}
	return result < 0 ? result : FLOW_NEXT;
}

/* --- hold ------------------------------------------------------------------------------------------ */

static int record_write(const struct install *install, const char *const *list,
			struct ph_error *error)
{
	PH_AUTO_FREE char *directory = site_path(&install->wanted, SITE_STATE);
	PH_AUTO_FREE char *path = site_path(&install->wanted, SITE_HELD);
	PH_AUTO_STR struct str text = STR_INIT;
	int result = directory_make(directory, 0755, error);

	for (; *list; list++)
		str_appendf(&text, "%s\n", *list);
	return result < 0 ? result : file_write(path, str_text(&text), text.length, NULL, error);
}

static int hold(struct install *install, struct ph_error *error)
{
	const struct docker_facts *facts = &install->facts;
	const char *list[DOCKER_PACKAGES_MAXIMUM + 1] = { NULL };
	size_t count = 0;
	int result;

	for (size_t i = 0; i < facts->package_count; i++)
		if (dpkg_package_is_installed(&facts->packages[i]) &&
		    recipe_is_of_the_set(facts->packages[i].name))
			list[count++] = facts->packages[i].name;
	result = record_write(install, list, error);
	return result < 0 ? result : apt_mark(&install->apt, "hold", list, error);
}

/* Only what the record names, and only packages of the set: the file lies in the container. */
static int release(struct install *install, struct ph_error *error)
{
	PH_AUTO_FREE char *path = site_path(&install->wanted, SITE_HELD);
	PH_AUTO_FREE char *text = NULL;
	const char *list[DOCKER_PACKAGES_MAXIMUM + 1] = { NULL };
	size_t count = 0;
	char *rest = NULL;
	int result = file_read(path, RECORD_MAXIMUM, &text, NULL, error);

	if (result < 0)
		return result;
	for (char *name = strtok_r(text, "\n", &rest); name && count < DOCKER_PACKAGES_MAXIMUM;
	     name = strtok_r(NULL, "\n", &rest))
		if (recipe_is_of_the_set(name))
			list[count++] = name;
	if (count > 0)
		result = apt_mark(&install->apt, "unhold", list, error);
	if (result == 0 && file_remove(path, error) < 0)
		result = -EIO;
	return result;
}

/* --- users ----------------------------------------------------------------------------------------- */

static int user_add(const struct install *install, const char *user, struct ph_error *error)
{
	const char *const argv[] = { "usermod", "--append", "--groups", "docker", user, NULL };
	const struct command command = { .argv = argv,
					 .path = install->wanted.path,
					 .deadline_ms = USERMOD_DEADLINE_MS };
	int result = command_succeed(&command, NULL, error);

	if (result < 0)
		error_prefix(error, "add %s to the group docker", user);
	return result;
}

static int users_add(struct install *install, struct ph_error *error)
{
	PH_AUTO_FREE char *names = ph_strdup(install->facts.users_missing);
	char *rest = NULL;
	int result = 0;

	for (char *user = strtok_r(names, ", ", &rest); user && result == 0;
	     user = strtok_r(NULL, ", ", &rest))
		result = user_add(install, user, error);
	return result;
}

int step_hold(void *subject, struct ph_error *error)
{
	struct install *install = subject;
	bool holds = install_needs(install, PLAN_HOLD);
	bool users = install_needs(install, PLAN_USERS);
	int result = 0;

	if (!holds && !users)
		return FLOW_UNCHANGED;
	if (holds)
		result = install->wanted.hold ? hold(install, error) : release(install, error);
	if (result == 0 && users)
		result = users_add(install, error);
	return result < 0 ? result : FLOW_NEXT;
}
