/*
 * The socket side of rpc. Frames sent while a callback runs are collected and leave in one send(2)
 * when it returns, or before the loop sleeps again: a call costs one recv and one send per side.
 *
 * Nothing is torn down where trouble is noticed. A handler may close the channel it runs on, and a
 * send deep inside rpc may fail; both only move the state, and channel_settle() acts on it when no
 * rpc code of this channel is on the stack.
 *
 * uv_poll and send(2) rather than uv_pipe: any stream socket will do (vsock), a dead peer is EPIPE
 * and never a signal, and the bytes that count as unsent are all in one place.
 */
#include "common/channel.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/frame.h"
#include "common/memory.h"
#include "common/outgoing.h"
#include "common/states.h"

#define READ_SIZE (32 * 1024)
#define FLUSH_AT (64 * 1024)    /* a handler that sends much does not wait for its return */
#define DRAIN_MS 2000
#define LAST_READS 16 /* of a peer that hung up: more than a socket's buffer */
#define HANDLES 3

/*
 *   OPEN --channel_close()--> DRAINING --all sent, or 2 s--> CLOSED
 *     \                         \                            ^
 *      `-------- failure --------`--> BROKEN ----------------'
 */
enum channel_state {
	CHANNEL_OPEN,
	CHANNEL_DRAINING, /* nothing is received any more */
	CHANNEL_BROKEN,   /* error says why; ends with the next channel_settle() */
	CHANNEL_CLOSED,   /* waits for the loop to let go of the handles */
};

static const char *const state_names[] = { "open", "draining", "broken", "closed" };
static const uint32_t state_moves[] = {
	[CHANNEL_OPEN] = STATE_BIT(CHANNEL_DRAINING) | STATE_BIT(CHANNEL_BROKEN),
	[CHANNEL_DRAINING] = STATE_BIT(CHANNEL_BROKEN) | STATE_BIT(CHANNEL_CLOSED),
	[CHANNEL_BROKEN] = STATE_BIT(CHANNEL_CLOSED),
	[CHANNEL_CLOSED] = 0,
};
static const struct states_table channel_states = {
	.name = "channel",
	.states = state_names,
	.count = ARRAY_LENGTH(state_names),
	.allowed = state_moves,
};

struct channel {
	uv_poll_t poll;
	uv_idle_t soon; /* settles before the loop sleeps; active only when there is work */
	uv_timer_t timer;
	unsigned int handles;
	int fd;       /* owned */
	int interest; /* what poll waits for */
	bool busy;    /* a trampoline of ours is on the stack and will settle */
	bool blocked; /* the kernel's buffer is full until poll says otherwise */
	bool is_gated; /* frames are the gate's */
	bool hung_up; /* the peer takes nothing any more; its last words may be waiting */
	unsigned int state;
	uint64_t armed_at_ms; /* 0: the timer does not run */
	uint64_t drain_by_ms;
	uint64_t paused_until_ms; /* nothing is read until then; 0: it is */
	struct rpc *rpc;          /* owned */
	struct frame_reader reader;
	struct outgoing outgoing;
	struct channel_config config;
	int peer_result;
	struct ucred peer;
	struct ph_error error;
};

static void channel_polled(uv_poll_t *poll, int status, int events);
static void channel_woken(uv_idle_t *soon);
static void channel_timed(uv_timer_t *timer);
static void channel_handle_closed(uv_handle_t *handle);

static void settle_soon(struct channel *channel)
{
	if (!channel->busy && channel->state != CHANNEL_CLOSED)
		uv_idle_start(&channel->soon, channel_woken);
}

/* Note why the connection is lost; the first reason stays. Returns the code. */
static int channel_break(struct channel *channel, const struct ph_error *error)
{
	if (channel->state == CHANNEL_OPEN || channel->state == CHANNEL_DRAINING) {
		states_move(&channel_states, &channel->state, CHANNEL_BROKEN);
		channel->error = *error;
		settle_soon(channel);
	}
	return error->code;
}

/* A peer that went away is one outcome, however the kernel words it. */
static bool is_hang_up(int code)
{
	return code == -EPIPE || code == -ECONNRESET;
}

static int break_errno(struct channel *channel, int code, const char *call)
{
	struct ph_error error;

	if (is_hang_up(code))
		error_set(&error, -ECONNRESET, NULL, NULL, "the peer has hung up");
	else
		error_errno(&error, code, NULL, NULL, call);
	return channel_break(channel, &error);
}

