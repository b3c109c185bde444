/*
 * A call waits for a reply, for items and an end, or for a failure. Which of them is the peer's
 * choice, so whatever does not suit the method ends the call and not the connection.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/budget.h"
#include "common/memory.h"
#include "common/rpc_private.h"

static struct rpc_call *find_call(const struct rpc *rpc, uint64_t id)
{
	struct rpc_call *call = rpc->calls;

	while (call && call->id != id)
		call = call->next;
	return call;
}

static void unlink_call(struct rpc_call *call)
{
	struct rpc_call **link = &call->rpc->calls;

	while (*link != call)
		link = &(*link)->next;
	*link = call->next;
	call->rpc->call_count--;
	call->rpc = NULL;
}

/* End a call; its finished handler may do anything, also free the rpc (the caller has entered). */
static void finish_call(struct rpc_call *call, const ProtobufCMessage *reply,
			const struct ph_error *error)
{
	struct rpc *rpc = call->rpc;

	unlink_call(call);
	if (call->handlers.finished)
		call->handlers.finished(call->user, reply, error);
	rpc_call_done(rpc, call);
}

static void fail_call(struct rpc_call *call, int code, const char *why)
{
	struct ph_error error = { 0 };

	error_set(&error, code, NULL, NULL, "%s: %s", call->method->name, why);
	finish_call(call, NULL, &error);
}

int rpc_call(struct rpc *rpc, const ProtobufCServiceDescriptor *service, const char *method,
	     const ProtobufCMessage *request, uint32_t timeout_ms, uint64_t now_ms,
	     const struct rpc_handlers *handlers, void *user, struct rpc_call **ret_call)
{
	const ProtobufCMethodDescriptor *found;
	const struct limits_method *limits = limits_of(service, method);
	struct rpc_call *call;
	int result;

	if (rpc->is_closed)
		return -ECONNRESET;
	if (rpc->call_count >= RPC_CALLS_MAXIMUM)
		return -EAGAIN;
	found = protobuf_c_service_descriptor_get_method_by_name(service, method);
	if (!found)
		return -EINVAL;
	result = rpc_send_request(rpc, rpc->next_id, method, timeout_ms, limits->input, request);
	if (result < 0)
		return result;

	call = rpc_call_new(rpc);
	*call = (struct rpc_call){
		.rpc = rpc,
		.next = rpc->calls,
		.method = found,
		.handlers = *handlers,
		.user = user,
		.id = rpc->next_id++,
		.deadline_ms = timeout_ms ? now_ms + timeout_ms : 0,
		.limits = limits,
		.credit = limits->window,
	};
	rpc->calls = call;
	rpc->call_count++;
	if (ret_call)
		*ret_call = call;
	return 0;
}

void rpc_cancel(struct rpc_call *call)
{
	struct rpc *rpc = call->rpc;

	if (!rpc)
		return;
	rpc_enter(rpc);
	rpc_send_cancel(rpc, call->id);
	fail_call(call, -ECANCELED, "cancelled");
	rpc_leave(rpc);
}

/* Calls that handlers make meanwhile are newer than the newest and stay. */
void rpc_cancel_all(struct rpc *rpc)
{
	uint64_t newest = rpc->next_id;
	struct rpc_call *call;

	rpc_enter(rpc);
	for (call = rpc->calls; call;) {
		if (call->id >= newest) { /* NOLINT(clang-analyzer-unix.Malloc): unlinked first */
			call = call->next;
			continue;
		}
		rpc_cancel(call);
		call = rpc->calls; /* any of them may have gone */
	}
	rpc_leave(rpc);
}

/* A call older than newest whose deadline has passed; calls made meanwhile have to wait. */
static struct rpc_call *find_expired(const struct rpc *rpc, uint64_t now_ms, uint64_t newest)
{
	struct rpc_call *call = rpc->calls;

	while (call && (call->id >= newest || call->deadline_ms == 0 || call->deadline_ms > now_ms))
		call = call->next;
	return call;
}

void rpc_tick(struct rpc *rpc, uint64_t now_ms)
{
	uint64_t newest = rpc->next_id;
	struct rpc_call *call;

	rpc_enter(rpc);
	while ((call = find_expired(rpc, now_ms, newest))) {
		rpc_send_cancel(rpc, call->id);
		fail_call(call, -ETIMEDOUT, "no answer in time");
	}
	rpc_leave(rpc);
}

