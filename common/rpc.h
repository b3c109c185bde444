/*
 * Remote calls over frames: requests, responses, streams, cancel, deadlines. Symmetrical: each side
 * may serve one protobuf-c service and call the other's. Sans-I/O: one side of a connection takes
 * received envelopes and hands out bytes to send; time is an argument. Knows neither sockets nor
 * what the messages mean.
 *
 * Limits hold before anything is allocated for a peer: frame size (frame.h), size and shape of each
 * method's messages (limits.h), decode budget (budget.h), requests in flight. Breaking the protocol is
 * an error of rpc_receive(): the caller closes that connection and nothing else happens.
 *
 * Credit: a streaming method that limits.h gives a window begins with that many items granted; the
 * caller grants more as it takes them. A peer that sends more has its call failed. The handler sends
 * while rpc_request_may_send(), so that a reader that stands still grows nobody's memory. The other
 * streams say little, and are bounded by what their connection holds unsent.
 *
 * Serving: handlers are the generated service's functions. `closure_data` is the struct rpc_request.
 * A unary handler calls the closure with its reply (or rpc_fail()) once, now or later; a streaming
 * handler calls the closure per item and then rpc_end(). The request is freed by reply, fail or end,
 * also when the connection has gone in between: a handler always finishes its requests. The input
 * message lives only until the handler returns.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "proto/rpc.pb-c.h"

struct rpc;
struct rpc_call;
struct rpc_request;

#define RPC_CALLS_MAXIMUM 256   /* ours in flight on one connection */
#define RPC_REQUESTS_MAXIMUM 64 /* the peer's in flight on one connection */

struct rpc_config {
	/* Service for the peer's requests; NULL refuses all of them. Borrowed. */
	ProtobufCService *service;
	/* Names of that service's methods that stream, NULL-terminated; NULL: none. Borrowed. */
	const char *const *streaming;
	/* Send one whole frame, header included; a negative errno drops the connection later. */
	int (*send)(void *user, const uint8_t *frame, size_t length);
	/* Bytes accepted by send() but not yet taken by the peer; NULL: unknown. */
	size_t (*unsent)(void *user);
	void *user;
};

struct rpc_handlers {
	/* One item of a streaming method; borrowed during the call. NULL for unary methods: an end
	 * without a reply is then -EPROTO, unless items came (which are ignored). */
	void (*item)(void *user, const ProtobufCMessage *item);
	/* The call has ended: exactly once per call. reply is NULL on failure and for streams;
	 * error is NULL on success. The call is freed afterwards. */
	void (*finished)(void *user, const ProtobufCMessage *reply, const struct ph_error *error);
};

/* Make one side of a connection. */
struct rpc *rpc_new(const struct rpc_config *config);

/* Serve the peer's requests with this service from now on (as in rpc_config). */
void rpc_serve(struct rpc *rpc, ProtobufCService *service, const char *const *streaming);

/*
 * End this side: all our calls finish with -ECONNRESET, the peer's requests are told through their
 * cancelled function, both before this returns; nothing is sent any more. May be called from inside
 * a handler. NULL is allowed.
 */
void rpc_free(struct rpc *rpc);

/*
 * Take one received frame's payload. -EPROTO: the peer broke the protocol, error says how. A handler
 * may have called rpc_free() when this returns.
 */
int rpc_receive(struct rpc *rpc, const uint8_t *payload, size_t length, struct ph_error *error);

/*
 * Call a method of the peer's service. timeout_ms 0: no deadline. The finished handler is never
 * called from within. Returns 0 and the call (valid until finished; ret_call may be NULL), -EAGAIN
 * with too many calls in flight, -EINVAL when the service has no such method, -EMSGSIZE when the
 * request is larger than the method's limit or fits no frame, -ECONNRESET from inside rpc_free(), or
 * what send() returned.
 */
int rpc_call(struct rpc *rpc, const ProtobufCServiceDescriptor *service, const char *method,
	     const ProtobufCMessage *request, uint32_t timeout_ms, uint64_t now_ms,
	     const struct rpc_handlers *handlers, void *user, struct rpc_call **ret_call);

/* Give up a call: the peer is told, finished is called with -ECANCELED before this returns. */
void rpc_cancel(struct rpc_call *call);

/*
 * Give up all our calls, as rpc_cancel() does: before what their handlers use goes away. Calls that
 * the handlers make meanwhile stay.
 */
void rpc_cancel_all(struct rpc *rpc);

/* End all our calls with -ECONNRESET before this returns; the peer is not told. */
void rpc_reset_calls(struct rpc *rpc);

/* End calls whose deadline has passed (-ETIMEDOUT; the peer is told to cancel). */
void rpc_tick(struct rpc *rpc, uint64_t now_ms);

/* When rpc_tick() has to be called at the latest; 0: no need. */
uint64_t rpc_deadline(const struct rpc *rpc);

/* Calls of ours in flight. */
size_t rpc_calls(const struct rpc *rpc);

/* End a streaming request; frees it. */
void rpc_end(struct rpc_request *request);

/* Fail a request; frees it. */
void rpc_fail(struct rpc_request *request, const struct ph_error *error);

/* Be told once when the peer cancels or goes away; the request still has to be finished. */
void rpc_request_on_cancel(struct rpc_request *request, void (*cancelled)(void *user), void *user);

/* Whether the peer has cancelled or gone away: items go nowhere. */
bool rpc_request_is_cancelled(const struct rpc_request *request);

/* Bytes waiting to be sent on the request's connection: a streaming handler pauses on it. */
size_t rpc_request_unsent(const struct rpc_request *request);

/* Whether another item of a streaming request has been granted. An item sent without ends the stream
 * with -ENOBUFS: its reader does not keep up. */
bool rpc_request_may_send(const struct rpc_request *request);

/* Be told whenever credit has come after there was none; from inside rpc_receive(). The handler may
 * finish the request in there. */
void rpc_request_on_credit(struct rpc_request *request, void (*granted)(void *user), void *user);

/* The milliseconds the peer is willing to wait, 0: for ever. */
uint32_t rpc_request_timeout(const struct rpc_request *request);

/* Copy a ph_error into a wire message; texts are borrowed from error. */
void rpc_failure_from_error(Phoenix__Failure *failure, const struct ph_error *error);

/* Copy a wire message into a ph_error; -EIO when it carries no negative code. */
void rpc_failure_to_error(const Phoenix__Failure *failure, struct ph_error *error);
