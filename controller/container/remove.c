/*
 * Remove: stop, destroy, release; the bridge and the profile go with the last container. Nothing is
 * undone: a remove that failed half-way is finished by the next one.
 */
#include <errno.h>

#include "common/cleanup.h"
#include "common/message.h"
#include "controller/container/operation.h"

#define GRACE_MS 10000

static int done(struct operation *operation, const ProtobufCMessage *reply, struct ph_error *error)
{
	return FLOW_NEXT;
}

static int mark(void *subject, struct ph_error *error)
{
	struct operation *operation = subject;

	message_set_text(&operation->container->record->phase, CONTAINER_PHASE_REMOVING);
	container_leave_agent(operation->container);
	return container_save(operation->container, error) < 0 ? error->code : FLOW_NEXT;
}

static int stop(void *subject, struct ph_error *error)
{
	Phoenix__ContainerStopRequest request = PHOENIX__CONTAINER_STOP_REQUEST__INIT;
	struct operation *operation = subject;

	request.name = (char *)container_name(operation->container);
	request.grace_ms = GRACE_MS;
	return operation_host(operation, "ContainerStop", &request.base, 60000, done);
}

static int destroy(void *subject, struct ph_error *error)
{
	Phoenix__ContainerRequest request = PHOENIX__CONTAINER_REQUEST__INIT;
	struct operation *operation = subject;

	request.name = (char *)container_name(operation->container);
	return operation_host(operation, "ContainerDestroy", &request.base, 300000, done);
}

static int remove_network(void *subject, struct ph_error *error)
{
	Phoenix__NetworkRemoveRequest request = PHOENIX__NETWORK_REMOVE_REQUEST__INIT;
	struct operation *operation = subject;

	if (!registry_is_last(operation->registry, operation->container))
		return FLOW_UNCHANGED;
	return operation_host(operation, "NetworkRemove", &request.base, 30000, done);
}

static int remove_confinement(void *subject, struct ph_error *error)
{
	Phoenix__ConfineRemoveRequest request = PHOENIX__CONFINE_REMOVE_REQUEST__INIT;
	struct operation *operation = subject;

	if (!registry_is_last(operation->registry, operation->container))
		return FLOW_UNCHANGED;
	return operation_host(operation, "ConfineRemove", &request.base, 30000, done);
}

static int release(void *subject, struct ph_error *error)
{
	struct operation *operation = subject;

	return container_delete(operation->container, error) < 0 ? error->code : FLOW_NEXT;
}

static const struct flow_step steps[] = {
	{ "mark", mark, NULL, 0 },
	{ "stop", stop, NULL, 60 * 1000 },
	{ "destroy", destroy, NULL, 300 * 1000 },
	{ "network", remove_network, NULL, 30 * 1000 },
	{ "confinement", remove_confinement, NULL, 30 * 1000 },
	{ "release", release, NULL, 0 },
};

static int remove_ended(struct operation *operation, const struct ph_error *error,
			struct ph_error *unsaved)
{
	struct container *container = operation->container;

	if (error)
		return container_set_phase(container, CONTAINER_PHASE_REMOVING, error, unsaved);
	registry_take(operation->registry, container);
	operation->container = NULL;
	container_free(container);
	return 0;
}

const struct operation_type operation_remove = {
	.name = "remove",
	.steps = steps,
	.count = ARRAY_LENGTH(steps),
	.ended = remove_ended,
};
