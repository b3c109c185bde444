/*
 * Apply: from a wish to a confined container whose Docker is proven. Every step looks before it
 * acts, so that applying twice changes nothing and a resumed apply repeats nothing. Up to "start
 * agent" a failure undoes what this apply has made; from there on the container stays for the
 * operator to look at, and the next apply goes on from what it finds.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/container/operation.h"
#include "controller/container/preflight.h"
#include "controller/container/verify.h"

#define RESTART_GRACE_MS 20000

static int reserve(void *subject, struct ph_error *error);
static int release(void *subject, struct ph_error *error);
static int network(void *subject, struct ph_error *error);
static int confine(void *subject, struct ph_error *error);
static int create(void *subject, struct ph_error *error);
static int destroy(void *subject, struct ph_error *error);
static int start(void *subject, struct ph_error *error);
static int stop(void *subject, struct ph_error *error);
static int check_confinement(void *subject, struct ph_error *error);
static int start_agent(void *subject, struct ph_error *error);
static int leave_agent(void *subject, struct ph_error *error);
static int install_docker(void *subject, struct ph_error *error);
static int verify(void *subject, struct ph_error *error);
static int remove_network(void *subject, struct ph_error *error);
static int remove_confinement(void *subject, struct ph_error *error);

static const struct flow_step steps[] = {
	{ "reserve", reserve, release, 10 * 1000 },
	{ "network", network, remove_network, 60 * 1000 },
	{ "confinement", confine, remove_confinement, 90 * 1000 },
	{ "create", create, destroy, 300 * 1000 },
	{ "start", start, stop, 90 * 1000 },
	{ "check confinement", check_confinement, NULL, 30 * 1000 },
	{ "start agent", start_agent, leave_agent, 60 * 1000 },
	{ "install docker", install_docker, NULL, 45 * 60 * 1000 },
	{ "verify", verify, NULL, 10 * 60 * 1000 },
};

static int apply_ended(struct operation *operation, const struct ph_error *error,
		       struct ph_error *unsaved);

const struct operation_type operation_apply = {
	.name = "apply",
	.steps = steps,
	.count = ARRAY_LENGTH(steps),
	.ended = apply_ended,
};

static struct container *container_of_operation(void *subject)
{
	return ((struct operation *)subject)->container;
}

/* ---- reserve: ids, address, slot; the record ---- */

static int reserve_now(struct operation *operation, struct ph_error *error)
{
	struct container *container = operation->container;
	int r;

	if (!container->record->ids) {
		r = registry_allocate(operation->registry, container->record, error);
		if (r < 0)
			return r;
		agent_link_set_ids(container->link, container->record->ids->first,
				   container->record->ids->count);
	}
	MESSAGE_REPLACE(container->record->spec, operation->record->spec);
	agent_link_set_vsock(container->link, container->record->spec->transport ==
						      PHOENIX__TRANSPORT__TRANSPORT_VSOCK);
	if (!container->record->created_ms)
		container->record->created_ms = clock_wall_ms();
	r = container_save(container, error);
	if (r < 0)
		return r;
	/* Once per host, as its network: every further container would be told the same. */
	if (operation->is_made_here && registry_is_last(operation->registry, container))
		preflight_tell_host(operation);
	return FLOW_NEXT;
}

static int probed(struct operation *operation, const ProtobufCMessage *reply,
		  struct ph_error *error)
{
	registry_set_probe(operation->registry, (const Phoenix__ProbeReply *)reply);
	return reserve_now(operation, error);
}

static int reserve(void *subject, struct ph_error *error)
{
	Phoenix__ProbeRequest request = PHOENIX__PROBE_REQUEST__INIT;
	struct operation *operation = subject;
	struct container *container = operation->container;

	if (container->revision &&
	    message_equal(container->record->spec, operation->record->spec))
		return FLOW_UNCHANGED;
	if (!operation->registry->probe)
		return operation_host(operation, "Probe", &request.base, 10000, probed);
	return reserve_now(operation, error);
}

static int release(void *subject, struct ph_error *error)
{
	struct operation *operation = subject;

	if (!operation->is_made_here)
		return FLOW_UNCHANGED;
	return container_delete(operation->container, error);
}

/* ---- network and confinement: shared by all containers, removed with the last one ---- */

static int network_ensured(struct operation *operation, const ProtobufCMessage *reply,
			   struct ph_error *error)
{
	const Phoenix__NetworkReply *network_reply = (const Phoenix__NetworkReply *)reply;

