/*
 * verify: the operation of `phoenixctl verify`, and the part that apply shares with it. Confinement
 * checks come from the host alone: the agent cannot vouch for its own cage.
 */
#include "controller/container/verify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"

#define CHECKS_MAXIMUM 256 /* of an agent's report */

#define PASS PHOENIX__CHECK__STATUS__PASS
#define FAIL PHOENIX__CHECK__STATUS__FAIL
#define SKIP PHOENIX__CHECK__STATUS__SKIP
#define KNOWN_LIMIT PHOENIX__CHECK__STATUS__KNOWN_LIMIT

/* ---- the verdict ---- */

static void add_check(Phoenix__VerifyReport *report, const char *id, Phoenix__Check__Status status,
		      const char *expected, const char *got, const char *remedy)
{
	Phoenix__Check *check = ph_alloc(sizeof(*check));

	phoenix__check__init(check);
	message_set_text(&check->id, id);
	message_set_text(&check->expected, expected);
	message_set_text(&check->got, got);
	message_set_text(&check->remedy, remedy);
	check->status = status;
	check->observed = true;
	report->checks = ph_realloc(report->checks,
				    (report->n_checks + 1) * sizeof(*report->checks));
	report->checks[report->n_checks++] = check;
}

static void judge_label(Phoenix__VerifyReport *report, const char *profile,
			const Phoenix__ContainerObservation *nested)
{
	char expected[128], got[320];

	snprintf(expected, sizeof(expected), "every process under %s (enforce)", profile);
	if (nested->processes_off_label)
		snprintf(got, sizeof(got), "%u of %u are not: %s", nested->processes_off_label,
			 nested->processes, nested->first_offender);
	else
		snprintf(got, sizeof(got), "%u processes, all of them", nested->processes);
	add_check(report, "confinement.label",
		  nested->processes && !nested->processes_off_label ? PASS : FAIL, expected, got,
		  "look at the kernel log for AppArmor messages, then apply again");
}

static void judge_nested(Phoenix__VerifyReport *report, const char *profile,
			 const Phoenix__ContainerObservation *nested)
{
	PH_AUTO_STR struct str got = STR_INIT;
	bool is_right = nested->n_nested > 0;

	for (size_t i = 0; i < nested->n_nested; i++) {
		str_appendf(&got, "%s%s: %s", i ? ", " : "", nested->nested[i]->key,
			    nested->nested[i]->value);
		if (!text_has_prefix(nested->nested[i]->value, profile) ||
		    !text_has_suffix(nested->nested[i]->value, " (enforce)"))
			is_right = false;
	}
	if (!nested->n_nested)
		str_append(&got, "no nested process was seen from the host");
	add_check(report, "confinement.nested-label", is_right ? PASS : FAIL,
		  "the nested container's process carries the same label", str_text(&got),
		  "look at the kernel log for AppArmor messages, then apply again");
}

static bool has_check(const Phoenix__VerifyReport *report, const char *id)
{
	for (size_t i = 0; i < report->n_checks; i++)
		if (text_equal(report->checks[i]->id, id))
			return true;
	return false;
}

/* Silence is no pass: a report that lacks what a verdict needs fails, whatever its checks say. */
static void judge_completeness(Phoenix__VerifyReport *report)
{
	static const char *const needed[] = { "storage.mount",  "storage.unmount", "docker.run",
					      "docker.nonce",   "docker.root",     "docker.exec",
					      "docker.build",   "docker.bridge",   "docker.restart",
					      "docker.clean" };
	PH_AUTO_STR struct str missing = STR_INIT;

	for (size_t i = 0; i < ARRAY_LENGTH(needed); i++)
		if (!has_check(report, needed[i]))
			str_appendf(&missing, "%s%s", missing.length ? ", " : "", needed[i]);
	if (missing.length)
		add_check(report, "docker.complete", FAIL,
			  "every check that a verdict needs was made",
			  str_text(&missing),
			  "look at the checks that failed; else at the agent: it left these out");
}

void verify_judge(Phoenix__VerifyReport *report, const Phoenix__ContainerSpec *spec,
		  const char *profile, const Phoenix__ContainerObservation *nested)
{
	bool is_best_effort =
		spec->confinement == PHOENIX__CONFINEMENT__CONFINEMENT_BEST_EFFORT;

	if (text_empty(profile)) {
		add_check(report, "confinement.label", is_best_effort ? KNOWN_LIMIT : FAIL,
			  "a process label enforced by AppArmor",
			  "no AppArmor on this host: the user namespace is the only wall",
			  "use a kernel with AppArmor and confinement: required");
	} else if (!nested) {
		add_check(report, "confinement.label", FAIL, "every process under the profile",
			  "the host did not see the nested container run", "verify again");
	} else {
		judge_label(report, profile, nested);
		judge_nested(report, profile, nested);
	}

	judge_completeness(report);
	report->passed = true;
	for (size_t i = 0; i < report->n_checks; i++)
		if (report->checks[i]->status != PASS && report->checks[i]->status != SKIP &&
		    report->checks[i]->status != KNOWN_LIMIT)
			report->passed = false;
}

/* ---- running it ---- */

static void resumed(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	/* Without this call the agent goes on by itself after 5 s. */
}

