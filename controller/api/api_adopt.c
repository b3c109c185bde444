/* adopt: what there is, and taking one over. Confining and giving back are orders (api_operation.c). */
#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/api/api_private.h"
#include "controller/container/adopt.h"

#define HOST_MS 65000

struct wish {
	struct registry *registry;
	struct rpc_request *request;
	ProtobufCClosure reply;
};

static struct wish *wish_new(struct registry *registry, ProtobufCClosure reply, void *request)
{
	struct wish *wish = ph_alloc(sizeof(*wish));

	wish->registry = registry;
	wish->request = request;
	wish->reply = reply;
	return wish;
}

static void listed(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	struct wish *wish = user;

	if (error)
		rpc_fail(wish->request, error);
	else
		wish->reply(reply, wish->request);
	free(wish);
}

API_HANDLER(foreign, ForeignListRequest, ForeignListReply)
{
	struct registry *registry = api_registry(service);

	host_link_call(registry->host, "ForeignList", &input->base, HOST_MS, listed,
		       wish_new(registry, (ProtobufCClosure)reply, request), NULL);
}

static void answer(struct wish *wish, const Phoenix__ForeignContainer *found)
{
	struct container *container = registry_find(wish->registry, found->name);
	Phoenix__AdoptItem item = PHOENIX__ADOPT_ITEM__INIT;
	struct ph_error error;

	if (!container && adopt_record(wish->registry, found, &container, &error) < 0) {
		rpc_fail(wish->request, &error);
		return;
	}
	item.found = (Phoenix__ForeignContainer *)found;
	item.status = container_status(container);
	wish->reply(&item.base, wish->request);
	message_free(item.status);
}

static void adopted(void *user, const ProtobufCMessage *message, const struct ph_error *error)
{
	const Phoenix__AdoptReply *reply = (const Phoenix__AdoptReply *)message;
	struct wish *wish = user;

	if (error)
		rpc_fail(wish->request, error);
	else
		answer(wish, reply->container);
	free(wish);
}

API_HANDLER(adopt, AdoptOrder, AdoptItem)
{
	Phoenix__AdoptRequest order = PHOENIX__ADOPT_REQUEST__INIT;
	struct registry *registry = api_registry(service);
	struct container *container = registry_find(registry, input->name);
	struct ph_error error;

	if (container && !adopt_is(container)) {
		error_set(&error, -EEXIST, input->name, "rename one of them",
			  "Phoenix has a container of this name already");
		rpc_fail(request, &error);
		return;
	}
	order.lxc_path = input->lxc_path;
	order.name = input->name;
	host_link_call(registry->host, "Adopt", &order.base, HOST_MS, adopted,
		       wish_new(registry, (ProtobufCClosure)reply, request), NULL);
}