uint64_t rpc_deadline(const struct rpc *rpc)
{
	uint64_t earliest = 0;

	for (const struct rpc_call *call = rpc->calls; call; call = call->next)
		if (call->deadline_ms && (earliest == 0 || call->deadline_ms < earliest))
			earliest = call->deadline_ms;
	return earliest;
}

size_t rpc_calls(const struct rpc *rpc)
{
	return rpc->call_count;
}

/* A call whose answers are not what they may be has ended; the peer need not send more. */
static void refuse_output(struct rpc_call *call, bool is_item, int code, const char *why)
{
	if (is_item)
		rpc_send_cancel(call->rpc, call->id);
	fail_call(call, code, why);
}

/* Decode an output message and hand it over: an item, or the reply that ends the call. */
static void receive_output(struct rpc_call *call, bool is_item, const ProtobufCBinaryData *payload)
{
	__attribute__((uninitialized)) struct budget budget;
	ProtobufCMessage *message = NULL;

	if (payload->len > call->limits->output) {
		refuse_output(call, is_item, -EMSGSIZE,
			      "the peer's answer is larger than it may be");
		return;
	}
	budget_init(&budget, BUDGET_BYTES, BUDGET_ALLOCATIONS);
	if (limits_allow(call->method->output, payload->data, payload->len))
		message = budget_unpack(&budget, call->method->output, payload->data, payload->len);
	if (!message && budget_lacks_memory(&budget))
		refuse_output(call, is_item, -ENOMEM, "no memory for the peer's answer");
	else if (!message)
		refuse_output(call, is_item, -EBADMSG, "the peer's answer cannot be decoded");
	else if (!is_item)
		finish_call(call, message, NULL);
	else if (call->handlers.item)
		call->handlers.item(call->user, message);
	budget_fini(&budget);
}

void rpc_receive_response(struct rpc *rpc, const Phoenix__Envelope *envelope)
{
	struct rpc_call *call = find_call(rpc, envelope->id);

	if (!call)
		return;
	if (call->handlers.item || call->has_items)
		fail_call(call, -EPROTO, "the peer answered a stream with a single reply");
	else
		receive_output(call, false, &envelope->response);
}

/* What was taken may come again, in halves: a grant for each item would double the messages. The call
 * may have gone. */
static void grant_more(struct rpc *rpc, uint64_t id)
{
	struct rpc_call *call = rpc->is_closed ? NULL : find_call(rpc, id);

	if (!call || !call->limits->window || call->credit > call->limits->window / 2)
		return;
	rpc_send_credit(rpc, id, call->limits->window - call->credit);
	call->credit = call->limits->window;
}

void rpc_receive_item(struct rpc *rpc, const Phoenix__Envelope *envelope)
{
	struct rpc_call *call = find_call(rpc, envelope->id);

	if (!call)
		return;
	call->has_items = true;
	if (call->limits->window && call->credit == 0) {
		refuse_output(call, true, -EPROTO, "the peer sent more than it was granted");
		return;
	}
	if (call->limits->items && call->items >= call->limits->items) {
		refuse_output(call, true, -EOVERFLOW, "the peer does not end its stream");
		return;
	}
	call->items++;
	call->credit -= call->credit > 0;
	receive_output(call, true, &envelope->item);
	grant_more(rpc, envelope->id);
}

void rpc_receive_end(struct rpc *rpc, const Phoenix__Envelope *envelope)
{
	struct rpc_call *call = find_call(rpc, envelope->id);
	struct ph_error error = { 0 };

	if (!call)
		return;
	if (envelope->end->failure) {
		rpc_failure_to_error(envelope->end->failure, &error);
		finish_call(call, NULL, &error);
	} else if (call->handlers.item || call->has_items) {
		finish_call(call, NULL, NULL);
	} else {
		fail_call(call, -EPROTO, "the peer ended the call without a reply");
	}
}

void rpc_reset_calls(struct rpc *rpc)
{
	while (rpc->calls) /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): unlinked first */
		fail_call(rpc->calls, -ECONNRESET, "the connection has ended");
}
