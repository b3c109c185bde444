/*
 * Installing Docker as a story of steps. None is undone but for the guard: packages that are unpacked
 * stay, and the next run goes on from there. The table is the order of safety: nothing is changed
 * before everything was looked at, and dockerd cannot start before its configuration is complete.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/docker/docker.h"
#include "agent/docker/lock.h"
#include "agent/docker/recipe.h"
#include "agent/docker/site.h"
#include "agent/docker/steps.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/str.h"

static int step_observe(void *subject, struct ph_error *error);

static const struct flow_step steps[] = {
	{ "observe", step_observe },
	{ "preflight", step_preflight },
	{ "heal packages", step_heal, install_unguard },
	{ "package sources", step_sources },
	{ "fetch packages", step_fetch },
	{ "configure", step_configure, install_unguard },
	{ "install packages", step_install, install_unguard },
	{ "check packages", step_check },
	{ "hold and users", step_hold },
	{ "activate", step_activate, install_unguard },
	{ "confirm", step_confirm },
};

/* --- progress --------------------------------------------------------------------------------------- */

static void tell(struct install *install, const struct docker_progress *part)
{
	struct docker_progress progress = *part;

	if (!install->progress)
		return;
	progress.step = steps[install->flow.current].name;
	progress.index = (uint32_t)install->flow.current + 1;
	progress.total = ARRAY_LENGTH(steps);
	if (!progress.message)
		progress.message = "";
	install->progress(install->user, &progress);
}

void install_say(struct install *install, const char *format, ...)
{
	char message[320];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	tell(install,
	     &(struct docker_progress){ .state = DOCKER_STEP_RUNNING, .message = message });
}

static void apt_said(void *user, const char *message)
{
	install_say(user, "%s", message);
}

static void lock_waited(void *user, const char *message)
{
	install_say(user, "%s", message);
}

static void step_started(void *subject, const struct flow *flow, size_t index)
{
	tell(subject, &(struct docker_progress){ .state = DOCKER_STEP_STARTED });
}

static void step_finished(void *subject, const struct flow *flow, size_t index, int outcome,
			  uint64_t duration_ms, const struct ph_error *error)
{
	tell(subject, &(struct docker_progress){
			      .state = outcome < 0               ? DOCKER_STEP_FAILED :
				       outcome == FLOW_UNCHANGED ? DOCKER_STEP_UNCHANGED :
								   DOCKER_STEP_DONE,
			      .duration_ms = duration_ms,
			      .error = error,
		      });
}

static const struct flow_observer observer = {
	.step_started = step_started,
	.step_finished = step_finished,
};

/* --- what the steps share ------------------------------------------------------------------------------ */

int install_refresh(struct install *install, struct ph_error *error)
{
	int result = docker_observe(&install->wanted, &install->facts, error);

	if (result < 0)
		return result;
	return docker_plan(&install->facts, &install->wanted, &install->plan, error);
}

bool install_needs(const struct install *install, enum plan_kind kind)
{
	return docker_plan_find(&install->plan, kind) != NULL;
}

size_t install_missing(const struct install *install, const char **list)
{
	return docker_plan_packages(&install->facts, &install->wanted, list);
}

/* --- observe ------------------------------------------------------------------------------------------- */

/* What was seen before the lock was ours may be another install at work: it is looked at again. */
static int step_observe(void *subject, struct ph_error *error)
{
	struct install *install = subject;
	int result = install_refresh(install, error);

	if (result < 0)
		return result;
	if (install->plan.count > 0) {
		install->lock = install_lock_take(&install->wanted, lock_waited, install, error);
		if (install->lock < 0)
			return install->lock;
		result = install_refresh(install, error);
		if (result < 0)
			return result;
	}
	install->first = install->plan;
	for (size_t i = 0; i < install->plan.count; i++)
		install_say(install, "%s: %s", plan_kind_name(install->plan.actions[i].kind),
			    install->plan.actions[i].reason);
	if (install->plan.count > 0 && !install->facts.recipe->tried)
		install_say(install, "%s has a recipe that no test has tried yet",
			    install->facts.recipe->title);
	return FLOW_UNCHANGED;
}

/* --- the whole ------------------------------------------------------------------------------------------ */

static int install_plan_only(struct install *install, struct ph_error *error)
{
	int result = install_refresh(install, error);

	if (result < 0) {
		error_step(error, steps[0].name);
		return result;
	}
	install->first = install->plan;
	for (size_t i = 0; i < install->plan.count; i++)
		install_say(install, "would %s: %s", plan_kind_name(install->plan.actions[i].kind),
			    install->plan.actions[i].reason);
	return 0;
}

static int install_run(struct install *install, struct ph_error *error)
{
	flow_init(&install->flow, steps, ARRAY_LENGTH(steps), &observer, install);
	install->flow.clock = clock_monotonic_ms;
	flow_start(&install->flow, 0, clock_monotonic_ms());
	cleanup_close(&install->lock);
	if (install->flow.state == FLOW_DONE)
		return 0;
	if (error)
		*error = install->flow.error;
	return install->flow.error.code;
}

static bool is_known(const char *source)
{
	return strcmp(source, "distribution") == 0 || strcmp(source, "docker-ce") == 0 ||
	       strcmp(source, "bundle") == 0;
}

int docker_install(const struct docker_wanted *wanted, docker_progress_fn progress, void *user,
		   struct docker_result *ret_result, struct ph_error *error)
{
	struct install install = {
		.wanted = site_wanted(wanted), .progress = progress, .user = user, .lock = -1
	};
	struct docker_result result = { 0 };
	int code;

	install.apt = (struct apt){ .wanted = &install.wanted, .say = apt_said, .user = &install };
	if (strcmp(install.wanted.source, "none") == 0)
		code = docker_observe(&install.wanted, &install.facts, error);
	else if (!is_known(install.wanted.source))
		code = error_set(error, -EINVAL, "docker.source",
				 "write distribution, docker-ce, bundle or none",
				 "there is no source \"%s\"", install.wanted.source);
	else if (install.wanted.plan_only)
		code = install_plan_only(&install, error);
	else
		code = install_run(&install, error);
	if (code < 0) {
		error_prefix(error, "install Docker");
		return code;
	}
	result.changed = !install.wanted.plan_only && install.first.count > 0;
	result.facts = install.facts;
	result.plan = install.first;
	*ret_result = result;
	return 0;
}