/* Give the kernel what may leave. A short write means that its buffer is full. */
static void channel_flush(struct channel *channel)
{
	struct outgoing *outgoing = &channel->outgoing;
	size_t length = channel->blocked ? 0 : outgoing_ready(outgoing);
	ssize_t sent;

	if (length == 0)
		return;
	do
		sent = send(channel->fd, outgoing->bytes + outgoing->start, length,
			    MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent < 0 && channel->state == CHANNEL_OPEN && is_hang_up(-errno)) {
		channel->hung_up = true;
		outgoing_drop(outgoing);
		return;
	}
	if (sent < 0 && errno != EAGAIN) {
		break_errno(channel, -errno, "send");
		return;
	}
	channel->blocked = sent < (ssize_t)length;
	if (sent > 0)
		outgoing_sent(outgoing, (size_t)sent);
}

static void outgoing_released(struct outgoing *outgoing)
{
	settle_soon(container_of(outgoing, struct channel, outgoing));
}

/* Apart from send_frame(), which would clear the error on each call. */
static int break_overflow(struct channel *channel)
{
	struct ph_error error;

	error_set(&error, -ENOBUFS, NULL, NULL,
		  "the peer does not read: %zu bytes are waiting for it", outgoing_length(&channel->outgoing));
	return channel_break(channel, &error);
}

static int send_frame(void *user, const uint8_t *frame, size_t length)
{
	struct channel *channel = user;

	if (channel->state != CHANNEL_OPEN || channel->hung_up)
		return -ENOTCONN;
	if (outgoing_length(&channel->outgoing) + length > CHANNEL_UNSENT_MAXIMUM)
		return break_overflow(channel);
	outgoing_append(&channel->outgoing, frame, length);
	if (outgoing_length(&channel->outgoing) >= FLUSH_AT)
		channel_flush(channel);
	settle_soon(channel);
	return channel->state == CHANNEL_BROKEN ? channel->error.code : 0;
}

static size_t count_unsent(void *user)
{
	const struct channel *channel = user;

	return outgoing_length(&channel->outgoing);
}

/* To the gate until it lets the peer in, then to rpc. */
static int take_frame(struct channel *channel, const uint8_t *payload, size_t length,
		      struct ph_error *error)
{
	int r;

	if (!channel->is_gated)
		return rpc_receive(channel->rpc, payload, length, error);
	r = channel->config.gate(channel->config.user, payload, length, error);
	if (r == CHANNEL_LET_IN) {
		channel->is_gated = false;
		channel_set_frame_limit(channel, channel->config.frame_limit);
		r = 0;
	}
	return r;
}

/* Take every complete frame; a handler may end the channel in between. Returns how many. */
static uint32_t receive_frames(struct channel *channel)
{
	/* Not cleared: it has a kilobyte, and most frames are good. */
	__attribute__((uninitialized)) struct ph_error error;
	const uint8_t *payload;
	uint32_t count = 0;
	size_t length;
	int r = FRAME_MORE;

	error.code = 0;
	while (channel->state == CHANNEL_OPEN) {
		r = frame_reader_next(&channel->reader, &payload, &length);
		if (r != FRAME_READY)
			break;
		count++;
		r = take_frame(channel, payload, length, &error);
		if (r < 0)
			break;
	}
	if (r == -EMSGSIZE && !error_is_set(&error))
		error_set(&error, -EPROTO, NULL, NULL, "a frame is larger than %zu bytes",
			  channel->reader.limit);
	if (r < 0)
		channel_break(channel, &error);
	return count;
}

/* Account for what was read, and read no more until the peer has kept to its rates. */
static void charge(struct channel *channel, size_t bytes, uint32_t frames)
{
	uint64_t now, wait = 0, other = 0;

	if (!channel->config.byte_rate && !channel->config.frame_rate)
		return;
	now = clock_monotonic_ms();
	if (channel->config.byte_rate)
		wait = rate_spend(channel->config.byte_rate, (uint32_t)bytes, now);
	if (channel->config.frame_rate)
		other = rate_spend(channel->config.frame_rate, frames, now);
	if (other > wait)
		wait = other;
	if (wait == 0 || channel->state != CHANNEL_OPEN)
		return;
	channel->paused_until_ms = now + wait;
	if (channel->config.throttled)
		channel->config.throttled(channel->config.user);
}

