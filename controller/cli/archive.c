#include "controller/cli/archive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/cli/json.h"
#include "controller/cli/output.h"
#include "controller/cli/progress.h"
#include "controller/cli/table.h"

#define SOURCE_MAXIMUM 200 /* bytes that phoenix-host keeps of where an archive came from */

const struct archive_kind archive_image = { PHOENIX__IMAGE_KIND__IMAGE_KIND_IMAGE, "an image" };
const struct archive_kind archive_bundle = { PHOENIX__IMAGE_KIND__IMAGE_KIND_BUNDLE, "a bundle" };

struct view {
	struct progress_view progress;
	Phoenix__ImageItem *last; /* owned */
};

static int take_item(void *user, const ProtobufCMessage *message, struct ph_error *error)
{
	const Phoenix__ImageItem *item = (const Phoenix__ImageItem *)message;
	struct view *view = user;

	if (item->progress)
		progress_show(&view->progress, item->progress);
	else
		MESSAGE_REPLACE(view->last, item);
	return output_check(error);
}

static const char *without_article(const struct archive_kind *kind)
{
	return strchr(kind->noun, ' ') + 1;
}

/* Print how it ended. */
static void finish(const struct invocation *invocation, const struct archive_kind *kind,
		   const char *name, const struct view *view, const char *outcome)
{
	if (invocation->json && view->last)
		json_print(&view->last->base, true);
	else if (!invocation->json)
		printf("%s %s%s\n", without_article(kind), name, outcome);
}

int archive_check_name(const struct archive_kind *kind, const char *name, struct ph_error *error)
{
	if (name_is_valid(name))
		return 0;
	return error_set(error, -EINVAL, NULL, "use a-z, 0-9 and '-', at most 63 characters",
			 "'%s' is not a name for %s", name, kind->noun);
}

/* Where it came from, as it can be kept: its end says most. */
static char *source_text(const char *source)
{
	PH_AUTO_FREE char *clean = text_clean(source);
	const char *text = clean;
	size_t length = strlen(clean);

	if (length > SOURCE_MAXIMUM)
		text += length - SOURCE_MAXIMUM;
	while (((unsigned char)*text & 0xc0) == 0x80)
		text++; /* not within a character */
	return ph_strdup(text);
}

int archive_import(struct invocation *invocation, const struct archive_kind *kind, const char *name,
		   const char *source, const struct spool *spool, struct ph_error *error)
{
	Phoenix__ImageImportOrder order = PHOENIX__IMAGE_IMPORT_ORDER__INIT;
	struct view view = { .progress = { .json = invocation->json } };
	PH_AUTO_FREE char *text = source_text(source);
	int r;

	/* Filling the spool takes minutes: the controller may have been restarted meanwhile. */
	client_close(take_pointer(invocation->client));
	r = invocation_connect(invocation, error);
	if (r < 0)
		return r;
	order.name = (char *)name;
	order.spool_file = (char *)spool->name;
	order.source = text;
	order.kind = kind->kind;
	r = client_stream(invocation->client, "ImageImport", &order.base, take_item, &view, error);
	progress_clear(&view.progress);
	if (r == 0)
		finish(invocation, kind, name, &view,
		       view.last && view.last->changed ? ": imported" : ": unchanged");
	if (r == -ENOENT)
		error->code = r = -EIO;
	message_free(view.last);
	return r;
}

int archive_remove(struct invocation *invocation, const struct archive_kind *kind,
		   struct ph_error *error)
{
	Phoenix__NameRequest request = PHOENIX__NAME_REQUEST__INIT;
	struct view view = { .progress = { .json = invocation->json } };
	const char *name = invocation->arguments[0];
	int r = archive_check_name(kind, name, error);

	if (r == 0)
		r = invocation_connect(invocation, error);
	if (r < 0)
		return r;
	request.name = (char *)name;
	request.image_kind = kind->kind;
	r = client_stream(invocation->client, "ImageRemove", &request.base, take_item, &view,
			  error);
	progress_clear(&view.progress);
	if (r == 0)
		finish(invocation, kind, name, &view, " removed");
	message_free(view.last);
	return r;
}
