/* phoenixctl apply: the file is checked here, with file and line, before anything is sent. */
#include <errno.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "common/message.h"
#include "controller/cli/commands.h"
#include "controller/cli/json.h"
#include "controller/cli/progress.h"
#include "controller/fleet/fleet.h"

struct apply_view {
	struct progress_view progress;
	Phoenix__ApplySummary *summary;
};

static void apply_item(void *user, const ProtobufCMessage *message)
{
	const Phoenix__ApplyItem *item = (const Phoenix__ApplyItem *)message;
	struct apply_view *view = user;

	if (item->progress)
		progress_show(&view->progress, item->progress);
	if (item->summary)
		MESSAGE_REPLACE(view->summary, item->summary);
}

static void print_summary(const struct invocation *invocation, struct apply_view *view)
{
	const Phoenix__ApplySummary *summary = view->summary;

	progress_clear(&view->progress);
	if (!summary)
		return;
	if (invocation->json)
		json_print(&summary->base, true);
	else
		printf("%u created, %u changed, %u unchanged, %u failed in %.1f s\n",
		       summary->created, summary->changed, summary->unchanged, summary->failed,
		       (double)summary->duration_ms / 1000);
}

int command_apply(struct invocation *invocation, struct ph_error *error)
{
	Phoenix__ApplyRequest request = PHOENIX__APPLY_REQUEST__INIT;
	struct apply_view view = { .progress = { .json = invocation->json } };
	const char *file = invocation_value(invocation, "file");
	int r;

	if (!file)
		return error_set(error, -EINVAL, "apply", "phoenixctl apply -f fleet.yaml",
				 "no fleet file was named");
	r = fleet_load(file, &request.fleet, error);
	if (r < 0)
		return error_set(error, -EINVAL, error->where, error->remedy, "%s", error->why);
	/* The file is good: now the controller is needed. */
	r = client_open(invocation->socket, &invocation->client, error);
	if (r == 0)
		r = client_stream(invocation->client, "Apply", &request.base, apply_item, &view,
				  error);
	print_summary(invocation, &view);
	/* Failures of single containers were shown where they happened. */
	if (r < 0 && view.summary && view.summary->failed)
		r = r == -EBADE ? EXIT_UNHEALTHY : EXIT_OPERATION;
	message_free(view.summary);
	fleet_free(request.fleet);
	return r;
}
