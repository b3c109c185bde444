/* The connection: one envelope in, and to which list it belongs. See rpc_private.h for the parts. */
#include "common/rpc.h"

#include <errno.h>
#include <sanitizer/asan_interface.h>
#include <stdlib.h>

#include "common/budget.h"
#include "common/memory.h"
#include "common/rpc_private.h"
#include "common/str.h"

/* strerror() and friends take these; anything else in a failure is not an errno. */
#define ERRNO_MAXIMUM 4095

void rpc_enter(struct rpc *rpc)
{
	rpc->entered++;
}

static void rpc_destroy(struct rpc *rpc)
{
	ASAN_UNPOISON_MEMORY_REGION(rpc->spare_call, rpc->spare_call ? sizeof(*rpc->spare_call) : 0);
	ASAN_UNPOISON_MEMORY_REGION(rpc->spare_request,
				    rpc->spare_request ? sizeof(*rpc->spare_request) : 0);
	free(rpc->spare_call);
	free(rpc->spare_request);
	free(rpc);
}

void rpc_leave(struct rpc *rpc)
{
	if (--rpc->entered == 0 && rpc->is_closed)
		rpc_destroy(rpc);
}

struct rpc_call *rpc_call_new(struct rpc *rpc)
{
	struct rpc_call *call = rpc->spare_call;

	if (!call)
		return ph_alloc(sizeof(*call));
	rpc->spare_call = NULL;
	ASAN_UNPOISON_MEMORY_REGION(call, sizeof(*call));
	return call;
}

void rpc_call_done(struct rpc *rpc, struct rpc_call *call)
{
	if (!rpc || rpc->is_closed || rpc->spare_call) {
		free(call);
		return;
	}
	rpc->spare_call = call;
	ASAN_POISON_MEMORY_REGION(call, sizeof(*call));
}

struct rpc_request *rpc_request_new(struct rpc *rpc)
{
	struct rpc_request *request = rpc->spare_request;

	if (!request)
		return ph_alloc(sizeof(*request));
	rpc->spare_request = NULL;
	ASAN_UNPOISON_MEMORY_REGION(request, sizeof(*request));
	return request;
}

void rpc_request_done(struct rpc *rpc, struct rpc_request *request)
{
	if (!rpc || rpc->is_closed || rpc->spare_request) {
		free(request);
		return;
	}
	rpc->spare_request = request;
	ASAN_POISON_MEMORY_REGION(request, sizeof(*request));
}

struct rpc *rpc_new(const struct rpc_config *config)
{
	struct rpc *rpc = ph_alloc(sizeof(*rpc));

	*rpc = (struct rpc){ .config = *config, .next_id = 1 };
	return rpc;
}

void rpc_serve(struct rpc *rpc, ProtobufCService *service, const char *const *streaming)
{
	rpc->config.service = service;
	rpc->config.streaming = streaming;
}

void rpc_free(struct rpc *rpc)
{
	if (!rpc || rpc->is_closed)
		return;
	rpc_enter(rpc);
	rpc->is_closed = true;
	rpc_reset_calls(rpc);
	rpc_orphan_requests(rpc);
	rpc_leave(rpc);
}

/* Bodies of a newer protocol have no case here: they are ignored. */
static int dispatch(struct rpc *rpc, const Phoenix__Envelope *envelope, struct ph_error *error)
{
	switch (envelope->body_case) {
	case PHOENIX__ENVELOPE__BODY_REQUEST:
		return rpc_receive_request(rpc, envelope, error);
	case PHOENIX__ENVELOPE__BODY_RESPONSE:
		rpc_receive_response(rpc, envelope);
		return 0;
	case PHOENIX__ENVELOPE__BODY_ITEM:
		rpc_receive_item(rpc, envelope);
		return 0;
	case PHOENIX__ENVELOPE__BODY_END:
		rpc_receive_end(rpc, envelope);
		return 0;
	case PHOENIX__ENVELOPE__BODY_CANCEL:
		rpc_receive_cancel(rpc, envelope);
		return 0;
	case PHOENIX__ENVELOPE__BODY_CREDIT:
		return rpc_receive_credit(rpc, envelope, error);
	default:
		return 0;
	}
}

int rpc_receive(struct rpc *rpc, const uint8_t *payload, size_t length, struct ph_error *error)
{
	__attribute__((uninitialized)) struct budget budget;
	ProtobufCMessage *envelope = NULL;
	int result;

	if (rpc->is_closed)
		return error_set(error, -ECONNRESET, NULL, NULL, "the connection has ended");
	budget_init(&budget, BUDGET_BYTES, BUDGET_ALLOCATIONS);
	if (limits_allow(&phoenix__envelope__descriptor, payload, length))
		envelope = budget_unpack(&budget, &phoenix__envelope__descriptor, payload, length);
	rpc_enter(rpc);
	if (envelope)
		result = dispatch(rpc, (Phoenix__Envelope *)envelope, error);
	else if (budget_lacks_memory(&budget))
		result = error_set(error, -ENOMEM, NULL, NULL, "no memory for what the peer sent");
	else
		result = error_set(error, -EPROTO, NULL, NULL,
				   "the peer sent what is not an envelope");
	rpc_leave(rpc);
	budget_fini(&budget);
	return result;
}

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
