/* One rule per kind of action, in the order in which they are carried out. */
#include "agent/docker/plan.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/docker/recipe.h"
#include "common/cleanup.h"
#include "common/str.h"

static const char *const kind_names[] = {
	[PLAN_HEAL] = "heal packages",
	[PLAN_INSTALL] = "install packages",
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

static int foreign_check(const struct docker_facts *facts, struct ph_error *error)
{
	for (const char *const *name = recipe_foreign_packages(); *name; name++) {
		const struct dpkg_package *package = docker_facts_package(facts, *name);

		if (package && dpkg_package_is_installed(package))
			return error_set(
				error, -EEXIST, *name,
				"remove those packages yourself, or keep them and write "
				"docker.source: none in the fleet file",
				"Docker is installed here from another source (%s %s), which the "
				"distribution's packages would replace",
				*name, package->version);
	}
	return 0;
}

static int may_be_tried(const struct docker_facts *facts, const char *driver,
			struct ph_error *error)
{
	const struct dpkg_package *docker = docker_facts_package(facts, "docker.io");
	int result;

	if (!facts->recipe)
		return recipe_unsupported(&facts->os, error);
	result = foreign_check(facts, error);
	if (result < 0)
		return result;
	if (facts->config_refusal.code < 0) {
		if (error)
			*error = facts->config_refusal;
		return facts->config_refusal.code;
	}
	if (docker && docker->version[0])
		return recipe_version_check(docker->version, driver, error);
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

static void install_plan(const struct docker_facts *facts, struct docker_plan *plan)
{
	PH_AUTO_STR struct str missing = STR_INIT;

	for (size_t i = 0; i < facts->wanted_count; i++)
		if (!dpkg_package_is_installed(&facts->packages[i]))
			str_appendf(&missing, "%s%s", missing.length ? ", " : "",
				    facts->packages[i].name);
	if (missing.length > 0)
		action_add(plan, PLAN_INSTALL, "not installed: %s", str_text(&missing));
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

int docker_plan(const struct docker_facts *facts, const char *storage_driver,
		struct docker_plan *ret_plan, struct ph_error *error)
{
	struct docker_plan plan = { 0 };
	int result = may_be_tried(facts, storage_driver, error);

	if (result < 0)
		return result;
	heal_plan(facts, &plan);
	install_plan(facts, &plan);
	if (!facts->config_matches)
		action_add(&plan, PLAN_CONFIGURE,
			   facts->config_present ?
				   "daemon.json does not set storage driver and features as needed" :
				   "there is no daemon.json");
	if (!facts->cgroups_mounted)
		action_add(&plan, PLAN_MOUNT_CGROUPS, "nobody has mounted cgroups");
	if (facts->guard_present)
		action_add(&plan, PLAN_REMOVE_GUARD, "an interrupted install has left it behind");
	service_plan(facts, storage_driver, &plan);
	*ret_plan = plan;
	return 0;
}
