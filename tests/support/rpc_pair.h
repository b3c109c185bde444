/*
 * Two sides of an RPC connection joined by queues of bytes. One serves the agent's service in the way
 * that a test asks for, the other calls it and writes down what happens.
 */
#pragma once

#include "common/frame.h"
#include "common/rpc.h"
#include "common/str.h"
#include "proto/agent.pb-c.h"

#define NOW_MS 1000
#define REQUESTS_KEPT 300

/* What a handler does with its next request. */
enum behaviour {
	REPLY,     /* answer at once */
	KEEP,      /* answer later: the request goes to side.kept */
	FAIL,      /* rpc_fail() */
	NO_ANSWER, /* the closure with NULL */
	HUGE,      /* an answer that fits no frame */
	STREAM,    /* three items and the end */
	END,       /* the end alone */
	FREE,      /* rpc_free() of the own side, then answer */
};

struct side {
	Phoenix__Agent_Service service; /* first: handlers get a pointer to it */
	struct rpc *rpc;
	struct str sent; /* bytes for the other side */
	struct frame_reader reader;
	enum behaviour behaviour;
	struct rpc_request *kept[REQUESTS_KEPT];
	size_t kept_count;
	Phoenix__VerifyItem_Closure closure; /* of the last streaming request */
	size_t served;                       /* times a handler was called */
	size_t frames;                       /* sent */
	int send_result;
	size_t unsent;
	struct str log; /* what handlers were told */
};

struct pair {
	struct side caller, server;
};

struct outcome {
	struct pair *pair;
	struct rpc_call *call;
	struct str log;
	int ends;
	struct ph_error error;
	void (*item_hook)(struct outcome *outcome);
	void (*finished_hook)(struct outcome *outcome);
	struct rpc_call *other; /* for hooks */
};

/* Make one side; serves: requests of the peer are served, else refused. */
void side_init(struct side *side, bool serves);

/* Free a side and finish the requests that its handlers kept. */
void side_fini(struct side *side);

/* Make a caller that serves nothing and a server. */
void pair_init(struct pair *pair);

/* Free both sides. */
void pair_fini(struct pair *pair);

/* Hand over what one side has sent; bytes for a side that has gone are lost. The first error. */
int deliver(struct side *from, struct side *to, struct ph_error *error);

/* Deliver in both directions until both are silent; protocol errors fail the test. */
void pump(struct pair *pair);

/* Begin a unary call that is told to outcome. */
int call_describe(struct pair *pair, struct outcome *outcome, uint32_t timeout_ms);

/* Begin a streaming call that is told to outcome. */
int call_verify(struct pair *pair, struct outcome *outcome, uint32_t timeout_ms);

/* The handlers of those two, for calls made by hand; user is a struct outcome. */
extern const struct rpc_handlers unary, streamed;

/* Fail the test unless this is what the call came to, and forget it. */
void outcome_expect(struct outcome *outcome, const char *log);

/* Send one item through the closure that a handler got. */
void send_item(Phoenix__VerifyItem_Closure closure, void *closure_data, const char *id);

/* Fail a request with all fields of an error filled: -ENOSPC. */
void end_with_failure(struct rpc_request *request);

/* FRAME_LIMIT bytes of text; free them. */
char *huge_text(void);
