/* One rule per kind of action, in the order in which they are carried out. */
#include "agent/docker/plan.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/docker/docker.h"
#include "agent/docker/recipe.h"
#include "agent/docker/source.h"
#include "common/cleanup.h"
#include "common/str.h"

#define SPACE_LEAST_MIB 100 /* for configuring, and for what dpkg itself writes */

static const char *const kind_names[] = {
	[PLAN_HEAL] = "heal packages",
	[PLAN_SOURCE] = "write apt's sources",
	[PLAN_INSTALL] = "install packages",
	[PLAN_HOLD] = "hold packages",
	[PLAN_USERS] = "add users to docker",
	[PLAN_CONFIGURE] = "merge daemon.json",
	[PLAN_MOUNT_CGROUPS] = "mount cgroups",
	[PLAN_REMOVE_GUARD] = "remove policy-rc.d",
	[PLAN_RESTART] = "restart dockerd",
	[PLAN_START] = "start dockerd",
	[PLAN_AWAIT] = "wait for dockerd",
};

const char *plan_kind_name(enum plan_kind kind)
{
	return (size_t)kind < ARRAY_LENGTH(kind_names) ? kind_names[kind] : "?";
}

const struct plan_action *docker_plan_find(const struct docker_plan *plan, enum plan_kind kind)
{
	for (size_t i = 0; i < plan->count; i++)
		if (plan->actions[i].kind == kind)
			return &plan->actions[i];
	return NULL;
}

const struct dpkg_package *docker_facts_package(const struct docker_facts *facts, const char *name)
{
	return dpkg_package_find(facts->packages, facts->package_count, name);
}

__attribute__((format(printf, 3, 4))) static void action_add(struct docker_plan *plan,
							     enum plan_kind kind,
							     const char *reason, ...)
{
	struct plan_action *action = &plan->actions[plan->count];
	va_list arguments;

	if (plan->count >= PLAN_ACTIONS_MAXIMUM)
		return;
	plan->count++;
	action->kind = kind;
	va_start(arguments, reason);
	vsnprintf(action->reason, sizeof(action->reason), reason, arguments);
	va_end(arguments);
}

static int foreign_check(const struct docker_facts *facts, const struct docker_wanted *wanted,
			 struct ph_error *error)
{
	for (const char *const *name = recipe_foreign_packages(wanted->source); *name; name++) {
		const struct dpkg_package *package = docker_facts_package(facts, *name);

		if (package && dpkg_package_is_installed(package))
			return error_set(
				error, -EEXIST, *name,
				"remove those packages yourself, or keep them and write "
				"docker.source: none in the fleet file",
				"Docker is installed here from another source (%s %s), which the "
				"packages of the source %s would replace",
				*name, package->version, wanted->source);
	}
	return 0;
}

static int may_be_tried(const struct docker_facts *facts, const struct docker_wanted *wanted,
			struct ph_error *error)
{
	int result;

	if (!facts->recipe)
		return recipe_unsupported(&facts->os, error);
	result = foreign_check(facts, wanted, error);
	if (result < 0)
		return result;
	if (facts->config_refusal.code < 0) {
		if (error)
			*error = facts->config_refusal;
		return facts->config_refusal.code;
	}
	if (facts->users_unknown[0])
		return error_set(error, -ENOENT, "/etc/passwd",
				 "make them in the image (adduser), or correct docker.users in the "
				 "fleet file",
				 "no such users here: %s", facts->users_unknown);
	/* One that is to be replaced is of no interest. */
	if (facts->wanted_count && facts->packages[0].version[0] &&
	    source_version_matches(wanted, facts->packages[0].version))
		return recipe_version_check(facts->packages[0].version, wanted->storage_driver,
					    error);
	return 0;
}

static void heal_plan(const struct docker_facts *facts, struct docker_plan *plan)
{
	if (facts->broken.count > 0)
		action_add(plan, PLAN_HEAL, "dpkg has left %zu package%s half-way, the first is %s",
			   facts->broken.count, facts->broken.count == 1 ? "" : "s",
			   facts->broken.names[0]);
	else if (facts->dpkg_interrupted)
		action_add(plan, PLAN_HEAL, "dpkg was interrupted");
}

/* The daemon, and its client where that is a package of its own, have the version that is wanted. */
static bool is_of_wanted_version(const struct dpkg_package *package, size_t index,
				 const struct docker_wanted *wanted)
{
	bool is_client = strcmp(package->name, "docker-cli") == 0 ||
			 strcmp(package->name, "docker-ce-cli") == 0;

	return (index != 0 && !is_client) || source_version_matches(wanted, package->version);
}

size_t docker_plan_packages(const struct docker_facts *facts, const struct docker_wanted *wanted,
			    const char **list)
{
	size_t count = 0;

	for (size_t i = 0; i < facts->wanted_count; i++)
		if (!dpkg_package_is_installed(&facts->packages[i]) ||
		    !is_of_wanted_version(&facts->packages[i], i, wanted))
			list[count++] = facts->packages[i].name;
	list[count] = NULL;
	return count;
}

