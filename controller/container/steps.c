/*
 * In the order in which apply goes through them.
 */
#include "controller/container/steps.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/message.h"
#include "common/str.h"
#include "controller/container/preflight.h"
#include "controller/container/verify.h"

#define RESTART_GRACE_MS 20000

/* ---- the profile ---- */

static int confinement_ensured(struct operation *operation, const ProtobufCMessage *message,
			       struct ph_error *error)
{
	const Phoenix__ConfineReply *reply = (const Phoenix__ConfineReply *)message;
	struct container *container = operation->container;
	bool was_changed = reply->changed;
	int r;

	if (reply->replaced) {
		operation->is_policy_replaced = true;
		journal_write(operation->registry->journal, PHOENIX__EVENT__SEVERITY__INFO, NULL,
			      operation->record->id, "confinement.replaced", "NewText",
			      "%s was replaced in place by %.12s; the labels of %u processes were "
			      "read again", reply->profile, reply->hash, reply->processes);
	}
	if (!text_equal(container->record->profile, reply->profile)) {
		message_set_text(&container->record->profile, reply->profile);
		was_changed = true;
		r = container_save(container, error);
		if (r < 0)
			return r;
	}
	return was_changed ? FLOW_NEXT : FLOW_UNCHANGED;
}

int step_confine(void *subject, struct ph_error *error)
{
	Phoenix__ConfineEnsureRequest request = PHOENIX__CONFINE_ENSURE_REQUEST__INIT;
	struct operation *operation = subject;

	request.confinement = operation->record->spec->confinement;
	request.mode = operation->record->spec->confinement_mode;
	request.transport = operation->record->spec->transport;
	return operation_host(operation, "ConfineEnsure", &request.base, 90000,
			      confinement_ensured);
}

static void policy_rolled_back(void *user, const ProtobufCMessage *reply,
			       const struct ph_error *error)
{
	struct registry *registry = user;

	if (error)
		journal_error(registry->journal, NULL, NULL, "confinement.rolled-back", "Failed",
			      error);
	else
		journal_write(registry->journal, PHOENIX__EVENT__SEVERITY__WARNING, NULL, NULL,
			      "confinement.rolled-back", "VerifyFailed",
			      "%s is the text before the last one again: what was loaded did not "
			      "pass a verify", ((const Phoenix__ConfineReply *)reply)->profile);
}

/* The first container to be verified under a new text decides about it for all. */
void step_roll_back_policy(const struct operation *operation)
{
	Phoenix__ConfineEnsureRequest request = PHOENIX__CONFINE_ENSURE_REQUEST__INIT;

	request.confinement = operation->record->spec->confinement;
	request.mode = operation->record->spec->confinement_mode;
	request.transport = operation->record->spec->transport;
	request.roll_back = true;
	host_link_call(operation->registry->host, "ConfineEnsure", &request.base, 90000,
		       policy_rolled_back, operation->registry, NULL);
}

/* ---- configure, start, stop ---- */

int step_observed(struct operation *operation, const ProtobufCMessage *message,
		  struct ph_error *error)
{
	const Phoenix__ContainerObservation *observation =
		(const Phoenix__ContainerObservation *)message;

	container_set_observed(operation->container, observation);
	return observation->changed ? FLOW_NEXT : FLOW_UNCHANGED;
}

int step_configure_then(struct operation *operation, operation_replied_fn replied)
{
	Phoenix__ContainerCreateRequest request = PHOENIX__CONTAINER_CREATE_REQUEST__INIT;
	Phoenix__ContainerRecord *record = operation->container->record;

	request.spec = record->spec;
	request.ids = record->ids;
	request.address = record->address;
	request.slot = record->slot;
	request.profile = record->profile;
	return operation_host(operation, "ContainerCreate", &request.base, 300000, replied);
}

int step_configure(void *subject, struct ph_error *error)
{
	return step_configure_then(subject, step_observed);
}

static int start_now(struct operation *operation, struct ph_error *error)
{
	Phoenix__ContainerRequest request = PHOENIX__CONTAINER_REQUEST__INIT;
	struct container *container = operation->container;
	int r = container_renew_incarnation(container, error);

	if (r < 0)
		return r;
	request.name = (char *)container_name(container);
	return operation_host(operation, "ContainerStart", &request.base, 90000, step_observed);
}

static int stopped_to_start(struct operation *operation, const ProtobufCMessage *reply,
			    struct ph_error *error)
{
	return start_now(operation, error);
}

