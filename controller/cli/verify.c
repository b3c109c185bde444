/*
 * phoenixctl verify: the reports, in the order in which they come. Checks are shown as they are made
 * on a terminal only; each of them is in the report.
 */
#include <errno.h>
#include <stdio.h>

#include "controller/cli/commands.h"
#include "controller/cli/json.h"
#include "controller/cli/output.h"
#include "controller/cli/progress.h"
#include "controller/cli/report.h"

struct verify_view {
	struct progress_view progress;
	unsigned int not_passed; /* reports */
	unsigned int broken;     /* containers of which there is no verdict */
};

/* A check that failed is in the report; what kept verify from running is said here. */
static void show_progress(struct verify_view *view, const Phoenix__Progress *progress)
{
	bool is_failed = progress->state == PHOENIX__PROGRESS__STATE__FAILED;
	bool is_verdict = is_failed && progress->failure && progress->failure->code == -EBADE;

	if (is_failed && !is_verdict)
		view->broken++;
	if (!is_verdict && !view->progress.json)
		progress_show(&view->progress, progress);
}

static int verify_item(void *user, const ProtobufCMessage *message, struct ph_error *error)
{
	const Phoenix__OperationItem *item = (const Phoenix__OperationItem *)message;
	struct verify_view *view = user;

	if (view->progress.json)
		json_print(message, true);
	if (item->progress)
		show_progress(view, item->progress);
	if (item->check)
		progress_status(&view->progress, report_check_word(item->check), item->check->id);
	if (item->report && !view->progress.json) {
		progress_clear(&view->progress);
		report_print(item->report);
		putchar('\n');
	}
	if (item->report && !item->report->passed)
		view->not_passed++;
	return output_check(error);
}

int command_verify(struct invocation *invocation, struct ph_error *error)
{
	Phoenix__NameRequest request = PHOENIX__NAME_REQUEST__INIT;
	struct verify_view view = { .progress = { .json = invocation->json } };
	int r = invocation_connect(invocation, error);

	if (r < 0)
		return r;
	if (invocation->argument_count)
		request.name = (char *)invocation->arguments[0];
	r = client_stream(invocation->client, "Verify", &request.base, verify_item, &view, error);
	progress_clear(&view.progress);
	if (r == -EBADE && view.not_passed && !view.broken)
		return EXIT_UNHEALTHY; /* the reports have said it all */
	if (r == -EBADE && view.broken)
		error->code = r = -EIO; /* of some there is no verdict at all */
	return r == 0 && view.not_passed ? EXIT_UNHEALTHY : r;
}
