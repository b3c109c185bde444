/*
 * Two lists: our calls, the peer's requests. Everything that enters user code goes through
 * rpc_enter()/rpc_leave(), and nothing that a callback could have freed is touched after it: a call
 * or request is taken off its list first, and the rpc itself is freed when the last frame of ours
 * has left the stack.
 */
#include "common/rpc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/budget.h"
#include "common/frame.h"
#include "common/memory.h"
#include "common/str.h"

/* strerror() and friends take these; anything else in a failure is not an errno. */
#define ERRNO_MAXIMUM 4095

struct rpc_call {
	struct rpc *rpc; /* borrowed; NULL once the call is finishing */
	struct rpc_call *next;
	const ProtobufCMethodDescriptor *method; /* borrowed */
	struct rpc_handlers handlers;
	void *user;
	uint64_t id;
	uint64_t deadline_ms; /* 0: none */
	bool has_items;
};

struct rpc_request {
	struct rpc *rpc; /* borrowed; NULL once the connection has gone */
	struct rpc_request *next;
	uint64_t id;
	uint32_t timeout_ms;
	bool is_streaming;
	bool is_cancelled; /* nothing is sent for it any more */
	void (*cancelled)(void *user);
	void *cancelled_user;
};

struct rpc {
	struct rpc_config config;
	struct rpc_call *calls; /* owned */
	size_t call_count;
	struct rpc_request *requests; /* owned by their handlers, until finished */
	size_t request_count;
	uint64_t next_id;
	unsigned int entered; /* how often user code that we called is on the stack */
	bool is_closed;
};

static void rpc_enter(struct rpc *rpc)
{
	rpc->entered++;
}

static void rpc_leave(struct rpc *rpc)
{
	if (--rpc->entered == 0 && rpc->is_closed)
		free(rpc);
}

/* --- sending --- */

/* Frame and send an envelope; -EMSGSIZE when it is over the frame limit. */
static int send_envelope(struct rpc *rpc, const Phoenix__Envelope *envelope)
{
	size_t length = phoenix__envelope__get_packed_size(envelope);
	uint8_t *frame;
	int result;

	if (rpc->is_closed)
		return -ECONNRESET;
	if (length > FRAME_LIMIT)
		return -EMSGSIZE;
	frame = ph_alloc(FRAME_HEADER_SIZE + length);
	frame_write_header(frame, (uint32_t)length);
	phoenix__envelope__pack(envelope, frame + FRAME_HEADER_SIZE);
	result = rpc->config.send(rpc->config.user, frame, FRAME_HEADER_SIZE + length);
	free(frame);
	return result;
}

/* Pack a message; -EMSGSIZE before allocating when it can fit no frame. Free ret_payload->data. */
static int pack_payload(const ProtobufCMessage *message, ProtobufCBinaryData *ret_payload)
{
	size_t length = protobuf_c_message_get_packed_size(message);

	if (length > FRAME_LIMIT)
		return -EMSGSIZE;
	ret_payload->data = ph_alloc(length);
	ret_payload->len = protobuf_c_message_pack(message, ret_payload->data);
	return 0;
}

static int send_request(struct rpc *rpc, uint64_t id, const char *method, uint32_t timeout_ms,
			const ProtobufCMessage *message)
{
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;
	Phoenix__Request request = PHOENIX__REQUEST__INIT;
	int result;

	request.method = (char *)method;
	request.timeout_ms = timeout_ms;
	envelope.id = id;
	envelope.body_case = PHOENIX__ENVELOPE__BODY_REQUEST;
	envelope.request = &request;
	result = pack_payload(message, &request.payload);
	if (result == 0)
		result = send_envelope(rpc, &envelope);
	free(request.payload.data);
	return result;
}

