/* phoenixctl apply: the file is checked here, with file and line, before anything is sent. */
#include <errno.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "common/message.h"
#include "controller/cli/apply.h"
#include "controller/cli/consent.h"
#include "controller/cli/json.h"
#include "controller/cli/output.h"
#include "controller/cli/plan.h"
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

int apply_fleet(struct invocation *invocation, const Phoenix__Fleet *fleet, struct ph_error *error)
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

static bool is_removed(const Phoenix__PlanItem *item)
{
	return item->action == PHOENIX__PLAN_ITEM__ACTION__REMOVE;
}

/* Asked before anything is done; removed only when all that the file names has been applied. */
static int ask_to_prune(struct invocation *invocation, const Phoenix__PlanReply *plan,
			struct ph_error *error)
{
	char question[96];

	if (!plan->remove)
		return 0;
	fprintf(stderr, "To be removed with their Docker data, for the file does not name them:\n");
	for (size_t i = 0; i < plan->n_items; i++)
		if (is_removed(plan->items[i]))
			fprintf(stderr, "  %s\n", plan->items[i]->container);
	snprintf(question, sizeof(question), "Remove these %u containers?", plan->remove);
	return consent_ask(invocation, question, error);
}

static int apply_and_prune(struct invocation *invocation, const Phoenix__Fleet *fleet,
			   struct ph_error *error)
{
	Phoenix__PlanReply *plan;
	int r = plan_ask(invocation, fleet, true, &plan, error);

	if (r < 0)
		return r;
	r = ask_to_prune(invocation, plan, error);
	if (r == 0)
		r = apply_fleet(invocation, fleet, error);
	for (size_t i = 0; i < plan->n_items && r == 0; i++)
		if (is_removed(plan->items[i]))
			r = remove_container(invocation, plan->items[i]->container, error);
	message_free(plan);
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
	if (r < 0)
		return r;
	return invocation_value(invocation, "prune") ? apply_and_prune(invocation, fleet, error) :
						       apply_fleet(invocation, fleet, error);
}