/* Read once and serve what came; false when there was nothing. */
static bool channel_read(struct channel *channel)
{
	/* Empty again when this returns. On the stack each of its pages would be touched (stack clash
	 * protection) and stay in memory; an agent has hardly more than that. */
	static _Thread_local uint8_t bytes[READ_SIZE];
	ssize_t length = recv(channel->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (length <= 0) {
		break_errno(channel, length < 0 ? -errno : -ECONNRESET, "receive");
		return false;
	}
	frame_reader_feed(&channel->reader, bytes, (size_t)length);
	charge(channel, (size_t)length, receive_frames(channel));
	return true;
}

/* A peer may answer and hang up before it has read all: its answer counts. */
static void read_last_words(struct channel *channel)
{
	channel->busy = true;
	for (int i = 0; i < LAST_READS && channel->state == CHANNEL_OPEN; i++)
		if (!channel_read(channel))
			break;
	break_errno(channel, -ECONNRESET, "send");
	channel->busy = false;
}

static void update_interest(struct channel *channel)
{
	bool reads = channel->state == CHANNEL_OPEN && !channel->paused_until_ms;
	int interest = (reads ? UV_READABLE : 0) | (channel->blocked ? UV_WRITABLE : 0);

	if (interest == channel->interest)
		return;
	channel->interest = interest;
	if (interest)
		uv_poll_start(&channel->poll, interest, channel_polled);
	else
		uv_poll_stop(&channel->poll);
}

/* When the timer has something to do; 0: never. */
static uint64_t next_time(const struct channel *channel)
{
	uint64_t at = rpc_deadline(channel->rpc);

	if (channel->state == CHANNEL_DRAINING)
		return channel->drain_by_ms;
	if (channel->paused_until_ms && (at == 0 || channel->paused_until_ms < at))
		return channel->paused_until_ms;
	return at;
}

/*
 * Arm the timer for what comes first. It is never moved back: most calls end long before their
 * deadline, and one early wake-up is cheaper than a timer per call.
 */
static void update_timer(struct channel *channel)
{
	uint64_t at = next_time(channel);
	uint64_t now;

	if (at == 0 || (channel->armed_at_ms && channel->armed_at_ms <= at))
		return;
	now = clock_monotonic_ms();
	uv_timer_start(&channel->timer, channel_timed, at > now ? at - now : 0, 0);
	channel->armed_at_ms = at;
}

static void channel_finish(struct channel *channel)
{
	states_move(&channel_states, &channel->state, CHANNEL_CLOSED);
	uv_close((uv_handle_t *)&channel->poll, channel_handle_closed);
	uv_close((uv_handle_t *)&channel->soon, channel_handle_closed);
	uv_close((uv_handle_t *)&channel->timer, channel_handle_closed);
	close(take_fd(&channel->fd));
}

/* Do what the last callback left to do. No rpc code of this channel is on the stack. */
static void channel_settle(struct channel *channel)
{
	if (channel->state == CHANNEL_CLOSED)
		return;
	uv_idle_stop(&channel->soon);
	if (channel->state != CHANNEL_BROKEN)
		channel_flush(channel);
	if (channel->hung_up && channel->state == CHANNEL_OPEN)
		read_last_words(channel);
	if (channel->state == CHANNEL_BROKEN ||
	    (channel->state == CHANNEL_DRAINING && outgoing_length(&channel->outgoing) == 0)) {
		channel_finish(channel);
		return;
	}
	update_interest(channel);
	update_timer(channel);
}

static int read_peer(int fd, struct ucred *ret_peer)
{
	socklen_t size = sizeof(int);
	int domain = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0)
		return -errno;
	if (domain != AF_UNIX)
		return -ENOTSUP;
	size = sizeof(*ret_peer);
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ret_peer, &size) < 0 ? -errno : 0;
}

int channel_open(uv_loop_t *loop, int fd, const struct channel_config *config,
		 struct channel **ret_channel)
{
	PH_AUTO_CLOSE int owned = fd;
	PH_AUTO_FREE struct channel *channel = ph_alloc(sizeof(*channel));
	struct rpc_config rpc = {
		.service = config->service,
		.streaming = config->streaming,
		.send = send_frame,
		.unsent = count_unsent,
		.user = channel,
	};
	int r;

	channel->peer_result = read_peer(fd, &channel->peer);
	if (channel->peer_result < 0 && channel->peer_result != -ENOTSUP)
		return channel->peer_result;
	r = uv_poll_init(loop, &channel->poll, fd);
	if (r < 0)
		return r;
	uv_idle_init(loop, &channel->soon);
	uv_timer_init(loop, &channel->timer);
	channel->poll.data = channel;
	channel->soon.data = channel;
	channel->timer.data = channel;
	channel->handles = HANDLES;
	channel->fd = take_fd(&owned);
	channel->config = *config;
	outgoing_init(&channel->outgoing, config->barrier, outgoing_released);
	channel->rpc = rpc_new(&rpc);
	channel->is_gated = config->gate != NULL;
	frame_reader_init(&channel->reader, config->gate ? config->gate_limit : config->frame_limit);
	update_interest(channel);
	*ret_channel = take_pointer(channel);
	return 0;
}