/* A label that init has lost comes back with a start only. */
static bool has_lost_label(const struct container *container,
			   const Phoenix__ContainerObservation *observation)
{
	return !text_empty(container->record->profile) && !text_empty(observation->label) &&
	       !text_has_prefix(observation->label, container->record->profile);
}

/* It still runs as it was configured before this operation. */
static bool is_outdated(const struct operation *operation)
{
	return !text_empty(operation->record->replaces) &&
	       text_equal(operation->container->record->incarnation, operation->record->replaces);
}

static int start_observed(struct operation *operation, const ProtobufCMessage *message,
			  struct ph_error *error)
{
	const Phoenix__ContainerObservation *observation =
		(const Phoenix__ContainerObservation *)message;
	Phoenix__ContainerStopRequest request = PHOENIX__CONTAINER_STOP_REQUEST__INIT;
	struct container *container = operation->container;

	container_set_observed(container, observation);
	if (!observation->running || !container->record->incarnation[0])
		return start_now(operation, error);
	if (is_outdated(operation))
		journal_write(operation->registry->journal, PHOENIX__EVENT__SEVERITY__INFO,
			      container_name(container), operation->record->id,
			      "container.restart", "Reconfigured",
			      "what it was started with has changed: it is started again");
	else if (has_lost_label(container, observation))
		journal_write(operation->registry->journal, PHOENIX__EVENT__SEVERITY__WARNING,
			      container_name(container), operation->record->id,
			      "confinement.restart", "LabelLost",
			      "it ran as %s: it is started again under %s", observation->label,
			      container->record->profile);
	else
		return FLOW_UNCHANGED;
	container_leave_agent(container);
	request.name = (char *)container_name(container);
	request.grace_ms = RESTART_GRACE_MS;
	return operation_host(operation, "ContainerStop", &request.base, 60000, stopped_to_start);
}

int step_start(void *subject, struct ph_error *error)
{
	Phoenix__ContainerRequest request = PHOENIX__CONTAINER_REQUEST__INIT;
	struct operation *operation = subject;

	request.name = (char *)container_name(operation->container);
	return operation_host(operation, "ContainerObserve", &request.base, 15000,
			      start_observed);
}

int step_stop(void *subject, struct ph_error *error)
{
	Phoenix__ContainerStopRequest request = PHOENIX__CONTAINER_STOP_REQUEST__INIT;
	struct operation *operation = subject;

	container_leave_agent(operation->container);
	request.name = (char *)container_name(operation->container);
	request.grace_ms = RESTART_GRACE_MS;
	return operation_host(operation, "ContainerStop", &request.base, 60000, step_observed);
}

/* ---- confinement as the host sees it ---- */

static int confinement_observed(struct operation *operation, const ProtobufCMessage *reply,
				struct ph_error *error)
{
	struct container *container = operation->container;
	const Phoenix__Condition *confined;

	container_set_observed(container, (const Phoenix__ContainerObservation *)reply);
	confined = conditions_find(&container->conditions, "Confined");
	if (operation->record->spec->confinement ==
	    PHOENIX__CONFINEMENT__CONFINEMENT_BEST_EFFORT)
		return FLOW_UNCHANGED;
	if (confined && confined->status == PHOENIX__CONDITION__STATUS__TRUE)
		return FLOW_UNCHANGED; /* looking changes nothing */
	return error_set(error, -EPERM, container_name(container),
			 "look at the kernel log for AppArmor messages; nothing was weakened",
			 "the running container is not confined as required: %s",
			 confined ? confined->message : "not observed");
}

int step_check_confinement(void *subject, struct ph_error *error)
{
	Phoenix__ContainerRequest request = PHOENIX__CONTAINER_REQUEST__INIT;
	struct operation *operation = subject;

	request.name = (char *)container_name(operation->container);
	return operation_host(operation, "ContainerObserve", &request.base, 15000,
			      confinement_observed);
}

/* ---- the agent ---- */

static int described(struct operation *operation, const ProtobufCMessage *reply,
		     struct ph_error *error)
{
	if (operation->is_made_here)
		preflight_tell_inside(operation);
	return operation->agent_was_connected ? FLOW_UNCHANGED : FLOW_NEXT;
}

int step_start_agent(void *subject, struct ph_error *error)
{
	Phoenix__DescribeRequest request = PHOENIX__DESCRIBE_REQUEST__INIT;
	struct operation *operation = subject;
	int r;

	r = agent_link_listen(operation->container->link, error);
	if (r < 0)
		return r;
	if (operation->record->push_agent && container_is_connected(operation->container))
		container_renew_agent(operation->container);
	operation->agent_was_connected = container_is_connected(operation->container);
	return operation_agent(operation, "Describe", &request.base, NULL, described);
}