	if (!network_reply->changed)
		return FLOW_UNCHANGED;
	/* Told when the network is made, not at every apply that finds it as it was. */
	for (size_t i = 0; i < network_reply->n_findings; i++)
		journal_write(operation->registry->journal, PHOENIX__EVENT__SEVERITY__WARNING, NULL,
			      operation->record->id, "network.finding", "LessThanItShould",
			      "%s; to do: %s", network_reply->findings[i]->key,
			      network_reply->findings[i]->value);
	return FLOW_NEXT;
}

static int network(void *subject, struct ph_error *error)
{
	Phoenix__NetworkEnsureRequest request = PHOENIX__NETWORK_ENSURE_REQUEST__INIT;

	return operation_host(subject, "NetworkEnsure", &request.base, 60000, network_ensured);
}

static int ignore_reply(struct operation *operation, const ProtobufCMessage *reply,
			struct ph_error *error)
{
	return FLOW_NEXT;
}

static int remove_network(void *subject, struct ph_error *error)
{
	Phoenix__NetworkRemoveRequest request = PHOENIX__NETWORK_REMOVE_REQUEST__INIT;
	struct operation *operation = subject;

	if (!registry_is_last(operation->registry, operation->container))
		return FLOW_UNCHANGED;
	return operation_host(operation, "NetworkRemove", &request.base, 30000, ignore_reply);
}

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

static int confine(void *subject, struct ph_error *error)
{
	Phoenix__ConfineEnsureRequest request = PHOENIX__CONFINE_ENSURE_REQUEST__INIT;
	struct operation *operation = subject;

	request.confinement = operation->record->spec->confinement;
	request.mode = operation->record->spec->confinement_mode;
	request.transport = operation->record->spec->transport;
	return operation_host(operation, "ConfineEnsure", &request.base, 90000,
			      confinement_ensured);
}

static int remove_confinement(void *subject, struct ph_error *error)
{
	Phoenix__ConfineRemoveRequest request = PHOENIX__CONFINE_REMOVE_REQUEST__INIT;
	struct operation *operation = subject;

	if (!registry_is_last(operation->registry, operation->container))
		return FLOW_UNCHANGED;
	return operation_host(operation, "ConfineRemove", &request.base, 30000, ignore_reply);
}

/* ---- create, start ---- */

static int observed_outcome(struct operation *operation, const ProtobufCMessage *message)
{
	const Phoenix__ContainerObservation *observation =
		(const Phoenix__ContainerObservation *)message;

	container_set_observed(operation->container, observation);
	return observation->changed ? FLOW_NEXT : FLOW_UNCHANGED;
}

static int created(struct operation *operation, const ProtobufCMessage *reply,
		   struct ph_error *error)
{
	return observed_outcome(operation, reply);
}

static int create(void *subject, struct ph_error *error)
{
	Phoenix__ContainerCreateRequest request = PHOENIX__CONTAINER_CREATE_REQUEST__INIT;
	struct operation *operation = subject;
	Phoenix__ContainerRecord *record = operation->container->record;

	request.spec = record->spec;
	request.ids = record->ids;
	request.address = record->address;
	request.slot = record->slot;
	request.profile = record->profile;
	return operation_host(operation, "ContainerCreate", &request.base, 300000, created);
}

static int destroy(void *subject, struct ph_error *error)
{
	Phoenix__ContainerRequest request = PHOENIX__CONTAINER_REQUEST__INIT;
	struct operation *operation = subject;

	if (!operation->is_made_here)
		return FLOW_UNCHANGED; /* what an earlier apply made is not ours to destroy */
	request.name = (char *)container_name(operation->container);
	return operation_host(operation, "ContainerDestroy", &request.base, 120000, ignore_reply);
}

static int started(struct operation *operation, const ProtobufCMessage *reply,
		   struct ph_error *error)
{
	return observed_outcome(operation, reply);
}

