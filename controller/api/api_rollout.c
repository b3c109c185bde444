/*
 * Rollouts: begun, shown, followed and commanded. A client that follows one and leaves stops nothing.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/api/api_private.h"
#include "controller/fleet/fleet.h"
#include "controller/fleet/rollout_keys.h"
#include "controller/rollout/rollouts.h"

#define SHOWN_MAXIMUM 64
#define PROBE_MS 10000

static void fail_no_rollout(void *request, const char *id)
{
	struct ph_error error;

	error_set(&error, -ENOENT, text_empty(id) ? NULL : id,
		  "phoenixctl rollout history shows what there is",
		  text_empty(id) ? "there has been no rollout yet" : "there is no such rollout");
	rpc_fail(request, &error);
}

static struct rollout *find(Phoenix__Control_Service *service, const char *id, void *request)
{
	struct rollouts *rollouts = api_registry(service)->rollouts;
	struct rollout *rollout = rollouts ? rollouts_find(rollouts, id) : NULL;

	if (!rollout)
		fail_no_rollout(request, id);
	return rollout;
}

/* ---- start ---- */

static int check_request(const struct registry *registry, const Phoenix__RolloutStartRequest *input,
			 struct ph_error *error)
{
	const char *field;
	int r;

	if (!input->fleet)
		return error_set(error, -EINVAL, "fleet", NULL, "the request carries no fleet");
	r = fleet_validate(input->fleet, error);
	if (r == 0)
		r = fleet_validate_addresses(input->fleet, registry->config->subnet,
					     registry->config->prefix_length, error);
	if (r == 0 && input->fleet->rollout)
		r = rollout_keys_check(input->fleet->rollout, &field, error);
	return r;
}

static void start(struct registry *registry, const struct rollouts_order *order,
		  Phoenix__RolloutStatus_Closure reply, void *request)
{
	Phoenix__RolloutStatus nothing = PHOENIX__ROLLOUT_STATUS__INIT, *status = NULL;
	struct ph_error error;
	int r;

	if (!registry->rollouts)
		r = error_set(&error, -EOPNOTSUPP, NULL, NULL, "this phoenixd drives no rollouts");
	else
		r = rollouts_start(registry->rollouts, order, &status, &error);
	if (r < 0) {
		error_prefix(&error, "rollout: nothing was changed");
		rpc_fail(request, &error);
		return;
	}
	reply(r == ROLLOUTS_NOTHING ? &nothing : status, request);
	message_free(status);
}

API_HANDLER(rollout_start, RolloutStartRequest, RolloutStatus)
{
	struct registry *registry = api_registry(service);
	const struct rollouts_order order = { .fleet = input->fleet,
					      .selector = input->selector,
					      .push_agents = input->push_agents,
					      .plan_only = input->plan_only };
	struct ph_error error;

	if (check_request(registry, input, &error) == 0) {
		start(registry, &order, reply, request);
		return;
	}
	error_prefix(&error, "rollout: nothing was changed");
	rpc_fail(request, &error);
}

/* ---- confine: a rollout over adopted containers, on a host that is asked first whether it can ---- */

struct confining {
	struct registry *registry;
	struct rpc_request *request;
	Phoenix__RolloutStatus_Closure reply;
	Phoenix__ConfineRequest *input; /* owned */
};

static void probed(void *user, const ProtobufCMessage *message, const struct ph_error *error)
{
	struct confining *confining = user;
	const struct rollouts_order order = { .selector = confining->input->selector,
					      .plan_only = confining->input->plan_only,
					      .strategy = confining->input->strategy };
	struct selector selector;

	if (error) {
		rpc_fail(confining->request, error);
	} else {
		registry_set_probe(confining->registry, (const Phoenix__ProbeReply *)message);
		if (api_select(confining->registry, order.selector, &selector, confining->request))
			start(confining->registry, &order, confining->reply, confining->request);
	}
	message_free(confining->input);
	free(confining);
}

static int check_confine(const Phoenix__ConfineRequest *input, struct ph_error *error)
{
	const char *field;

	if (text_empty(input->selector))
		return error_set(error, -EINVAL, "selector", "name it, or a selector such as 'old*'",
				 "no container was named");
	return input->strategy ? rollout_keys_check(input->strategy, &field, error) : 0;
}

API_HANDLER(confine, ConfineRequest, RolloutStatus)
{
	Phoenix__ProbeRequest probe = PHOENIX__PROBE_REQUEST__INIT;
	struct registry *registry = api_registry(service);
	struct confining *confining;
	struct ph_error error;

	if (check_confine(input, &error) < 0) {
		error_prefix(&error, "rollout: nothing was changed");
		rpc_fail(request, &error);
		return;
	}
	confining = ph_alloc(sizeof(*confining));
	*confining = (struct confining){ registry, request, reply, MESSAGE_COPY(input) };
	host_link_call(registry->host, "Probe", &probe.base, PROBE_MS, probed, confining, NULL);
}

/* ---- show and follow ---- */

struct following {
	struct rollout_watcher watcher;
	struct rpc_request *request;
	Phoenix__RolloutStatus_Closure reply;
};

static void changed(void *user, const Phoenix__RolloutStatus *status)
{
	struct following *following = user;

	following->reply(status, following->request);
}

static void ended(void *user)
{
	struct following *following = user;

	rpc_end(following->request);
	free(following);
}

static void client_left(void *user)
{
	struct following *following = user;

	rollout_unwatch(&following->watcher);
	ended(following);
}

API_HANDLER(rollout_show, RolloutRequest, RolloutStatus)
{
	struct rollout *rollout = find(service, input->id, request);
	struct following *following;
	Phoenix__RolloutStatus *status;
	bool is_over;

	if (!rollout)
		return;
	status = rollout_status(rollout, true);
	is_over = status->rollout->ended_ms != 0;
	reply(status, request);
	message_free(status);
	if (is_over || !input->follow) {
		rpc_end(request);
		return;
	}
	following = ph_alloc(sizeof(*following));
	following->request = request;
	following->reply = reply;
	following->watcher = (struct rollout_watcher){ .changed = changed, .ended = ended,
						       .user = following };
	rollout_watch(rollout, &following->watcher);
	rpc_request_on_cancel(request, client_left, following);
}

/* ---- commands, history ---- */

API_HANDLER(rollout_command, RolloutCommandRequest, RolloutStatus)
{
	struct rollout *rollout = find(service, input->id, request);
	Phoenix__RolloutStatus *status;
	struct ph_error error;

	if (!rollout)
		return;
	if (rollouts_command(rollout, input->command, &error) < 0) {
		rpc_fail(request, &error);
		return;
	}
	status = rollout_status(rollout, true);
	reply(status, request);
	message_free(status);
}

API_HANDLER(rollout_list, RolloutRequest, RolloutListReply)
{
	struct rollouts *rollouts = api_registry(service)->rollouts;
	Phoenix__RolloutListReply list = PHOENIX__ROLLOUT_LIST_REPLY__INIT;
	Phoenix__RolloutStatus *items[SHOWN_MAXIMUM];
	struct rollout *rollout = NULL;

	while (rollouts && list.n_rollouts < SHOWN_MAXIMUM &&
	       (rollout = rollouts_next(rollouts, rollout)))
		items[list.n_rollouts++] = rollout_status(rollout, false);
	list.rollouts = items;
	reply(&list, request);
	for (size_t i = 0; i < list.n_rollouts; i++)
		message_free(items[i]);
}
