/*
 * phoenixd's link to phoenix-host: keeps one connection, reconnects with backoff, and carries calls
 * across a restart of phoenix-host. Every verb is idempotent, so a call whose connection broke is
 * simply made again on the next one, until its deadline. Knows no verb by meaning.
 *
 * Loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/address.h"
#include "common/barrier.h"
#include "common/rpc.h"

struct host_link;
struct host_call;

struct host_link_config {
	struct address address;
	/* The link came up or went down; may be NULL. */
	void (*changed)(void *user, bool is_up);
	void *user;
	struct barrier *barrier; /* what is asked of it waits for that; borrowed; NULL: none */
};

/* Start connecting; never fails: a phoenix-host that is not there yet is waited for. */
struct host_link *host_link_open(uv_loop_t *loop, const struct host_link_config *config);

/* Finish all calls with -ECANCELED, close and free once the loop has let go. NULL is allowed. */
void host_link_close(struct host_link *link);

/* Whether phoenix-host is connected now. */
bool host_link_is_up(const struct host_link *link);

/*
 * Call a verb by its name in host.proto. timeout_ms bounds all tries together and must not be 0.
 * finished is called exactly once and never from within this function: with the reply, or with
 * -ETIMEDOUT ("phoenix-host is not running" when it never answered), or the verb's own error.
 * ret_call may be NULL. The request is packed before this returns.
 */
void host_link_call(struct host_link *link, const char *verb, const ProtobufCMessage *request,
		    uint32_t timeout_ms,
		    void (*finished)(void *user, const ProtobufCMessage *reply,
				     const struct ph_error *error),
		    void *user, struct host_call **ret_call);

/*
 * Call a streaming verb on the connection there is now, without a deadline; -ENOTCONN while there is
 * none. The call ends with the connection (-ECONNRESET) and is not made again. The caller cancels it
 * before the link is closed.
 */
int host_link_stream(struct host_link *link, const char *verb, const ProtobufCMessage *request,
		     const struct rpc_handlers *handlers, void *user, struct rpc_call **ret_call);

/* Forget a call: finished is not called. The verb itself may still be done. NULL is allowed. */
void host_call_cancel(struct host_call *call);
