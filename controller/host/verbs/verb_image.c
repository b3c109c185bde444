/* Images and bundles: a thin layer over the image room. */
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/image/bundle.h"
#include "controller/host/image/image.h"
#include "controller/host/verbs/verbs.h"

static bool is_bundle(Phoenix__ImageKind kind)
{
	return kind == PHOENIX__IMAGE_KIND__IMAGE_KIND_BUNDLE;
}

static void fill(Phoenix__Image *message, const struct image *image)
{
	phoenix__image__init(message);
	message->name = (char *)image->name;
	message->size_bytes = image->size_bytes;
	message->created_ms = image->created_ms;
	message->source = (char *)image->source;
	message->digest = (char *)image->digest;
}

static void send_image(const struct verb_host *host, const struct image *image, bool changed)
{
	Phoenix__ImageReply reply = PHOENIX__IMAGE_REPLY__INIT;
	Phoenix__Image message;

	fill(&message, image);
	reply.image = &message;
	reply.changed = changed;
	worker_send(host->output, &reply.base);
}

int verb_image_import(const struct verb_host *host, const ProtobufCMessage *message,
		      struct ph_error *error)
{
	const Phoenix__ImageImportRequest *request = (const void *)message;
	const struct image_import import = {
		.name = request->name,
		.spool_file = request->spool_file,
		.source = request->source,
	};
	struct image image;
	int code = is_bundle(request->kind) ?
			   bundle_import(host->config, &import, &image, error) :
			   image_import(host->config, &import, &image, error);

	if (code < 0)
		return code;
	send_image(host, &image, code == IMAGE_CHANGED);
	return 0;
}

int verb_image_remove(const struct verb_host *host, const ProtobufCMessage *message,
		      struct ph_error *error)
{
	const Phoenix__ImageNameRequest *request = (const void *)message;
	struct image image = { 0 };
	int code;

	text_copy(image.name, sizeof(image.name), request->name);
	if (is_bundle(request->kind)) {
		bundle_find(host->config, request->name, &image, NULL);
		code = bundle_remove(host->config, request->name, error);
	} else {
		image_find(host->config, request->name, &image, NULL);
		code = image_remove(host->config, request->name, error);
	}
	if (code < 0)
		return code;
	send_image(host, &image, code == IMAGE_CHANGED);
	return 0;
}

int verb_image_list(const struct verb_host *host, const ProtobufCMessage *message,
		    struct ph_error *error)
{
	Phoenix__ImageListReply reply = PHOENIX__IMAGE_LIST_REPLY__INIT;
	PH_AUTO_FREE struct image *images = NULL;
	PH_AUTO_FREE Phoenix__Image *messages = NULL;
	PH_AUTO_FREE Phoenix__Image **pointers = NULL;
	const Phoenix__ImageListRequest *request = (const void *)message;
	size_t count;
	int code = is_bundle(request->kind) ? bundle_list(host->config, &images, &count, error) :
					      image_list(host->config, &images, &count, error);

	if (code < 0)
		return code;
	messages = ph_alloc_array(count + 1, sizeof(*messages));
	pointers = ph_alloc_array(count + 1, sizeof(*pointers));
	for (size_t i = 0; i < count; i++) {
		fill(&messages[i], &images[i]);
		pointers[i] = &messages[i];
	}
	reply.images = pointers;
	reply.n_images = count;
	worker_send(host->output, &reply.base);
	return 0;
}
