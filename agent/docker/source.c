/*
 * The pin decides which version apt takes as its candidate, and holds that choice against everybody
 * who runs apt later; the hold (steps_set.c) keeps what is installed. A pattern is written twice, with
 * and without an epoch, because docker-ce has one and docker.io has none.
 */
#include "agent/docker/source.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/docker/site.h"
#include "agent/system/command.h"
#include "agent/system/file.h"
#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"

#define FILE_MAXIMUM (64 * 1024)
#define CHECK_DEADLINE_MS (5 * 60 * 1000) /* some hundred MiB are read */
#define PIN_PRIORITY 1001 /* also over a newer version that is installed */
#define HEAD "# Written by phoenix-agent from the fleet file; changes are lost.\n"

/* --- versions ---------------------------------------------------------------------------------------- */

bool source_is_pinned(const struct docker_wanted *wanted)
{
	return !text_empty(wanted->version) && strcmp(wanted->version, "any") != 0;
}

bool source_version_matches(const struct docker_wanted *wanted, const char *version)
{
	const char *colon = strchr(version, ':');

	if (!source_is_pinned(wanted))
		return true;
	return fnmatch(wanted->version, version, 0) == 0 ||
	       (colon && fnmatch(wanted->version, colon + 1, 0) == 0);
}

char *source_pin_text(const struct docker_wanted *wanted, const char *package)
{
	/* The client of docker-ce and of Debian 13 have the daemon's version. */
	const char *client = strcmp(package, "docker-ce") == 0 ? "docker-ce-cli" : "docker-cli";

	if (!source_is_pinned(wanted))
		return ph_strdup("");
	return ph_format(HEAD "Package: %s %s\nPin: version %s\nPin-Priority: %d\n\n"
			      "Package: %s %s\nPin: version *:%s\nPin-Priority: %d\n",
			 package, client, wanted->version, PIN_PRIORITY, package, client,
			 wanted->version, PIN_PRIORITY);
}

/* --- docker-ce's repository ---------------------------------------------------------------------------- */

static bool is_docker_ce(const struct docker_wanted *wanted)
{
	return strcmp(wanted->source, "docker-ce") == 0;
}

char *source_list_text(const struct docker_wanted *wanted, const struct os_release *os)
{
	const struct docker_repository *repository = &wanted->repository;
	PH_AUTO_FREE char *own = ph_format("https://download.docker.com/linux/%s", os->id);

	if (!is_docker_ce(wanted))
		return ph_strdup("");
	return ph_format(HEAD "Types: deb\nURIs: %s\nSuites: %s\nComponents: %s\n"
			      "Signed-By: " SITE_CE_KEY "\n",
			 text_empty(repository->uri) ? own : repository->uri,
			 text_empty(repository->suite) ? os->codename : repository->suite,
			 text_empty(repository->components) ? "stable" : repository->components);
}

/* --- the files ------------------------------------------------------------------------------------------- */

struct part {
	const char *path;
	const char *what; /* for a person */
	char *text;       /* owned; "": the file is not to be there */
};

#define PARTS 3

static void parts_fill(struct part parts[PARTS], const struct docker_wanted *wanted,
		       const struct recipe *recipe, const struct os_release *os)
{
	const char *key = wanted->repository.key;
	const char *package = recipe_packages(recipe, wanted->source)[0];

	parts[0] = (struct part){ SITE_CE_KEY, "the key of docker-ce's repository",
				  ph_strdup(is_docker_ce(wanted) && key ? key : "") };
	parts[1] = (struct part){ SITE_CE_LIST, "docker-ce's repository",
				  source_list_text(wanted, os) };
	parts[2] = (struct part){ SITE_PIN, "the pin of Docker's version",
				  source_pin_text(wanted, package) };
}

static void parts_fini(struct part parts[PARTS])
{
	for (size_t i = 0; i < PARTS; i++)
		free(parts[i].text);
}

static bool part_matches(const struct docker_wanted *wanted, const struct part *part)
{
	PH_AUTO_FREE char *path = site_path(wanted, part->path);
	PH_AUTO_FREE char *text = NULL;
	int result = file_read(path, FILE_MAXIMUM, &text, NULL, NULL);

	if (!part->text[0])
		return result == -ENOENT;
	return result == 0 && strcmp(text, part->text) == 0;
}

