/*
 * Images: phoenix-host does the work; the client's archive is already in the spool. The spool file
 * is phoenixctl's to remove, also after a failure.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/api/api_private.h"

#define IMPORT_MS (20 * 60 * 1000)
#define QUICK_MS 30000

struct image_order {
	struct registry *registry;
	struct rpc_request *request;
	ProtobufCClosure reply;
	bool is_gone;
	const char *type; /* of the event on success */
};

static void client_left(void *user)
{
	((struct image_order *)user)->is_gone = true;
}

static struct image_order *order_new(struct registry *registry, ProtobufCClosure reply,
				     void *request, const char *type)
{
	struct image_order *order = ph_alloc(sizeof(*order));

	order->registry = registry;
	order->request = request;
	order->reply = reply;
	order->type = type;
	rpc_request_on_cancel(request, client_left, order);
	return order;
}

static void image_done(void *user, const ProtobufCMessage *message, const struct ph_error *error)
{
	const Phoenix__ImageReply *done = (const Phoenix__ImageReply *)message;
	struct image_order *order = user;
	Phoenix__ImageItem item = PHOENIX__IMAGE_ITEM__INIT;

	if (error) {
		journal_error(order->registry->journal, NULL, NULL, order->type, "Failed", error);
		rpc_fail(order->request, error);
		free(order);
		return;
	}
	if (done->image && done->changed)
		journal_write(order->registry->journal, PHOENIX__EVENT__SEVERITY__INFO, NULL, NULL,
			      order->type, "Done", "image %s", done->image->name);
	item.image = done->image;
	item.changed = done->changed;
	if (!order->is_gone)
		order->reply(&item.base, order->request);
	rpc_end(order->request);
	free(order);
}

static bool name_is_refused(const char *name, void *request)
{
	struct ph_error error;

	if (name_is_valid(name))
		return false;
	error_set(&error, -EINVAL, name, "use a-z, 0-9 and '-', at most 63 characters",
		  "this is not an image name");
	rpc_fail(request, &error);
	return true;
}

API_HANDLER(image_import, ImageImportOrder, ImageItem)
{
	Phoenix__ImageImportRequest verb = PHOENIX__IMAGE_IMPORT_REQUEST__INIT;
	struct registry *registry = api_registry(service);

	if (name_is_refused(input->name, request))
		return;
	verb.name = input->name;
	verb.spool_file = input->spool_file;
	verb.source = input->source;
	verb.kind = input->kind;
	host_link_call(registry->host, "ImageImport", &verb.base, IMPORT_MS, image_done,
		       order_new(registry, (ProtobufCClosure)reply, request, "image.imported"),
		       NULL);
}

API_HANDLER(image_remove, NameRequest, ImageItem)
{
	Phoenix__ImageNameRequest verb = PHOENIX__IMAGE_NAME_REQUEST__INIT;
	struct registry *registry = api_registry(service);

	if (name_is_refused(input->name, request))
		return;
	verb.name = input->name;
	verb.kind = input->image_kind;
	host_link_call(registry->host, "ImageRemove", &verb.base, QUICK_MS, image_done,
		       order_new(registry, (ProtobufCClosure)reply, request, "image.removed"),
		       NULL);
}

static void images_listed(void *user, const ProtobufCMessage *message,
			  const struct ph_error *error)
{
	struct image_order *order = user;

	if (error)
		rpc_fail(order->request, error);
	else
		order->reply(message, order->request);
	free(order);
}

API_HANDLER(image_list, NameRequest, ImageListReply)
{
	Phoenix__ImageListRequest verb = PHOENIX__IMAGE_LIST_REQUEST__INIT;
	struct registry *registry = api_registry(service);

	verb.kind = input->image_kind;
	host_link_call(registry->host, "ImageList", &verb.base, QUICK_MS, images_listed,
		       order_new(registry, (ProtobufCClosure)reply, request, "image.listed"),
		       NULL);
}
