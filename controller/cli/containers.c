/* list, show, health, remove: questions and orders about containers. */
#include <errno.h>
#include <stdio.h>

#include "common/message.h"
#include "common/str.h"
#include "controller/cli/apply.h"
#include "controller/cli/json.h"
#include "controller/cli/listing.h"
#include "controller/cli/output.h"
#include "controller/cli/progress.h"
#include "controller/cli/status.h"
#include "controller/cli/table.h"

static int ask(struct invocation *invocation, const char *method, Phoenix__ListReply **ret_list,
	       struct ph_error *error)
{
	const char *selector = invocation->argument_count ? invocation->arguments[0] : "";
	int r = invocation_connect(invocation, error);

	return r < 0 ? r : listing_get(invocation->client, method, selector, ret_list, error);
}

/* For scripts and the completion, which may evaluate them: names, and nothing else. */
static void print_names(const Phoenix__ListReply *reply)
{
	for (size_t i = 0; i < reply->n_containers; i++)
		if (reply->containers[i]->spec && name_is_valid(reply->containers[i]->spec->name))
			puts(reply->containers[i]->spec->name);
}

int command_list(struct invocation *invocation, struct ph_error *error)
{
	Phoenix__ListReply *reply = NULL;
	int r = ask(invocation, "List", &reply, error);

	if (r < 0)
		return r;
	if (invocation_value(invocation, "names"))
		print_names(reply);
	else if (invocation->json)
		json_print(&reply->base, false);
	else
		status_print_list(reply);
	message_free(reply);
	return EXIT_OK;
}

int command_show(struct invocation *invocation, struct ph_error *error)
{
	Phoenix__NameRequest request = PHOENIX__NAME_REQUEST__INIT;
	Phoenix__ContainerStatus *status = NULL;
	int r = invocation_connect(invocation, error);

	request.name = (char *)invocation->arguments[0];
	if (r == 0)
		r = client_call(invocation->client, "Show", &request.base, &status, error);
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

/* ---- remove ---- */

static int remove_item(void *user, const ProtobufCMessage *message, struct ph_error *error)
{
	const Phoenix__OperationItem *item = (const Phoenix__OperationItem *)message;

	if (item->progress)
		progress_show(user, item->progress);
	return output_check(error);
}

int remove_container(struct invocation *invocation, const char *name, struct ph_error *error)
{
	Phoenix__NameRequest request = PHOENIX__NAME_REQUEST__INIT;
	struct progress_view view = { .json = invocation->json };
	int r;

	request.name = (char *)name;
	r = client_stream(invocation->client, "Remove", &request.base, remove_item, &view, error);
	progress_clear(&view);
	if (r == 0 && !invocation->json)
		printf("%s removed\n", name);
	return r;
}

int command_remove(struct invocation *invocation, struct ph_error *error)
{
	int r = invocation_check_names(invocation, error);

	if (r == 0)
		r = invocation_connect(invocation, error);
	return r < 0 ? r : invocation_each_name(invocation, remove_container, error);
}