static void release_nested(struct container *container)
{
	static const struct rpc_handlers handlers = { .finished = resumed };
	Phoenix__ResumeRequest request = PHOENIX__RESUME_REQUEST__INIT;

	if (container->operation)
		request.operation = container->operation->record->id;
	agent_link_call(container->link, "Resume", &request.base, 5000, &handlers, NULL, NULL);
}

static void nested_observed(void *user, const ProtobufCMessage *reply,
			    const struct ph_error *error)
{
	struct operation *operation = user;

	operation->host_call = NULL;
	if (!error) {
		MESSAGE_REPLACE(operation->nested, (const Phoenix__ContainerObservation *)reply);
		container_set_observed(operation->container, operation->nested);
	}
	release_nested(operation->container);
}

static void look_at_nested(struct operation *operation)
{
	Phoenix__ContainerRequest request = PHOENIX__CONTAINER_REQUEST__INIT;

	request.name = (char *)container_name(operation->container);
	host_link_call(operation->registry->host, "ContainerObserve", &request.base, 5000,
		       nested_observed, operation, &operation->host_call);
}

static void verify_item(struct operation *operation, const ProtobufCMessage *message)
{
	const Phoenix__VerifyItem *item = (const Phoenix__VerifyItem *)message;

	if (item->check) {
		item->check->observed = false; /* whatever the agent says, it is a claim */
		operation_tell_check(operation, item->check);
		if (text_equal(item->check->id, "docker.nested-running") && !operation->host_call)
			look_at_nested(operation);
	}
	if (item->report)
		MESSAGE_REPLACE(operation->report, item->report);
}

static const Phoenix__Check *first_failure(const Phoenix__VerifyReport *report)
{
	for (size_t i = 0; i < report->n_checks; i++)
		if (report->checks[i]->status == FAIL)
			return report->checks[i];
	return NULL;
}

static int save_report(struct operation *operation, struct ph_error *error)
{
	Phoenix__ContainerRecord *record = operation->container->record;
	const Phoenix__Check *failure;
	int r;

	MESSAGE_REPLACE(record->verify, operation->report);
	r = container_save(operation->container, error);
	container_update_conditions(operation->container);
	if (r < 0)
		return r;
	if (operation->report->passed)
		return FLOW_NEXT;
	failure = first_failure(operation->report);
	return error_set(error, -EBADE, failure ? failure->id : "", failure ? failure->remedy : "",
			 "expected %s, got %s", failure ? failure->expected : "checks",
			 failure ? failure->got : "none");
}

static int health_after_verify(struct operation *operation, const ProtobufCMessage *reply,
			       struct ph_error *error)
{
	container_set_claimed(operation->container, (const Phoenix__HealthReply *)reply);
	return save_report(operation, error);
}

static int verified(struct operation *operation, const ProtobufCMessage *reply,
		    struct ph_error *error)
{
	Phoenix__HealthRequest request;
	Phoenix__VerifyReport *report = operation->report;
	Phoenix__ContainerRecord *record = operation->container->record;

	if (!report || report->n_checks > CHECKS_MAXIMUM)
		return error_set(error, -EPROTO, container_name(operation->container),
				 "verify again", "the agent ended without a usable report");
	for (size_t i = 0; i < report->n_checks; i++)
		report->checks[i]->observed = false;
	verify_judge(report, record->spec, record->profile, operation->nested);
	message_set_text(&report->container, container_name(operation->container));
	message_set_text(&report->incarnation, record->incarnation);
	report->wall_ms = clock_wall_ms();
	container_health_request(operation->container, &request);
	return operation_agent(operation, "Health", &request.base, NULL, health_after_verify);
}

int verify_run(struct operation *operation, struct ph_error *error)
{
	Phoenix__VerifyRequest request = PHOENIX__VERIFY_REQUEST__INIT;

	message_free(operation->report);
	operation->report = NULL;
	message_free(operation->nested);
	operation->nested = NULL;
	request.operation = operation->record->id;
	request.storage_driver = (char *)container_driver(operation->container);
	request.data_root = (char *)"/var/lib/docker";
	request.hold = true;
	return operation_agent(operation, "Verify", &request.base, verify_item, verified);
}

/* ---- the operation of its own ---- */

static int verify_step(void *subject, struct ph_error *error)
{
	return verify_run(subject, error);
}

static const struct flow_step steps[] = {
	{ "verify", verify_step, NULL, 10 * 60 * 1000 },
};

static int verify_ended(struct operation *operation, const struct ph_error *error,
			struct ph_error *unsaved)
{
	struct container *container = operation->container;
	bool is_whole = container_is(container, CONTAINER_PHASE_RUNNING) ||
			container_is(container, CONTAINER_PHASE_FAILED);
	int r;

	if (!is_whole)
		return 0; /* half made or half removed: verify does not decide about that */
	r = container_set_phase(container,
				error && error->code == -EBADE ? CONTAINER_PHASE_FAILED :
								 CONTAINER_PHASE_RUNNING,
				error && error->code == -EBADE ? error : NULL, unsaved);
	container_update_conditions(container);
	return r;
}

const struct operation_type operation_verify = {
	.name = "verify",
	.steps = steps,
	.count = ARRAY_LENGTH(steps),
	.ended = verify_ended,
};
