/*
 * A request belongs to its handler until that finishes it, whatever happens to the connection: then
 * it is an orphan whose answers go nowhere.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/budget.h"
#include "common/memory.h"
#include "common/rpc_private.h"

static struct rpc_request *find_request(const struct rpc *rpc, uint64_t id)
{
	struct rpc_request *request = rpc->requests;

	while (request && (request->id != id || request->is_cancelled))
		request = request->next;
	return request;
}

static void unlink_request(struct rpc_request *request)
{
	struct rpc_request **link;

	if (!request->rpc)
		return;
	link = &request->rpc->requests;
	while (*link != request)
		link = &(*link)->next;
	*link = request->next;
	request->rpc->request_count--;
	request->rpc = NULL;
}

/* Its handler has finished it. */
static void release(struct rpc_request *request)
{
	struct rpc *rpc = request->rpc;

	unlink_request(request);
	rpc_request_done(rpc, request);
}

/* Mark a request as pointless and tell its handler, who may finish it in there. */
static void cancel_request(struct rpc_request *request)
{
	request->is_cancelled = true;
	if (request->cancelled)
		request->cancelled(request->cancelled_user);
}

/* What a handler's message could not be sent for reaches the peer as a failure. */
static void send_output_failure(struct rpc_request *request, int code, const char *why,
				const char *remedy)
{
	struct ph_error error = { 0 };

	error_set(&error, code, NULL, remedy, "%s", why);
	rpc_send_end(request->rpc, request->id, &error);
	request->is_cancelled = true;
}

/* The closure of every method: a unary reply, or one item of a stream. */
static void request_answered(const ProtobufCMessage *message, void *closure_data)
{
	struct rpc_request *request = closure_data;
	struct ph_error error = { 0 };
	int result;

	if (!message) {
		error_set(&error, -EIO, NULL, NULL, "the handler has no answer");
		rpc_fail(request, &error);
		return;
	}
	if (!request->is_cancelled && !rpc_request_may_send(request)) {
		send_output_failure(request, -ENOBUFS, "the reader of this stream does not keep up",
				    "Ask again; what was missed is sent again where it is kept.");
	} else if (!request->is_cancelled) {
		result = rpc_send_output(request->rpc, request->id, request->is_streaming,
					 request->limits->output, message);
		if (result == -EMSGSIZE)
			send_output_failure(request, result, "the answer is larger than it may be",
					    "Ask for less at a time.");
		else if (request->credit > 0)
			request->credit--;
	}
	if (!request->is_streaming) {
		release(request);
	}
}

void rpc_end(struct rpc_request *request)
{
	if (!request->is_cancelled)
		rpc_send_end(request->rpc, request->id, NULL);
	release(request);
}

void rpc_fail(struct rpc_request *request, const struct ph_error *error)
{
	if (!request->is_cancelled)
		rpc_send_end(request->rpc, request->id, error);
	release(request);
}

void rpc_request_on_cancel(struct rpc_request *request, void (*cancelled)(void *user), void *user)
{
	request->cancelled = cancelled;
	request->cancelled_user = user;
}

bool rpc_request_is_cancelled(const struct rpc_request *request)
{
	return request->is_cancelled;
}

size_t rpc_request_unsent(const struct rpc_request *request)
{
	const struct rpc *rpc = request->rpc;

	if (!rpc || rpc->is_closed || !rpc->config.unsent)
		return 0;
	return rpc->config.unsent(rpc->config.user);
}

bool rpc_request_may_send(const struct rpc_request *request)
{
	return !request->is_streaming || !request->limits->window || request->credit > 0;
}

void rpc_request_on_credit(struct rpc_request *request, void (*granted)(void *user), void *user)
{
	request->granted = granted;
	request->granted_user = user;
}

uint32_t rpc_request_timeout(const struct rpc_request *request)
{
	return request->timeout_ms;
}

static bool is_streaming(const struct rpc *rpc, const char *method)
{
	const char *const *name = rpc->config.streaming;

	while (name && *name && strcmp(*name, method) != 0)
		name++;
	return name && *name;
}

