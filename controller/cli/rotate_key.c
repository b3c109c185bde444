/* rotate-key: every container that is named, or all of them; the exit code is the first failure's. */
#include <errno.h>
#include <stdio.h>

#include "common/message.h"
#include "common/str.h"
#include "controller/cli/commands.h"
#include "controller/cli/listing.h"
#include "controller/cli/json.h"
#include "controller/cli/output.h"

static int rotate_one(struct invocation *invocation, const char *name, struct ph_error *error)
{
	Phoenix__NameRequest request = PHOENIX__NAME_REQUEST__INIT;
	Phoenix__RotateKeyReply *reply = NULL;
	int r;

	request.name = (char *)name;
	r = client_call(invocation->client, "RotateKey", &request.base, &reply, error);
	if (r < 0)
		return r;
	if (invocation->json)
		json_print(&reply->base, true);
	else
		printf("%s has a new key%s\n", name,
		       reply->pushed ? "; its agent is pushed again" : "");
	message_free(reply);
	return output_check(error);
}

/* Note a failure; the first is what the command ends with, the others are told at once. */
static void note(struct ph_error *first, const struct ph_error *one)
{
	if (!error_is_set(first))
		*first = *one;
	else
		output_error(one);
}

static int rotate_all(struct invocation *invocation, struct ph_error *first)
{
	Phoenix__ListReply *list = NULL;
	struct ph_error one = { 0 };
	int r = listing_get(invocation->client, "List", "", &list, first);

	if (r < 0)
		return r;
	for (size_t i = 0; i < list->n_containers; i++) {
		const Phoenix__ContainerSpec *spec = list->containers[i]->spec;

		if (!spec || !name_is_valid(spec->name))
			continue;
		r = rotate_one(invocation, spec->name, &one);
		if (r < 0)
			note(first, &one);
		if (r == CLIENT_UNREACHABLE || r == -EPIPE)
			break;
	}
	message_free(list);
	return first->code;
}

static int rotate_named(struct invocation *invocation, struct ph_error *first)
{
	for (size_t i = 0; i < invocation->argument_count; i++) {
		struct ph_error one = { 0 };
		int r = rotate_one(invocation, invocation->arguments[i], &one);

		if (r < 0)
			note(first, &one);
		if (r == CLIENT_UNREACHABLE || r == -EPIPE)
			break;
	}
	return first->code;
}

int command_rotate_key(struct invocation *invocation, struct ph_error *error)
{
	bool is_all = invocation_value(invocation, "all") != NULL;
	struct ph_error first = { 0 };
	int r;

	if (is_all == (invocation->argument_count > 0))
		return error_set(error, -EINVAL, NULL,
				 "write phoenixctl rotate-key web1, or phoenixctl rotate-key --all",
				 "name containers, or take them all with --all");
	for (size_t i = 0; i < invocation->argument_count; i++)
		if (!name_is_valid(invocation->arguments[i]))
			return error_set(error, -EINVAL, NULL, "see: phoenixctl list",
					 "'%s' is no container's name", invocation->arguments[i]);
	r = invocation_connect(invocation, error);
	if (r < 0)
		return r;
	r = is_all ? rotate_all(invocation, &first) : rotate_named(invocation, &first);
	*error = first;
	return r;
}