/* Another version of an unpacked package is unpacked beside it, so only the wanted one counts. */
static bool is_unpacked_as_wanted(const struct docker_facts *facts,
				  const struct docker_wanted *wanted, size_t index)
{
	return dpkg_package_is_unpacked(&facts->packages[index]) &&
	       is_of_wanted_version(&facts->packages[index], index, wanted);
}

uint32_t docker_plan_space(const struct docker_facts *facts, const struct docker_wanted *wanted)
{
	uint64_t unpacked_kib = 0;
	bool is_all = true;
	uint32_t left;

	for (size_t i = 0; i < facts->package_count; i++)
		if (is_unpacked_as_wanted(facts, wanted, i))
			unpacked_kib += facts->packages[i].size_kib;
		else if (i < facts->wanted_count)
			is_all = false;
	if (is_all || unpacked_kib / 1024 >= facts->recipe->space_mib)
		return SPACE_LEAST_MIB;
	left = facts->recipe->space_mib - (uint32_t)(unpacked_kib / 1024);
	return left > SPACE_LEAST_MIB ? left : SPACE_LEAST_MIB;
}

static void install_plan(const struct docker_facts *facts, const struct docker_wanted *wanted,
			 struct docker_plan *plan)
{
	PH_AUTO_STR struct str missing = STR_INIT, other = STR_INIT;

	for (size_t i = 0; i < facts->wanted_count; i++) {
		const struct dpkg_package *package = &facts->packages[i];

		if (!dpkg_package_is_installed(package))
			str_appendf(&missing, "%s%s", missing.length ? ", " : "", package->name);
		else if (!is_of_wanted_version(package, i, wanted))
			str_appendf(&other, "%s%s %s is not %s", other.length ? ", " : "",
				    package->name, package->version, wanted->version);
	}
	if (missing.length > 0)
		action_add(plan, PLAN_INSTALL, "not installed: %s%s%s", str_text(&missing),
			   other.length ? "; " : "", str_text(&other));
	else if (other.length > 0)
		action_add(plan, PLAN_INSTALL, "%s", str_text(&other));
}

/* What is going to be installed will have to be held as well. */
static void hold_plan(const struct docker_facts *facts, const struct docker_wanted *wanted,
		      struct docker_plan *plan)
{
	PH_AUTO_STR struct str loose = STR_INIT;

	for (size_t i = 0; i < facts->package_count; i++) {
		const struct dpkg_package *package = &facts->packages[i];
		bool counts = i < facts->wanted_count || package->version[0];

		if (counts && recipe_is_of_the_set(package->name) && package->state[0] != 'h')
			str_appendf(&loose, "%s%s", loose.length ? ", " : "", package->name);
	}
	if (wanted->hold && loose.length > 0)
		action_add(plan, PLAN_HOLD, "not held: %s", str_text(&loose));
	else if (!wanted->hold && facts->held_by_us)
		action_add(plan, PLAN_HOLD, "held, which is not wanted any more");
}

/* A running dockerd has to be told of a change; one that does not run reads everything anyway. */
static void service_plan(const struct docker_facts *facts, const char *driver,
			 struct docker_plan *plan)
{
	if (!facts->service_active)
		action_add(plan, PLAN_START, "dockerd does not run");
	else if (docker_plan_find(plan, PLAN_CONFIGURE))
		action_add(plan, PLAN_RESTART, "daemon.json will have changed");
	else if (facts->restart_pending)
		action_add(plan, PLAN_RESTART, "it was changed under the running dockerd");
	else if (!facts->responding)
		action_add(plan, PLAN_AWAIT, "dockerd runs but does not answer");
	else if (strcmp(facts->driver, driver) != 0)
		action_add(plan, PLAN_RESTART,
			   "dockerd uses %s (what it holds there will not be seen under %s)",
			   facts->driver, driver);
}

int docker_plan(const struct docker_facts *facts, const struct docker_wanted *wanted,
		struct docker_plan *ret_plan, struct ph_error *error)
{
	struct docker_plan plan = { 0 };
	int result = may_be_tried(facts, wanted, error);

	if (result < 0)
		return result;
	heal_plan(facts, &plan);
	if (facts->source_reason[0])
		action_add(&plan, PLAN_SOURCE, "%s", facts->source_reason);
	install_plan(facts, wanted, &plan);
	hold_plan(facts, wanted, &plan);
	if (facts->users_missing[0])
		action_add(&plan, PLAN_USERS, "not in the group: %s", facts->users_missing);
	if (!facts->config_matches)
		action_add(
			&plan, PLAN_CONFIGURE,
			facts->config_present ?
				"daemon.json does not say what is needed (storage driver, features, fragment)" :
				"there is no daemon.json");
	if (!facts->cgroups_mounted)
		action_add(&plan, PLAN_MOUNT_CGROUPS, "nobody has mounted cgroups");
	if (facts->guard_present)
		action_add(&plan, PLAN_REMOVE_GUARD, "an interrupted install has left it behind");
	service_plan(facts, wanted->storage_driver, &plan);
	*ret_plan = plan;
	return 0;
}