int step_leave_agent(void *subject, struct ph_error *error)
{
	container_leave_agent(((struct operation *)subject)->container);
	return FLOW_NEXT;
}

/* ---- Docker ---- */

static void install_item(struct operation *operation, const ProtobufCMessage *message)
{
	const Phoenix__InstallItem *item = (const Phoenix__InstallItem *)message;
	Phoenix__Progress progress;
	char step[96];

	if (item->summary) {
		MESSAGE_REPLACE(operation->installed, item);
		return;
	}
	if (!item->progress)
		return;
	/* The agent's steps are told as parts of ours. */
	progress = *item->progress;
	snprintf(step, sizeof(step), "install docker: %.60s", progress.step);
	progress.step = step;
	operation_tell(operation, &progress);
}

/* Carried over through a copy: both lists stay owned by their messages. Whether they are others. */
static bool take_versions(Phoenix__ContainerRecord *record, const Phoenix__InstallItem *installed)
{
	Phoenix__ContainerRecord told = PHOENIX__CONTAINER_RECORD__INIT;
	Phoenix__ContainerRecord known = PHOENIX__CONTAINER_RECORD__INIT;
	Phoenix__ContainerRecord *copy;

	told.n_versions = installed->n_versions;
	told.versions = installed->versions;
	known.n_versions = record->n_versions;
	known.versions = record->versions;
	if (message_equal(&told, &known))
		return false;
	copy = MESSAGE_COPY(&told);
	for (size_t i = 0; i < record->n_versions; i++)
		message_free(record->versions[i]);
	free(record->versions);
	record->versions = copy->versions;
	record->n_versions = copy->n_versions;
	copy->versions = NULL;
	copy->n_versions = 0;
	message_free(copy);
	return true;
}

/* Where nothing had to be installed, another root file system may have brought other versions along. */
static int installed(struct operation *operation, const ProtobufCMessage *reply,
		     struct ph_error *error)
{
	const Phoenix__InstallItem *summary = operation->installed;
	Phoenix__ContainerRecord *record = operation->container->record;
	bool is_other;

	if (!summary)
		return error_set(error, -EPROTO, container_name(operation->container), "apply again",
				 "the agent ended the install without a summary");
	is_other = !text_equal(record->storage_driver, summary->storage_driver);
	message_set_text(&record->storage_driver, summary->storage_driver);
	is_other |= take_versions(record, summary);
	if ((is_other || summary->changed) && container_save(operation->container, error) < 0)
		return error->code;
	return summary->changed ? FLOW_NEXT : FLOW_UNCHANGED;
}

int step_install_docker(void *subject, struct ph_error *error)
{
	Phoenix__InstallRequest request = PHOENIX__INSTALL_REQUEST__INIT;
	struct operation *operation = subject;
	const Phoenix__ContainerSpec *spec = operation->record->spec;

	if (text_equal(spec->docker_source, "none"))
		return FLOW_UNCHANGED;
	request.operation = operation->record->id;
	request.source = spec->docker_source;
	request.docker = spec->docker;
	request.storage_driver = spec->storage_driver;
	request.data_root = (char *)"/var/lib/docker";
	request.allow_vfs = spec->storage_allow_vfs;
	request.allow_image_loss = spec->storage_allow_image_loss;
	request.chosen_driver = operation->container->record->storage_driver;
	return operation_agent(operation, "Install", &request.base, install_item, installed);
}

/* ---- verify ---- */

static int health_claimed(struct operation *operation, const ProtobufCMessage *reply,
			  struct ph_error *error)
{
	struct container *container = operation->container;

	container_set_claimed(container, (const Phoenix__HealthReply *)reply);
	/* Unverified, or not as it was then: prove it again. */
	if (container_is_ready(container) && !operation->is_policy_replaced)
		return FLOW_UNCHANGED; /* verified before, and nothing it depended on has changed */
	return verify_run(operation, error);
}

int step_verify(void *subject, struct ph_error *error)
{
	struct operation *operation = subject;
	Phoenix__HealthRequest request;

	container_health_request(operation->container, &request);
	if (text_equal(operation->record->spec->docker_source, "none"))
		return FLOW_UNCHANGED;
	return operation_agent(operation, "Health", &request.base, NULL, health_claimed);
}
