/* phoenixctl discard: the root file systems that are kept for going back. */
#include <errno.h>

#include "common/str.h"
#include "controller/cli/commands.h"
#include "controller/cli/consent.h"
#include "controller/cli/output.h"
#include "controller/cli/progress.h"
#include "controller/fleet/selector.h"

static int order_item(void *user, const ProtobufCMessage *message, struct ph_error *error)
{
	const Phoenix__OperationItem *item = (const Phoenix__OperationItem *)message;

	if (item->progress)
		progress_show(user, item->progress);
	return output_check(error);
}

static int discard(struct invocation *invocation, const char *selector, struct ph_error *error)
{
	Phoenix__NameRequest request = PHOENIX__NAME_REQUEST__INIT;
	struct progress_view view = { .json = invocation->json };
	int r;

	request.name = (char *)selector;
	r = client_stream(invocation->client, "Discard", &request.base, order_item, &view, error);
	progress_clear(&view);
	return r;
}

static int check_arguments(const struct invocation *invocation, const char *text,
			   struct ph_error *error)
{
	struct selector selector;

	if (!text == !invocation->argument_count || (text && text_empty(text)))
		return error_set(error, -EINVAL, NULL,
				 "phoenixctl discard web1 web2, or: discard --selector 'role=web'",
				 text && invocation->argument_count ?
					 "names and --selector exclude each other" :
					 "no container was named");
	return text ? selector_parse(text, &selector, error) : invocation_check_names(invocation, error);
}

int command_discard(struct invocation *invocation, struct ph_error *error)
{
	const char *selector = invocation_value(invocation, "selector");
	int r = check_arguments(invocation, selector, error);

	if (r == 0)
		r = consent_ask(invocation,
				"The root file systems that are kept for going back are removed, and "
				"with them the way back. Go on?", error);
	if (r == 0)
		r = invocation_connect(invocation, error);
	if (r < 0)
		return r;
	return selector ? discard(invocation, selector, error) :
			  invocation_each_name(invocation, discard, error);
}
