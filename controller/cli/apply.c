/* phoenixctl apply: the file is checked here, with file and line, before anything is sent. */
#include <errno.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "common/message.h"
#include "controller/cli/commands.h"
#include "controller/cli/json.h"
#include "controller/cli/output.h"
#include "controller/cli/progress.h"
#include "controller/fleet/fleet.h"

PH_DEFINE_CLEANUP(Phoenix__Fleet *, fleet_free);

struct apply_view {
	struct progress_view progress;
	Phoenix__ApplySummary *summary; /* owned */
};

static int apply_item(void *user, const ProtobufCMessage *message, struct ph_error *error)
{
	const Phoenix__ApplyItem *item = (const Phoenix__ApplyItem *)message;
	struct apply_view *view = user;

	if (item->progress)
		progress_show(&view->progress, item->progress);
	if (item->summary)
		MESSAGE_REPLACE(view->summary, item->summary);
	return output_check(error);
}

static void print_summary(const Phoenix__ApplySummary *summary, bool as_json)
{
	if (as_json)
		json_print(&summary->base, true);
	else
		printf("%u created, %u changed, %u unchanged, %u failed in %.1f s\n",
		       summary->created, summary->changed, summary->unchanged, summary->failed,
		       (double)summary->duration_ms / 1000);
}

/* On stderr: it has to be seen also where the output is a program's. */
static void warn_best_effort(const Phoenix__Fleet *fleet)
{
	size_t count = 0;

	for (size_t i = 0; i < fleet->n_containers; i++)
		count += fleet->containers[i]->confinement ==
			 PHOENIX__CONFINEMENT__CONFINEMENT_BEST_EFFORT;
	if (count)
		fprintf(stderr,
			"phoenixctl: WARNING: %zu of %zu containers ask for best-effort confinement: "
			"where\nAppArmor cannot be enforced they run without it\n",
			count, fleet->n_containers);
}

/* Containers have failed: whatever their errno was, the order was understood and ran. */
static int containers_failed(const Phoenix__ApplySummary *summary, struct ph_error *error)
{
	error_prefix(error, "%u of %u containers failed, the first", summary->failed,
		     summary->created + summary->changed + summary->unchanged + summary->failed);
	error->code = -EIO;
	return error->code;
}

static int apply(struct invocation *invocation, const Phoenix__Fleet *fleet, struct ph_error *error)
{
	Phoenix__ApplyRequest request = PHOENIX__APPLY_REQUEST__INIT;
	struct apply_view view = { .progress = { .json = invocation->json } };
	int r;

	request.fleet = (Phoenix__Fleet *)fleet;
	r = client_stream(invocation->client, "Apply", &request.base, apply_item, &view, error);
	progress_clear(&view.progress);
	if (view.summary)
		print_summary(view.summary, invocation->json);
	if (r == 0 && !view.summary)
		r = error_set(error, -EPROTO, NULL, "look with: phoenixctl list",
			      "phoenixd has ended the apply without a summary");
	else if (r == 0 && view.summary->failed)
		r = error_set(error, -EIO, NULL, NULL, "see above");
	if (r < 0 && view.summary && view.summary->failed)
		r = containers_failed(view.summary, error);
	message_free(view.summary);
	return r;
}

int command_apply(struct invocation *invocation, struct ph_error *error)
{
	PH_CLEANUP(fleet_free_cleanup) Phoenix__Fleet *fleet = NULL;
	const char *file = invocation_value(invocation, "file");
	int r;

	if (!file)
		return error_set(error, -EINVAL, NULL, "phoenixctl apply -f fleet.yaml",
				 "no fleet file was named");
	r = fleet_load(file, &fleet, error);
	if (r < 0)
		return -EINVAL; /* whatever is wrong with it: it is the input */
	warn_best_effort(fleet);
	r = invocation_connect(invocation, error);
	return r < 0 ? r : apply(invocation, fleet, error);
}
