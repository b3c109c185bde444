/*
 * A connection with RPC on it, on the libuv loop: stream + frames + rpc + deadline timer, and the
 * listener that accepts such connections. Overflow, protocol errors and hang-ups close this
 * connection only.
 *
 * Ownership: channel_open() gives a channel that is owned by the loop until its closed function was
 * called, after which it is freed by itself. Loop thread only.
 */
#pragma once

#include <sys/socket.h>
#include <uv.h>

#include "common/address.h"
#include "common/barrier.h"
#include "common/error.h"
#include "common/rate.h"
#include "common/rpc.h"

#define CHANNEL_UNSENT_MAXIMUM (1024 * 1024) /* bytes the peer has not taken; more closes it */

struct channel;

struct channel_config {
	ProtobufCService *service;    /* for the peer's requests; may be NULL; borrowed */
	const char *const *streaming; /* its streaming methods; borrowed */
	/* The connection has ended; error says why (code 0: we closed it, -ECONNRESET: the peer
	 * hung up). Called exactly once; the channel is gone afterwards. */
	void (*closed)(void *user, const struct ph_error *error);
	/*
	 * What stands before rpc, such as a handshake: takes the payload of each frame until it lets the
	 * peer in (CHANNEL_LET_IN; 0: not yet). A negative errno with the error filled ends the channel.
	 * It may send frames, close the channel, or have it adopted. NULL: rpc from the first frame on.
	 */
	int (*gate)(void *user, const uint8_t *payload, size_t length, struct ph_error *error);
	size_t gate_limit; /* of a frame's payload before the gate */
	void *user;
	/* How fast the peer may send; NULL: as fast as it likes. Borrowed. When one of them is used up
	 * nothing is read until it has filled again, so that the peer waits and nothing is held for
	 * it; throttled() is told of each such pause. */
	struct rate *byte_rate;
	struct rate *frame_rate;
	void (*throttled)(void *user);
	size_t frame_limit; /* payload bytes of one of its frames; 0: FRAME_LIMIT */
	/* Nothing that was sent leaves before what had been written until then is on the disk; NULL: at
	 * once. The channel holds on to it; of channel_open() only, an adopted channel keeps its own. */
	struct barrier *barrier;
};

#define CHANNEL_LET_IN 1

/* Take over a connected socket (fd is owned from here on, also on failure). */
int channel_open(uv_loop_t *loop, int fd, const struct channel_config *config,
		 struct channel **ret_channel);

/* Change how large the peer's frames may be from now on: a stranger's are small. 0: FRAME_LIMIT. */
void channel_set_frame_limit(struct channel *channel, size_t limit);

/* Begin to close: nothing is received any more, what was accepted for sending is sent (for at most
 * 2 s), then outstanding calls fail and closed() is called. Never from within; idempotent; allowed
 * in any handler of this channel. */
void channel_close(struct channel *channel);

/* Send one frame beside rpc: the gate's. Errors as rpc_config's send(). */
int channel_send(struct channel *channel, const void *payload, size_t length);

/* Hand a channel to another owner: all but the gate is the config's from now on. */
void channel_adopt(struct channel *channel, const struct channel_config *config);

/* The rpc side, for rpc_call(); valid until closed(). Use channel_call() to keep deadlines armed. */
struct rpc *channel_rpc(struct channel *channel);

/* rpc_call() on this channel with the deadline timer armed; -ENOTCONN once it is closing. */
int channel_call(struct channel *channel, const ProtobufCServiceDescriptor *service,
		 const char *method, const ProtobufCMessage *request, uint32_t timeout_ms,
		 const struct rpc_handlers *handlers, void *user, struct rpc_call **ret_call);

/* SO_PEERCRED of a Unix peer, taken once at open; -ENOTSUP for other families. */
int channel_peer(const struct channel *channel, struct ucred *ret_peer);

struct listener;

/* A peer has connected; fd is owned by the callee, peer is its SO_PEERCRED. */
typedef void (*listener_accepted_fn)(void *user, int fd, const struct ucred *peer);

/* Listen on an address; the socket file's mode is as given. */
int listener_open(uv_loop_t *loop, const struct address *address, mode_t mode,
		  listener_accepted_fn accepted, void *user, struct listener **ret_listener,
		  struct ph_error *error);

/* The same with a socket that listens on that address already; fd is taken over, also on failure. */
int listener_adopt(uv_loop_t *loop, int fd, const struct address *address,
		   listener_accepted_fn accepted, void *user, struct listener **ret_listener,
		   struct ph_error *error);

/*
 * Whether who opens the address's path comes to this listener: the file may have been removed, alone or with its
 * directory, or be another's. True of what is no path.
 */
bool listener_is_reachable(const struct listener *listener);

/* Stop listening, remove the socket file, free once the loop has let go. NULL is allowed. */
void listener_close(struct listener *listener);
