/*
 * What the files of this room share: the service object and the streams that outlive a handler.
 */
#pragma once

#include "common/rpc.h"
#include "controller/api/api.h"
#include "controller/container/container.h"
#include "controller/container/operation.h"
#include "controller/fleet/selector.h"

/* Embeds the generated service: handlers recover the api from it. */
struct api_service {
	Phoenix__Control_Service service; /* first */
	struct registry *registry;        /* borrowed */
};

/* The registry behind a generated handler's service pointer. */
static inline struct registry *api_registry(Phoenix__Control_Service *service)
{
	return ((struct api_service *)service)->registry;
}

/* Generated handlers; each file of this room implements some. */
#define API_HANDLER(name, request_type, reply_type)                                                \
	void control__##name(Phoenix__Control_Service *service,                                    \
			     const Phoenix__##request_type *input,                                 \
			     Phoenix__##reply_type##_Closure reply, void *request)

API_HANDLER(version, VersionRequest, VersionReply);
API_HANDLER(apply, ApplyRequest, ApplyItem);
API_HANDLER(list, NameRequest, ListReply);
API_HANDLER(show, NameRequest, ContainerStatus);
API_HANDLER(health, NameRequest, ListReply);
API_HANDLER(verify, NameRequest, OperationItem);
API_HANDLER(remove, NameRequest, OperationItem);
API_HANDLER(events, EventsRequest, EventsItem);
API_HANDLER(image_import, ImageImportOrder, ImageItem);
API_HANDLER(image_remove, NameRequest, ImageItem);
API_HANDLER(denials, DenialsRequest, DenialsReply);
API_HANDLER(confinement_status, ConfinementStatusRequest, ConfineStatusReply);
API_HANDLER(image_list, NameRequest, ImageListReply);
API_HANDLER(preflight, PreflightRequest, PreflightReply);
API_HANDLER(rotate_key, NameRequest, RotateKeyReply);
API_HANDLER(storage, NameRequest, StorageReport);
API_HANDLER(plan, PlanRequest, PlanReply);
API_HANDLER(drift, DriftRequest, DriftReply);
API_HANDLER(foreign, ForeignListRequest, ForeignListReply);
API_HANDLER(adopt, AdoptOrder, AdoptItem);
API_HANDLER(confine, ConfineRequest, RolloutStatus);
API_HANDLER(unadopt, NameRequest, OperationItem);
API_HANDLER(discard, NameRequest, OperationItem);

/*
 * Parse a selector and see that it selects something. Else the request is failed, which uses it up,
 * and the answer is false.
 */
bool api_select(const struct registry *registry, const char *text, struct selector *ret_selector,
		struct rpc_request *request);

/* Whether a container is selected. */
bool api_is_selected(const struct selector *selector, const struct container *container);
API_HANDLER(rollout_start, RolloutStartRequest, RolloutStatus);
API_HANDLER(rollout_show, RolloutRequest, RolloutStatus);
API_HANDLER(rollout_command, RolloutCommandRequest, RolloutStatus);
API_HANDLER(rollout_list, RolloutRequest, RolloutListReply);

/* Fail a request because no container has that name. */
void api_fail_not_found(struct rpc_request *request, const char *name);
