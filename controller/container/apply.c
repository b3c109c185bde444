/*
 * Apply: from a wish to a confined container whose Docker is proven. Every step looks before it
 * acts, so that applying twice changes nothing and a resumed apply repeats nothing. Up to "start
 * agent" a failure undoes what this apply has made; from there on the container stays for the
 * operator to look at, and the next apply goes on from what it finds.
 */
#include <errno.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/container/operation.h"
#include "controller/container/preflight.h"
#include "controller/container/steps.h"

static int reserve(void *subject, struct ph_error *error);
static int release(void *subject, struct ph_error *error);
static int network(void *subject, struct ph_error *error);
static int destroy(void *subject, struct ph_error *error);
static int stop(void *subject, struct ph_error *error);
static int install_docker(void *subject, struct ph_error *error);
static int verify(void *subject, struct ph_error *error);
static int remove_network(void *subject, struct ph_error *error);
static int remove_confinement(void *subject, struct ph_error *error);

static const struct flow_step steps[] = {
	{ "reserve", reserve, release, 10 * 1000 },
	{ "network", network, remove_network, 60 * 1000 },
	{ "confinement", step_confine, remove_confinement, 90 * 1000 },
	{ "create", step_configure, destroy, 300 * 1000 },
	{ "start", step_start, stop, 90 * 1000 },
	{ "check confinement", step_check_confinement, NULL, 30 * 1000 },
	{ "start agent", step_start_agent, step_leave_agent, 60 * 1000 },
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

/* ---- network and profile: shared by all containers, removed with the last one ---- */

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

static int remove_confinement(void *subject, struct ph_error *error)
{
	Phoenix__ConfineRemoveRequest request = PHOENIX__CONFINE_REMOVE_REQUEST__INIT;
	struct operation *operation = subject;

	if (!registry_is_last(operation->registry, operation->container))
		return FLOW_UNCHANGED;
	return operation_host(operation, "ConfineRemove", &request.base, 30000, ignore_reply);
}

/* ---- create, start ---- */

static int destroy(void *subject, struct ph_error *error)
{
	Phoenix__ContainerRequest request = PHOENIX__CONTAINER_REQUEST__INIT;
	struct operation *operation = subject;

	if (!operation->is_made_here)
		return FLOW_UNCHANGED; /* what an earlier apply made is not ours to destroy */
	request.name = (char *)container_name(operation->container);
	return operation_host(operation, "ContainerDestroy", &request.base, 120000, ignore_reply);
}

static int stop(void *subject, struct ph_error *error)
{
	Phoenix__ContainerStopRequest request = PHOENIX__CONTAINER_STOP_REQUEST__INIT;
	struct operation *operation = subject;

	container_leave_agent(operation->container);
	request.name = (char *)container_name(operation->container);
	return operation_host(operation, "ContainerStop", &request.base, 60000, ignore_reply);
}

/* ---- Docker: from here on the container stays, whatever happens, see the top of this file ---- */

static int install_docker(void *subject, struct ph_error *error)
{
	((struct operation *)subject)->flow.undo_on_failure = false;
	return step_install_docker(subject, error);
}

static int verify(void *subject, struct ph_error *error)
{
	((struct operation *)subject)->flow.undo_on_failure = false;
	return step_verify(subject, error);
}

static int apply_ended(struct operation *operation, const struct ph_error *error,
		       struct ph_error *unsaved)
{
	struct container *container = operation->container;
	int r;

	if (error && error->code == -EBADE && operation->is_policy_replaced)
		step_roll_back_policy(operation);

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
