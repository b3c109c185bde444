/*
 * What the files of rpc share: rpc.c is the connection, rpc_call.c our calls, rpc_request.c the
 * peer's requests, rpc_send.c the way out. Nothing else includes this.
 *
 * Everything that enters user code goes through rpc_enter()/rpc_leave(), and nothing that a callback
 * could have freed is touched after it: a call or request is taken off its list first, and the rpc
 * itself is freed when the last function of ours has left the stack.
 */
#pragma once

#include "common/limits.h"
#include "common/rpc.h"

struct rpc_call {
	struct rpc *rpc; /* borrowed; NULL once the call is finishing */
	struct rpc_call *next;
	const ProtobufCMethodDescriptor *method; /* borrowed */
	struct rpc_handlers handlers;
	void *user;
	uint64_t id;
	uint64_t deadline_ms; /* 0: none */
	const struct limits_method *limits; /* borrowed */
	uint32_t items;   /* that have come */
	uint32_t credit;  /* items that may still come */
	bool has_items;
};

struct rpc_request {
	struct rpc *rpc; /* borrowed; NULL once the connection has gone */
	struct rpc_request *next;
	uint64_t id;
	uint32_t timeout_ms;
	bool is_streaming;
	const struct limits_method *limits; /* borrowed */
	bool is_cancelled; /* nothing is sent for it any more */
	uint32_t credit;   /* items that the peer can still take; counts with a window */
	void (*cancelled)(void *user);
	void *cancelled_user;
	void (*granted)(void *user);
	void *granted_user;
};

struct rpc {
	struct rpc_config config;
	struct rpc_call *calls; /* owned */
	size_t call_count;
	struct rpc_request *requests; /* owned by their handlers, until finished */
	size_t request_count;
	uint64_t next_id;
	struct rpc_call *spare_call; /* owned: the last one that ended, for the next; poisoned */
	struct rpc_request *spare_request;
	unsigned int entered; /* how often user code that we called is on the stack */
	bool is_closed;
};

/* Give memory for a call, which the caller fills whole: what the last one had, or new. */
struct rpc_call *rpc_call_new(struct rpc *rpc);

/* The same for a request. */
struct rpc_request *rpc_request_new(struct rpc *rpc);

/* Keep a call that has ended for the next, where none is kept. rpc NULL: the connection has gone. */
void rpc_call_done(struct rpc *rpc, struct rpc_call *call);

/* The same for a request. */
void rpc_request_done(struct rpc *rpc, struct rpc_request *request);

/* User code may be entered from here on, and may call rpc_free(). */
void rpc_enter(struct rpc *rpc);

/* The pair of rpc_enter(); the rpc may be gone afterwards. */
void rpc_leave(struct rpc *rpc);

/* Send a request; -EMSGSIZE when the message is over limit or fits no frame, or what the connection's
 * send() returned. */
int rpc_send_request(struct rpc *rpc, uint64_t id, const char *method, uint32_t timeout_ms,
		     size_t limit, const ProtobufCMessage *message);

/* Send a response or an item; errors as above. */
int rpc_send_output(struct rpc *rpc, uint64_t id, bool is_item, size_t limit,
		    const ProtobufCMessage *message);

/* Grant the peer more items of a streaming call. */
void rpc_send_credit(struct rpc *rpc, uint64_t id, uint32_t items);

/* Tell the peer that nobody waits for a call any more. */
void rpc_send_cancel(struct rpc *rpc, uint64_t id);

/* End a request of the peer; error NULL: successfully. */
void rpc_send_end(struct rpc *rpc, uint64_t id, const struct ph_error *error);

/* Take the reply of a unary call. Answers to unknown ids are ignored: the peer may not know yet that
 * a call has ended. */
void rpc_receive_response(struct rpc *rpc, const Phoenix__Envelope *envelope);

/* Take one item of a streaming call. */
void rpc_receive_item(struct rpc *rpc, const Phoenix__Envelope *envelope);

/* Take the end of a stream, or a call's failure. */
void rpc_receive_end(struct rpc *rpc, const Phoenix__Envelope *envelope);

/* Serve a request, or answer why not. -EPROTO when its id is in use. */
int rpc_receive_request(struct rpc *rpc, const Phoenix__Envelope *envelope, struct ph_error *error);

/* Take credit for a stream; -EPROTO when it overflows. */
int rpc_receive_credit(struct rpc *rpc, const Phoenix__Envelope *envelope, struct ph_error *error);

/* Take the peer's cancel. */
void rpc_receive_cancel(struct rpc *rpc, const Phoenix__Envelope *envelope);

/* Cancel all requests and let go of them: their handlers finish them without a connection. */
void rpc_orphan_requests(struct rpc *rpc);