/* Send a response or an item. */
static int send_output(struct rpc *rpc, uint64_t id, bool is_item, const ProtobufCMessage *message)
{
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;
	ProtobufCBinaryData payload = { 0 };
	int result;

	result = pack_payload(message, &payload);
	if (result < 0)
		return result;
	envelope.id = id;
	if (is_item) {
		envelope.body_case = PHOENIX__ENVELOPE__BODY_ITEM;
		envelope.item = payload;
	} else {
		envelope.body_case = PHOENIX__ENVELOPE__BODY_RESPONSE;
		envelope.response = payload;
	}
	result = send_envelope(rpc, &envelope);
	free(payload.data);
	return result;
}

static void send_cancel(struct rpc *rpc, uint64_t id)
{
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;
	Phoenix__Cancel cancel = PHOENIX__CANCEL__INIT;

	envelope.id = id;
	envelope.body_case = PHOENIX__ENVELOPE__BODY_CANCEL;
	envelope.cancel = &cancel;
	send_envelope(rpc, &envelope);
}

/* End a request of the peer; error NULL: successfully. */
static void send_end(struct rpc *rpc, uint64_t id, const struct ph_error *error)
{
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;
	Phoenix__End end = PHOENIX__END__INIT;
	Phoenix__Failure failure = PHOENIX__FAILURE__INIT;

	if (error) {
		rpc_failure_from_error(&failure, error);
		end.failure = &failure;
	}
	envelope.id = id;
	envelope.body_case = PHOENIX__ENVELOPE__BODY_END;
	envelope.end = &end;
	send_envelope(rpc, &envelope);
}

/* --- calls: ours, served by the peer --- */

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
	unlink_call(call);
	if (call->handlers.finished)
		call->handlers.finished(call->user, reply, error);
	free(call);
}

__attribute__((format(printf, 3, 4))) static void fail_call(struct rpc_call *call, int code,
							    const char *why, ...)
{
	struct ph_error error = { 0 };
	char text[200];
	va_list arguments;

	va_start(arguments, why);
	vsnprintf(text, sizeof(text), why, arguments);
	va_end(arguments);
	error_set(&error, code, NULL, NULL, "%s: %s", call->method->name, text);
	finish_call(call, NULL, &error);
}