static int start_now(struct operation *operation, struct ph_error *error)
{
	Phoenix__ContainerRequest request = PHOENIX__CONTAINER_REQUEST__INIT;
	struct container *container = operation->container;
	int r = container_renew_incarnation(container, error);

	if (r < 0)
		return r;
	request.name = (char *)container_name(container);
	return operation_host(operation, "ContainerStart", &request.base, 90000, started);
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

static int start(void *subject, struct ph_error *error)
{
	Phoenix__ContainerRequest request = PHOENIX__CONTAINER_REQUEST__INIT;
	struct operation *operation = subject;

	request.name = (char *)container_name(operation->container);
	return operation_host(operation, "ContainerObserve", &request.base, 15000,
			      start_observed);
}

static int stop(void *subject, struct ph_error *error)
{
	Phoenix__ContainerStopRequest request = PHOENIX__CONTAINER_STOP_REQUEST__INIT;
	struct operation *operation = subject;

	container_leave_agent(operation->container);
	request.name = (char *)container_name(operation->container);
	return operation_host(operation, "ContainerStop", &request.base, 60000, ignore_reply);
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

static int check_confinement(void *subject, struct ph_error *error)
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

static int start_agent(void *subject, struct ph_error *error)
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

static int leave_agent(void *subject, struct ph_error *error)
{
	container_leave_agent(container_of_operation(subject));
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

static int installed(struct operation *operation, const ProtobufCMessage *reply,
		     struct ph_error *error)
{
	Phoenix__ContainerRecord versions = PHOENIX__CONTAINER_RECORD__INIT;
	struct container *container = operation->container;
	Phoenix__ContainerRecord *copy;
	bool is_other;

	if (!operation->installed)
		return error_set(error, -EPROTO, container_name(container), "apply again",
				 "the agent ended the install without a summary");
	is_other = !text_equal(container->record->storage_driver,
			       operation->installed->storage_driver);
	if (is_other)
		message_set_text(&container->record->storage_driver,
				 operation->installed->storage_driver);
	if (!operation->installed->changed)
		return is_other && container_save(container, error) < 0 ? error->code :
									  FLOW_UNCHANGED;

	/* Carry the versions over through a copy: both lists stay owned by their messages. */
	versions.n_versions = operation->installed->n_versions;
	versions.versions = operation->installed->versions;
	copy = MESSAGE_COPY(&versions);
	for (size_t i = 0; i < container->record->n_versions; i++)
		message_free(container->record->versions[i]);
	free(container->record->versions);
	container->record->versions = copy->versions;
	container->record->n_versions = copy->n_versions;
	copy->versions = NULL;
	copy->n_versions = 0;
	message_free(copy);
	return container_save(container, error) < 0 ? error->code : FLOW_NEXT;
}

static int install_docker(void *subject, struct ph_error *error)
{
	Phoenix__InstallRequest request = PHOENIX__INSTALL_REQUEST__INIT;
	struct operation *operation = subject;
	const Phoenix__ContainerSpec *spec = operation->record->spec;

	/* From here on the container stays, whatever happens: see the top of this file. */
	operation->flow.undo_on_failure = false;
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

static int verify(void *subject, struct ph_error *error)
{
	struct operation *operation = subject;
	Phoenix__HealthRequest request;

	container_health_request(operation->container, &request);
	operation->flow.undo_on_failure = false;
	if (text_equal(operation->record->spec->docker_source, "none"))
		return FLOW_UNCHANGED;
	return operation_agent(operation, "Health", &request.base, NULL, health_claimed);
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
static void roll_back_policy(const struct operation *operation)
{
	Phoenix__ConfineEnsureRequest request = PHOENIX__CONFINE_ENSURE_REQUEST__INIT;

	request.confinement = operation->record->spec->confinement;
	request.mode = operation->record->spec->confinement_mode;
	request.transport = operation->record->spec->transport;
	request.roll_back = true;
	host_link_call(operation->registry->host, "ConfineEnsure", &request.base, 90000,
		       policy_rolled_back, operation->registry, NULL);
}

static int apply_ended(struct operation *operation, const struct ph_error *error,
		       struct ph_error *unsaved)
{
	struct container *container = operation->container;
	int r;

	if (error && error->code == -EBADE && operation->is_policy_replaced)
		roll_back_policy(operation);

	if (error && operation->flow.undo_on_failure && operation->is_made_here) {
		/* One that does not stay up may have met a limit which it did not meet before it. */
		if (text_equal(error->step, "start") || text_equal(error->step, "start agent"))
			preflight_tell_host(operation);
		registry_take(operation->registry, container);
		operation->container = NULL;
		container_free(container); /* it was never there */
		return 0;
	}
	r = container_set_phase(container, error ? CONTAINER_PHASE_FAILED : CONTAINER_PHASE_RUNNING,
				error, unsaved);
	container_update_conditions(container);
	return r;
}