static struct rpc_request *add_request(struct rpc *rpc, uint64_t id,
				       const Phoenix__Request *received,
				       const struct limits_method *limits)
{
	struct rpc_request *request = rpc_request_new(rpc);

	*request = (struct rpc_request){
		.rpc = rpc,
		.next = rpc->requests,
		.id = id,
		.timeout_ms = received->timeout_ms,
		.is_streaming = is_streaming(rpc, received->method),
		.limits = limits,
		.credit = limits->window,
	};
	rpc->requests = request;
	rpc->request_count++;
	return request;
}

static const ProtobufCMethodDescriptor *find_method(const struct rpc *rpc, const char *name)
{
	if (!rpc->config.service)
		return NULL;
	return protobuf_c_service_descriptor_get_method_by_name(rpc->config.service->descriptor,
								name);
}

/* Decode the input and call the handler, or say why that cannot be done. */
static int serve(struct rpc *rpc, uint64_t id, const Phoenix__Request *received,
		 struct budget *budget, struct ph_error *error)
{
	ProtobufCService *service = rpc->config.service;
	const ProtobufCMethodDescriptor *method = find_method(rpc, received->method);
	const ProtobufCBinaryData *payload = &received->payload;
	const struct limits_method *limits;
	ProtobufCMessage *input = NULL;

	if (!method)
		return error_set(error, -ENOSYS, NULL, "Use the same version on both sides.",
				 "there is no method \"%.64s\" here", received->method);
	if (rpc->request_count >= RPC_REQUESTS_MAXIMUM)
		return error_set(error, -EBUSY, NULL, "Wait for earlier calls to end.",
				 "more than %d requests at a time", RPC_REQUESTS_MAXIMUM);
	limits = limits_of(service->descriptor, method->name);
	if (payload->len > limits->input)
		return error_set(error, -EMSGSIZE, NULL, NULL,
				 "the input of %s may have %u bytes, not %zu", method->name,
				 limits->input, payload->len);
	if (limits_allow(method->input, payload->data, payload->len))
		input = budget_unpack(budget, method->input, payload->data, payload->len);
	if (!input && budget_lacks_memory(budget))
		return error_set(error, -ENOMEM, NULL, "Try again.",
				 "no memory for the input of %s", method->name);
	if (!input)
		return error_set(error, -EBADMSG, NULL, NULL, "the input of %s cannot be decoded",
				 method->name);
	service->invoke(service, (unsigned int)(method - service->descriptor->methods), input,
			request_answered, add_request(rpc, id, received, limits));
	return 0;
}

int rpc_receive_request(struct rpc *rpc, const Phoenix__Envelope *envelope, struct ph_error *error)
{
	struct ph_error failure = { 0 };
	__attribute__((uninitialized)) struct budget budget;

	if (find_request(rpc, envelope->id))
		return error_set(error, -EPROTO, NULL, NULL,
				 "the peer used a request id twice at a time");
	budget_init(&budget, BUDGET_BYTES, BUDGET_ALLOCATIONS);
	if (serve(rpc, envelope->id, envelope->request, &budget, &failure) < 0)
		rpc_send_end(rpc, envelope->id, &failure);
	budget_fini(&budget);
	return 0;
}

int rpc_receive_credit(struct rpc *rpc, const Phoenix__Envelope *envelope, struct ph_error *error)
{
	struct rpc_request *request = find_request(rpc, envelope->id);
	bool was_empty;

	if (!request || !request->limits->window)
		return 0;
	was_empty = request->credit == 0;
	if (envelope->credit->items > request->limits->window - request->credit)
		return error_set(error, -EPROTO, NULL, NULL,
				 "the peer grants more than the window");
	request->credit += envelope->credit->items;
	if (was_empty && request->credit > 0 && request->granted)
		request->granted(request->granted_user);
	return 0;
}

void rpc_receive_cancel(struct rpc *rpc, const Phoenix__Envelope *envelope)
{
	struct rpc_request *request = find_request(rpc, envelope->id);

	if (request)
		cancel_request(request);
}

void rpc_orphan_requests(struct rpc *rpc)
{
	while (rpc->requests) {
		struct rpc_request *request = rpc->requests;

		unlink_request(request);
		if (!request->is_cancelled)
			cancel_request(request);
	}
}