int rpc_call(struct rpc *rpc, const ProtobufCServiceDescriptor *service, const char *method,
	     const ProtobufCMessage *request, uint32_t timeout_ms, uint64_t now_ms,
	     const struct rpc_handlers *handlers, void *user, struct rpc_call **ret_call)
{
	const ProtobufCMethodDescriptor *found;
	struct rpc_call *call;
	int result;

	if (rpc->is_closed)
		return -ECONNRESET;
	if (rpc->call_count >= RPC_CALLS_MAXIMUM)
		return -EAGAIN;
	found = protobuf_c_service_descriptor_get_method_by_name(service, method);
	if (!found)
		return -EINVAL;
	result = send_request(rpc, rpc->next_id, method, timeout_ms, request);
	if (result < 0)
		return result;

	call = ph_alloc(sizeof(*call));
	*call = (struct rpc_call){
		.rpc = rpc,
		.next = rpc->calls,
		.method = found,
		.handlers = *handlers,
		.user = user,
		.id = rpc->next_id++,
		.deadline_ms = timeout_ms ? now_ms + timeout_ms : 0,
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
	send_cancel(rpc, call->id);
	fail_call(call, -ECANCELED, "cancelled");
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
		send_cancel(rpc, call->id);
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

/* Decode an output message and hand it over: an item, or the reply that ends the call. */
static void receive_output(struct rpc_call *call, bool is_item, const ProtobufCBinaryData *payload)
{
	struct budget budget;
	ProtobufCMessage *message;

	budget_init(&budget, BUDGET_BYTES, BUDGET_ALLOCATIONS);
	message = budget_unpack(&budget, call->method->output, payload->data, payload->len);
	if (!message && is_item)
		send_cancel(call->rpc, call->id);
	if (!message)
		fail_call(call, -EBADMSG, "the peer's answer cannot be decoded");
	else if (!is_item)
		finish_call(call, message, NULL);
	else if (call->handlers.item)
		call->handlers.item(call->user, message);
	budget_fini(&budget);
}

static void receive_response(struct rpc *rpc, const Phoenix__Envelope *envelope)
{
	struct rpc_call *call = find_call(rpc, envelope->id);

	if (!call)
		return;
	if (call->handlers.item || call->has_items)
		fail_call(call, -EPROTO, "the peer answered a stream with a single reply");
	else
		receive_output(call, false, &envelope->response);
}

static void receive_item(struct rpc *rpc, const Phoenix__Envelope *envelope)
{
	struct rpc_call *call = find_call(rpc, envelope->id);

	if (!call)
		return;
	call->has_items = true;
	receive_output(call, true, &envelope->item);
}

static void receive_end(struct rpc *rpc, const Phoenix__Envelope *envelope)
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

/* --- requests: the peer's, served by us --- */

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

/* Mark a request as pointless and tell its handler, who may finish it in there. */
static void cancel_request(struct rpc_request *request)
{
	void (*cancelled)(void *user) = request->cancelled;

	request->is_cancelled = true;
	request->cancelled = NULL;
	if (cancelled)
		cancelled(request->cancelled_user);
}

/* What a handler's message could not be sent for reaches the peer as a failure. */
static void send_output_failure(struct rpc_request *request, int code)
{
	struct ph_error error = { 0 };

	error_set(&error, code, NULL, "Ask for less at a time.",
		  "the answer does not fit a frame of %d bytes", FRAME_LIMIT);
	send_end(request->rpc, request->id, &error);
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
	if (!request->is_cancelled) {
		result = send_output(request->rpc, request->id, request->is_streaming, message);
		if (result == -EMSGSIZE) {
			send_output_failure(request, result);
			request->is_cancelled = true;
		}
	}
	if (!request->is_streaming) {
		unlink_request(request);
		free(request);
	}
}

void rpc_end(struct rpc_request *request)
{
	if (!request->is_cancelled)
		send_end(request->rpc, request->id, NULL);
	unlink_request(request);
	free(request);
}

void rpc_fail(struct rpc_request *request, const struct ph_error *error)
{
	if (!request->is_cancelled)
		send_end(request->rpc, request->id, error);
	unlink_request(request);
	free(request);
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
				       const Phoenix__Request *received)
{
	struct rpc_request *request = ph_alloc(sizeof(*request));

	*request = (struct rpc_request){
		.rpc = rpc,
		.next = rpc->requests,
		.id = id,
		.timeout_ms = received->timeout_ms,
		.is_streaming = is_streaming(rpc, received->method),
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
	ProtobufCMessage *input;

	if (!method)
		return error_set(error, -ENOSYS, NULL, "Use the same version on both sides.",
				 "there is no method \"%.64s\" here", received->method);
	if (rpc->request_count >= RPC_REQUESTS_MAXIMUM)
		return error_set(error, -EBUSY, NULL, "Wait for earlier calls to end.",
				 "more than %d requests at a time", RPC_REQUESTS_MAXIMUM);
	input = budget_unpack(budget, method->input, received->payload.data, received->payload.len);
	if (!input)
		return error_set(error, -EBADMSG, NULL, NULL, "the input of %s cannot be decoded",
				 method->name);
	service->invoke(service, (unsigned int)(method - service->descriptor->methods), input,
			request_answered, add_request(rpc, id, received));
	return 0;
}

static int receive_request(struct rpc *rpc, const Phoenix__Envelope *envelope,
			   struct ph_error *error)
{
	struct ph_error failure = { 0 };
	struct budget budget;

	if (find_request(rpc, envelope->id))
		return error_set(error, -EPROTO, NULL, NULL,
				 "the peer used a request id twice at a time");
	budget_init(&budget, BUDGET_BYTES, BUDGET_ALLOCATIONS);
	if (serve(rpc, envelope->id, envelope->request, &budget, &failure) < 0)
		send_end(rpc, envelope->id, &failure);
	budget_fini(&budget);
	return 0;
}

static void receive_cancel(struct rpc *rpc, const Phoenix__Envelope *envelope)
{
	struct rpc_request *request = find_request(rpc, envelope->id);

	if (request)
		cancel_request(request);
}

/* --- the connection --- */

struct rpc *rpc_new(const struct rpc_config *config)
{
	struct rpc *rpc = ph_alloc(sizeof(*rpc));

	*rpc = (struct rpc){ .config = *config, .next_id = 1 };
	return rpc;
}

void rpc_free(struct rpc *rpc)
{
	if (!rpc || rpc->is_closed)
		return;
	rpc_enter(rpc);
	rpc->is_closed = true;
	while (rpc->calls)
		fail_call(rpc->calls, -ECONNRESET, "the connection has ended");
	while (rpc->requests) {
		struct rpc_request *request = rpc->requests;

		unlink_request(request);
		if (request->is_cancelled)
			continue;
		cancel_request(request);
	}
	rpc_leave(rpc);
}

/* Bodies of a newer protocol have no case here: they are ignored. So is credit: streaming handlers
 * hold back by what the peer has not taken yet (rpc_request_unsent). */
static int dispatch(struct rpc *rpc, const Phoenix__Envelope *envelope, struct ph_error *error)
{
	switch (envelope->body_case) {
	case PHOENIX__ENVELOPE__BODY_REQUEST:
		return receive_request(rpc, envelope, error);
	case PHOENIX__ENVELOPE__BODY_RESPONSE:
		receive_response(rpc, envelope);
		return 0;
	case PHOENIX__ENVELOPE__BODY_ITEM:
		receive_item(rpc, envelope);
		return 0;
	case PHOENIX__ENVELOPE__BODY_END:
		receive_end(rpc, envelope);
		return 0;
	case PHOENIX__ENVELOPE__BODY_CANCEL:
		receive_cancel(rpc, envelope);
		return 0;
	default:
		return 0;
	}
}

int rpc_receive(struct rpc *rpc, const uint8_t *payload, size_t length, struct ph_error *error)
{
	struct budget budget;
	ProtobufCMessage *envelope;
	int result;

	if (rpc->is_closed)
		return error_set(error, -ECONNRESET, NULL, NULL, "the connection has ended");
	budget_init(&budget, BUDGET_BYTES, BUDGET_ALLOCATIONS);
	envelope = budget_unpack(&budget, &phoenix__envelope__descriptor, payload, length);
	rpc_enter(rpc);
	if (envelope)
		result = dispatch(rpc, (Phoenix__Envelope *)envelope, error);
	else
		result = error_set(error, -EPROTO, NULL, NULL,
				   "the peer sent what is not an envelope");
	rpc_leave(rpc);
	budget_fini(&budget);
	return result;
}

/* --- failures on the wire --- */

void rpc_failure_from_error(Phoenix__Failure *failure, const struct ph_error *error)
{
	phoenix__failure__init(failure);
	failure->code = error->code;
	failure->what = (char *)error->what;
	failure->where = (char *)error->where;
	failure->why = (char *)error->why;
	failure->remedy = (char *)error->remedy;
	failure->step = (char *)error->step;
}

void rpc_failure_to_error(const Phoenix__Failure *failure, struct ph_error *error)
{
	bool is_errno = failure->code < 0 && failure->code >= -ERRNO_MAXIMUM;

	error_set(error, is_errno ? failure->code : -EIO, failure->where, failure->remedy, "%s",
		  text_empty(failure->why) ? "the peer gives no reason" : failure->why);
	if (!text_empty(failure->what))
		error_prefix(error, "%s", failure->what);
	if (!text_empty(failure->step))
		error_step(error, failure->step);
}
