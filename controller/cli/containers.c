/* list, show, health, remove: questions and orders about containers. */
#include <errno.h>
#include <stdio.h>

#include "common/message.h"
#include "common/str.h"
#include "controller/cli/commands.h"
#include "controller/cli/json.h"
#include "controller/cli/progress.h"
#include "controller/cli/status.h"
#include "controller/cli/table.h"

static int ask(struct invocation *invocation, const char *method, void *ret_reply,
	       struct ph_error *error)
{
	Phoenix__NameRequest request = PHOENIX__NAME_REQUEST__INIT;

	if (invocation->argument_count)
		request.name = (char *)invocation->arguments[0];
	return client_call(invocation->client, method, &request.base, ret_reply, error);
}

int command_list(struct invocation *invocation, struct ph_error *error)
{
	Phoenix__ListReply *reply = NULL;
	int r = ask(invocation, "List", &reply, error);

	if (r < 0)
		return r;
	if (invocation_value(invocation, "names"))
		for (size_t i = 0; i < reply->n_containers; i++)
			puts(reply->containers[i]->spec ? reply->containers[i]->spec->name : "?");
	else if (invocation->json)
		json_print(&reply->base, false);
	else
		status_print_list(reply);
	message_free(reply);
	return EXIT_OK;
}

int command_show(struct invocation *invocation, struct ph_error *error)
{
	Phoenix__ContainerStatus *status = NULL;
	int r = ask(invocation, "Show", &status, error);

	if (r < 0)
		return r;
	if (invocation->json)
		json_print(&status->base, false);
	else
		status_print_whole(status);
	message_free(status);
	return EXIT_OK;
}

int command_health(struct invocation *invocation, struct ph_error *error)
{
	Phoenix__ListReply *reply = NULL;
	int r = ask(invocation, "Health", &reply, error);
	int code = EXIT_OK;

	if (r < 0)
		return r;
	if (invocation->json)
		json_print(&reply->base, false);
	else
		status_print_health(reply);
	for (size_t i = 0; i < reply->n_containers; i++)
		if (!reply->containers[i]->ready)
			code = EXIT_UNHEALTHY;
	message_free(reply);
	return code;
}

static void remove_item(void *user, const ProtobufCMessage *message)
{
	const Phoenix__OperationItem *item = (const Phoenix__OperationItem *)message;

	if (item->progress)
		progress_show(user, item->progress);
}

int command_remove(struct invocation *invocation, struct ph_error *error)
{
	struct progress_view view = { .json = invocation->json };
	int r = 0;

	for (size_t i = 0; i < invocation->argument_count && r == 0; i++) {
		Phoenix__NameRequest request = PHOENIX__NAME_REQUEST__INIT;

		request.name = (char *)invocation->arguments[i];
		r = client_stream(invocation->client, "Remove", &request.base, remove_item, &view,
				  error);
		progress_clear(&view);
		if (r == 0 && !invocation->json) {
			print_clean(invocation->arguments[i]);
			puts(" removed");
		}
	}
	return r;
}

/* ---- verify ---- */

struct verify_view {
	struct progress_view progress;
	bool json;
	unsigned int failed;
};

static void verify_item(void *user, const ProtobufCMessage *message)
{
	const Phoenix__OperationItem *item = (const Phoenix__OperationItem *)message;
	struct verify_view *view = user;

	if (view->json) {
		json_print(message, true);
	} else if (item->progress && item->progress->state != PHOENIX__PROGRESS__STATE__FAILED) {
		progress_show(&view->progress, item->progress);
	} else if (item->check) {
		progress_clear(&view->progress);
		status_print_check("", item->check);
		fflush(stdout);
	} else if (item->report) {
		progress_clear(&view->progress);
		putchar('\n');
		status_print_report(item->report);
	}
	if (item->report && !item->report->passed)
		view->failed++;
}

int command_verify(struct invocation *invocation, struct ph_error *error)
{
	Phoenix__NameRequest request = PHOENIX__NAME_REQUEST__INIT;
	struct verify_view view = { .json = invocation->json };
	int r;

	view.progress.json = invocation->json;
	if (invocation->argument_count)
		request.name = (char *)invocation->arguments[0];
	r = client_stream(invocation->client, "Verify", &request.base, verify_item, &view, error);
	progress_clear(&view.progress);
	if (r == -EBADE && view.failed)
		return EXIT_UNHEALTHY; /* the report has said it all */
	return r;
}
