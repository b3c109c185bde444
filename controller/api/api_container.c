/*
 * version, list, show, health: answers, fresh as far as a bounded wait allows. A request waits for a
 * refresh in a small object, because its client may be gone when the refresh is done.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/loop.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/api/api_private.h"
#include "controller/link/agent_policy.h"

API_HANDLER(version, VersionRequest, VersionReply)
{
	struct registry *registry = api_registry(service);
	Phoenix__VersionReply answer = PHOENIX__VERSION_REPLY__INIT;

	answer.version = (char *)PH_VERSION;
	answer.protocol = AGENT_PROTOCOL;
	answer.started_ms = registry->started_ms;
	answer.host = registry->probe;
	if (registry->loop_watch) {
		answer.loop_longest_us = loop_watch_longest_us(registry->loop_watch);
		answer.loop_stalls = loop_watch_stalls(registry->loop_watch);
	}
	reply(&answer, request);
}

#define ITEM_CONTAINERS 16        /* what a client's budget of allocations holds (common/budget.h) */
#define ITEM_BYTES (96 * 1024)    /* one that is larger goes alone */

/* A request that waits for a refresh, and owns itself. */
struct waiting {
	struct registry *registry;
	struct rpc_request *request;
	char name[64];            /* show: of the container; list, health: of the last that was sent */
	bool is_at_end;           /* list, health */
	struct selector selector; /* list, health */
	void (*answer)(struct waiting *waiting); /* frees it, at once or when all was sent */
	ProtobufCClosure reply;
};

/* ---- list, health: as many at a time as one frame holds, and no faster than they are taken ---- */

static void stream_end(struct waiting *waiting)
{
	rpc_end(waiting->request);
	free(waiting);
}

/* One item, from the cursor on: at least one container, unless none is left. */
static void send_item(struct waiting *waiting)
{
	Phoenix__ListReply answer = PHOENIX__LIST_REPLY__INIT;
	Phoenix__ContainerStatus statuses[ITEM_CONTAINERS], *items[ITEM_CONTAINERS];
	struct container *container = registry_next(waiting->registry, waiting->name);
	size_t size = 0;

	for (; container && answer.n_containers < ITEM_CONTAINERS && size < ITEM_BYTES;
	     container = container->next) {
		text_copy(waiting->name, sizeof(waiting->name), container_name(container));
		if (!api_is_selected(&waiting->selector, container))
			continue;
		items[answer.n_containers] = &statuses[answer.n_containers];
		container_borrow_status(container, items[answer.n_containers]);
		size += phoenix__container_status__get_packed_size(items[answer.n_containers++]);
	}
	waiting->is_at_end = !container;
	answer.containers = items;
	if (answer.n_containers)
		waiting->reply(&answer.base, waiting->request);
}

static void send_items(void *user)
{
	struct waiting *waiting = user;

	while (!waiting->is_at_end && !rpc_request_is_cancelled(waiting->request) &&
	       rpc_request_may_send(waiting->request))
		send_item(waiting);
	if (waiting->is_at_end || rpc_request_is_cancelled(waiting->request))
		stream_end(waiting);
}

static void list_cancelled(void *user)
{
	stream_end(user);
}

static void answer_list(struct waiting *waiting)
{
	rpc_request_on_credit(waiting->request, send_items, waiting);
	rpc_request_on_cancel(waiting->request, list_cancelled, waiting);
	send_items(waiting);
}

/* With what may be asked of the agent; status is borrowed. */
static void reply_show(struct waiting *waiting, Phoenix__ContainerStatus status)
{
	const struct agent_policy *rows = agent_policy_rows();
	Phoenix__AgentRequest requests[AGENT_POLICY_ROWS];
	Phoenix__AgentRequest *items[AGENT_POLICY_ROWS];

	for (size_t i = 0; i < AGENT_POLICY_ROWS; i++) {
		phoenix__agent_request__init(&requests[i]);
		requests[i].method = (char *)rows[i].method;
		requests[i].purpose = (char *)rows[i].purpose;
		requests[i].allowed = agent_policy_allows(status.spec, rows[i].method);
		if (!requests[i].allowed)
			requests[i].otherwise = (char *)rows[i].otherwise;
		items[i] = &requests[i];
	}
	status.agent_requests = items;
	status.n_agent_requests = AGENT_POLICY_ROWS;
	waiting->reply(&status.base, waiting->request);
}

static void answer_show(struct waiting *waiting)
{
	struct container *container = registry_find(waiting->registry, waiting->name);
	Phoenix__ContainerStatus *status;

	if (!container) {
		api_fail_not_found(waiting->request, waiting->name);
		free(waiting);
		return;
	}
	status = container_status(container);
	reply_show(waiting, *status);
	message_free(status);
	free(waiting);
}

static void refreshed(void *user)
{
	struct waiting *waiting = user;

	waiting->answer(waiting);
}

static struct waiting *waiting_new(struct registry *registry,
				   void (*answer)(struct waiting *waiting),
				   ProtobufCClosure reply, void *request)
{
	struct waiting *waiting = ph_alloc(sizeof(*waiting));

	waiting->registry = registry;
	waiting->request = request;
	waiting->answer = answer;
	waiting->reply = reply;
	return waiting;
}

static void answer_selected(struct registry *registry, const char *text, ProtobufCClosure reply,
			    void *request)
{
	struct selector selector;
	struct waiting *waiting;

	if (!api_select(registry, text, &selector, request))
		return;
	waiting = waiting_new(registry, answer_list, reply, request);
	waiting->selector = selector;
	refresh_view(registry, refreshed, waiting);
}

API_HANDLER(list, NameRequest, ListReply)
{
	answer_selected(api_registry(service), input->name, (ProtobufCClosure)reply, request);
}

API_HANDLER(health, NameRequest, ListReply)
{
	answer_selected(api_registry(service), input->name, (ProtobufCClosure)reply, request);
}

API_HANDLER(show, NameRequest, ContainerStatus)
{
	struct registry *registry = api_registry(service);
	struct container *container = registry_find(registry, input->name);
	struct waiting *waiting;

	if (!container) {
		api_fail_not_found(request, input->name);
		return;
	}
	waiting = waiting_new(registry, answer_show, (ProtobufCClosure)reply, request);
	text_copy(waiting->name, sizeof(waiting->name), input->name);
	refresh_one(container, refreshed, waiting);
}