void source_observe(const struct docker_wanted *wanted, const struct recipe *recipe,
		    const struct os_release *os, char *ret_reason, size_t size)
{
	struct part parts[PARTS];

	ret_reason[0] = '\0';
	parts_fill(parts, wanted, recipe, os);
	for (size_t i = 0; i < PARTS && !ret_reason[0]; i++)
		if (!part_matches(wanted, &parts[i]))
			snprintf(ret_reason, size, "%s is %s (%s)", parts[i].what,
				 parts[i].text[0] ? "not as wanted" : "not wanted any more",
				 parts[i].path);
	parts_fini(parts);
}

static int part_place(const struct docker_wanted *wanted, const struct part *part,
		      struct ph_error *error)
{
	PH_AUTO_FREE char *path = site_path(wanted, part->path);
	PH_AUTO_FREE char *directory = ph_strndup(path, (size_t)(strrchr(path, '/') - path));
	int result;

	if (part_matches(wanted, part))
		return 0;
	if (!part->text[0])
		return file_remove(path, error) < 0 ? -EIO : 0;
	result = directory_make(directory, 0755, error);
	return result < 0 ? result : file_write(path, part->text, strlen(part->text), NULL, error);
}

int source_place(const struct docker_wanted *wanted, const struct recipe *recipe,
		 const struct os_release *os, struct ph_error *error)
{
	struct part parts[PARTS];
	int result = 0;

	if (is_docker_ce(wanted) && text_empty(wanted->repository.key))
		return error_set(error, -EINVAL, "docker.repository.key",
				 "write docker.repository: {key: FILE} in the fleet file",
				 "the key of docker-ce's repository is missing");
	parts_fill(parts, wanted, recipe, os);
	/* The key comes before the source that names it. */
	for (size_t i = 0; i < PARTS && result == 0; i++)
		result = part_place(wanted, &parts[i], error);
	parts_fini(parts);
	return result;
}

/* --- bundles ---------------------------------------------------------------------------------------------- */

/* The first file that sha256sum complains about, from "./x.deb: FAILED". */
static char *failed_file(const struct command_result *ended)
{
	const char *end = strstr(ended->output, ": FAILED");
	const char *begin = end;

	if (!end)
		return ph_strdup("SHA256SUMS");
	while (begin > ended->output && begin[-1] != '\n')
		begin--;
	return ph_strndup(begin, (size_t)(end - begin));
}

static int bundle_check(const struct docker_wanted *wanted, struct ph_error *error)
{
	PH_AUTO_FREE char *sums = ph_format("%s/SHA256SUMS", wanted->bundle);
	const char *const argv[] = { "env",         "-C",       wanted->bundle, "sha256sum", "--check",
				     "--quiet",     "--strict", "SHA256SUMS",   NULL };
	const struct command command = { .argv = argv,
					 .path = wanted->path,
					 .deadline_ms = CHECK_DEADLINE_MS };
	PH_AUTO_COMMAND_RESULT struct command_result ended = { 0 };
	PH_AUTO_FREE char *file = NULL;
	struct stat status;
	int result;

	if (stat(sums, &status) < 0)
		return error_errno(error, -errno, sums,
				   "import it with 'phoenixctl bundle import'; a container that was "
				   "started before the first bundle has to be started again",
				   "find the bundle in the container");
	result = command_run(&command, &ended, error);
	if (result < 0 || ended.exit_code == 0)
		return result;
	file = failed_file(&ended);
	return error_set(error, -EBADMSG, wanted->bundle,
			 "remove the bundle and import it again", "the bundle is damaged: %s", file);
}

int source_bundle_prepare(const struct docker_wanted *wanted, struct ph_error *error)
{
	PH_AUTO_FREE char *list = site_path(wanted, SITE_BUNDLE_LIST);
	PH_AUTO_FREE char *lists = site_path(wanted, SITE_BUNDLE_LISTS "/partial");
	PH_AUTO_FREE char *text = NULL;
	int result;

	if (text_empty(wanted->bundle))
		return error_set(error, -EINVAL, "docker.bundle", "name it in the fleet file",
				 "the source is a bundle, and none is named");
	result = bundle_check(wanted, error);
	if (result == 0)
		result = directory_make(lists, 0755, error);
	if (result < 0)
		return result;
	/* Trusted: its hashes have just been checked against those that came with the import. */
	text = ph_format("deb [trusted=yes] file:%s ./\n", wanted->bundle);
	return file_write(list, text, strlen(text), NULL, error);
}
