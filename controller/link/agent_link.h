/*
 * phoenixd's link to the agent of one container: where that container's peers come in, at most one
 * session, its hello, its heartbeats. Who a peer is: the holder of this container's key, which is proved
 * before anything else is said (common/handshake.h), for this start; over Unix also one that came in on
 * this container's socket and that the kernel shows to be of this container. What comes over the link is
 * a claim all the same.
 *
 *   CLOSED -> LISTENING -> GREETING -> CONNECTED
 *                 ^___________|____________|
 *
 * One session: a peer that proves itself while there is one replaces it, for only the agent that was
 * pushed last has the key, and a connection whose other end has gone silently must not keep it out.
 *
 * Loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/handshake.h"
#include "common/rpc.h"
#include "controller/link/agent_rates.h"
#include "controller/link/greetings.h"
#include "proto/agent.pb-c.h"

#define AGENT_PROTOCOL 1        /* highest version spoken here */
#define AGENT_PROTOCOL_OLDEST 1 /* lowest */
#define AGENT_HEARTBEAT_MS 10000
#define AGENT_LOST_MS 35000 /* three heartbeats missed: contact is lost (Unknown, not dead) */

enum agent_link_state {
	AGENT_LINK_CLOSED,
	AGENT_LINK_LISTENING,
	AGENT_LINK_GREETING,
	AGENT_LINK_CONNECTED,
};

struct agent_link;

struct agent_link_config {
	uv_loop_t *loop;      /* borrowed */
	const char *run_dir;  /* borrowed for the call */
	const char *name;     /* of the container; borrowed for the call */
	struct barrier *barrier; /* what the agent is told waits for that; borrowed; NULL: none */
	bool is_vsock;        /* its agent comes over vsock (agent_hall.h), not to a socket of its own */
	uint32_t id_base;     /* Unix peers must have a uid in [id_base, id_base + id_count) */
	uint32_t id_count;
	/* The container's key as it is now, or a negative errno while it has none. */
	int (*find_key)(void *user, uint8_t ret_key[HANDSHAKE_KEY_SIZE]);
	/* What else the kernel shows of a Unix peer that has proved itself: 0, or a negative errno with
	 * the error filled. NULL: nothing is looked at. */
	int (*check_peer)(void *user, const struct ucred *peer, struct ph_error *error);
	/* An agent said hello and was accepted. */
	void (*connected)(void *user, const Phoenix__HelloRequest *hello);
	/* The session ended, or a peer was refused before it became one (was_session false). A session
	 * that is replaced does not end: connected() is called once more. */
	void (*lost)(void *user, bool was_session, const struct ph_error *error);
	/* The agent published events: claims, bounded in number and size; count of them, from the
	 * first on, are within its rate, the others are dropped. They are acknowledged when
	 * stored(publication) is called, which has to be once, now or later, also when the link
	 * has gone. */
	void (*published)(void *user, const Phoenix__PublishRequest *request, size_t count,
			  void (*stored)(void *publication), void *publication);
	/* What the container has sent above its rates since the last time, at most twice a minute. */
	void (*limited)(void *user, const struct agent_excess *excess);
	/* Whether this request may be made of the agent; agent_link_call() asks it. */
	bool (*allowed)(void *user, const char *method);
	void *user;
};

/* Make a link that does not listen yet. */
struct agent_link *agent_link_new(const struct agent_link_config *config);

/* Change the range that peers must have their uid in; for connections from now on. */
void agent_link_set_ids(struct agent_link *link, uint32_t id_base, uint32_t id_count);

/* Let agents come over vsock, or not; before agent_link_listen(). */
void agent_link_set_vsock(struct agent_link *link, bool is_vsock);

/* The key of a claimed agent, as in struct handshake_policy: for whoever else lets its peers in. */
int agent_link_find_key(struct agent_link *link, const struct handshake_claim *claim,
			uint8_t ret_key[HANDSHAKE_KEY_SIZE]);

/* Take a peer that has proved itself elsewhere, as in struct greetings_config. */
int agent_link_admit(struct agent_link *link, const struct greeted *greeted,
		     struct ph_error *error);

/* Tell that somebody was refused who claimed to be this container's agent. Rated. */
void agent_link_refuse(struct agent_link *link, const struct ph_error *error);

/*
 * Listen on RUN/agents/NAME/agent.sock (the directory is phoenix-host's work), or wait for peers that the
 * hall lets in. Idempotent; a socket whose file is gone, with its directory perhaps, is made anew.
 */
int agent_link_listen(struct agent_link *link, struct ph_error *error);

/* The nonce that an agent of the current start must show; "" accepts none. */
void agent_link_expect(struct agent_link *link, const char *boot_id);

/* Where the link stands. */
enum agent_link_state agent_link_get_state(const struct agent_link *link);

/* Version of the connected agent, "" without one. */
const char *agent_link_version(const struct agent_link *link);

/* The protocol version agreed on with the session's peer. */
uint32_t agent_link_protocol(const struct agent_link *link);

/*
 * Call a method of agent.proto. -ENOTCONN without a session; -EACCES when it may not be asked; otherwise as rpc_call(). item may be
 * NULL for unary methods.
 */
int agent_link_call(struct agent_link *link, const char *method, const ProtobufCMessage *request,
		    uint32_t timeout_ms, const struct rpc_handlers *handlers, void *user,
		    struct rpc_call **ret_call);

/* Drop the session, if any; lost() follows. */
void agent_link_drop(struct agent_link *link);

/*
 * Stop listening, end all calls with -ECANCELED before this returns, drop the session without
 * telling, free once the loop has let go. NULL is fine.
 */
void agent_link_close(struct agent_link *link);