void channel_set_frame_limit(struct channel *channel, size_t limit)
{
	channel->reader.limit = limit ? limit : FRAME_LIMIT;
}

void channel_close(struct channel *channel)
{
	if (channel->state != CHANNEL_OPEN)
		return;
	states_move(&channel_states, &channel->state, CHANNEL_DRAINING);
	channel->drain_by_ms = clock_monotonic_ms() + DRAIN_MS;
	settle_soon(channel);
}

int channel_send(struct channel *channel, const void *payload, size_t length)
{
	PH_AUTO_FREE uint8_t *frame = ph_alloc(FRAME_HEADER_SIZE + length);

	frame_write_header(frame, (uint32_t)length);
	memcpy(frame + FRAME_HEADER_SIZE, payload, length);
	return send_frame(channel, frame, FRAME_HEADER_SIZE + length);
}

void channel_adopt(struct channel *channel, const struct channel_config *config)
{
	channel->config.service = config->service;
	channel->config.streaming = config->streaming;
	channel->config.closed = config->closed;
	channel->config.throttled = config->throttled;
	channel->config.byte_rate = config->byte_rate;
	channel->config.frame_rate = config->frame_rate;
	channel->config.frame_limit = config->frame_limit;
	channel->config.user = config->user;
	if (!channel->is_gated)
		channel_set_frame_limit(channel, config->frame_limit);
	rpc_serve(channel->rpc, config->service, config->streaming);
}

struct rpc *channel_rpc(struct channel *channel)
{
	return channel->rpc;
}

int channel_call(struct channel *channel, const ProtobufCServiceDescriptor *service,
		 const char *method, const ProtobufCMessage *request, uint32_t timeout_ms,
		 const struct rpc_handlers *handlers, void *user, struct rpc_call **ret_call)
{
	int r;

	if (channel->state != CHANNEL_OPEN)
		return -ENOTCONN;
	r = rpc_call(channel->rpc, service, method, request, timeout_ms, clock_monotonic_ms(),
		     handlers, user, ret_call);
	update_timer(channel);
	return r;
}

int channel_peer(const struct channel *channel, struct ucred *ret_peer)
{
	if (channel->peer_result == 0)
		*ret_peer = channel->peer;
	return channel->peer_result;
}

/* Rpc and owner hear of the end here, where no callback can be under way any more. */
static void channel_free(struct channel *channel)
{
	channel->busy = true;
	rpc_free(channel->rpc);
	channel->config.closed(channel->config.user, &channel->error);
	frame_reader_fini(&channel->reader);
	outgoing_fini(&channel->outgoing);
	free(channel);
}

static void take_events(struct channel *channel, int status, int events)
{
	/* libuv stops a handle that it reports an error on; recv() finds the error, after the data. */
	if (status < 0)
		channel->interest = 0;
	if (status < 0 || (events & UV_WRITABLE))
		channel->blocked = false;
	if (channel->state == CHANNEL_OPEN && (status < 0 || (events & UV_READABLE)))
		channel_read(channel);
}

static void take_time(struct channel *channel)
{
	uint64_t now = clock_monotonic_ms();

	channel->armed_at_ms = 0;
	if (channel->paused_until_ms && now >= channel->paused_until_ms)
		channel->paused_until_ms = 0;
	if (channel->state == CHANNEL_DRAINING && now >= channel->drain_by_ms)
		outgoing_drop(&channel->outgoing);
	if (channel->state == CHANNEL_OPEN)
		rpc_tick(channel->rpc, now);
}

static void channel_polled(uv_poll_t *poll, int status, int events)
{
	struct channel *channel = container_of(poll, struct channel, poll);

	channel->busy = true;
	take_events(channel, status, events);
	channel->busy = false;
	channel_settle(channel);
}

static void channel_woken(uv_idle_t *soon)
{
	channel_settle(container_of(soon, struct channel, soon));
}

static void channel_timed(uv_timer_t *timer)
{
	struct channel *channel = container_of(timer, struct channel, timer);

	channel->busy = true;
	take_time(channel);
	channel->busy = false;
	channel_settle(channel);
}

static void channel_handle_closed(uv_handle_t *handle)
{
	struct channel *channel = handle->data;

	if (--channel->handles == 0)
		channel_free(channel);
}
