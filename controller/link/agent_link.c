/*
 * One session per container: while one is there, further peers are turned away, so that a second
 * process in the container cannot take over a running conversation. A killed agent's socket hangs
 * up at once, which makes room for its successor.
 */
#include "controller/link/agent_link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/channel.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/frame.h"
#include "common/memory.h"
#include "common/states.h"
#include "common/str.h"
#include "common/timer.h"

#define HELLO_DEADLINE_MS 5000
#define STRANGER_FRAME_LIMIT 4608 /* until it has said hello; limits.c has the hello's own */
#define BOOT_ID_MAXIMUM 64

static const char *const state_names[] = { "closed", "listening", "greeting", "connected" };
static const uint32_t allowed_moves[] = {
	[AGENT_LINK_CLOSED] = STATE_BIT(AGENT_LINK_LISTENING),
	[AGENT_LINK_LISTENING] = STATE_BIT(AGENT_LINK_GREETING) | STATE_BIT(AGENT_LINK_CLOSED),
	[AGENT_LINK_GREETING] = STATE_BIT(AGENT_LINK_CONNECTED) | STATE_BIT(AGENT_LINK_LISTENING) |
				STATE_BIT(AGENT_LINK_CLOSED),
	[AGENT_LINK_CONNECTED] = STATE_BIT(AGENT_LINK_LISTENING) | STATE_BIT(AGENT_LINK_CLOSED),
};
static const struct states_table states = {
	.name = "agent link", .states = state_names, .count = 4, .allowed = allowed_moves
};

struct agent_link {
	Phoenix__Controller_Service service; /* first: handlers recover the link from it */
	struct agent_link_config config;     /* strings inside are not used after new() */
	char *name;                          /* owned */
	struct address address;
	char boot_id[BOOT_ID_MAXIMUM];
	char version[32];
	unsigned int state;
	struct listener *listener; /* owned */
	struct channel *channel;   /* owned by the loop */
	struct timer *watch;       /* owned: hello deadline, then missed heartbeats */
	struct timer *report;      /* owned: tells of excess */
	struct agent_rates rates;
	struct ph_error refusal; /* why we dropped the peer ourselves */
	bool is_closing;
};

static struct agent_link *link_of(Phoenix__Controller_Service *service)
{
	return (struct agent_link *)service;
}

static void drop(struct agent_link *link, int code, const char *why)
{
	if (!link->channel)
		return;
	error_set(&link->refusal, code, link->address.path, NULL, "%s", why);
	channel_close(link->channel);
}

/* See to it that what was above the rates is told: soon the first time, then seldom. */
static void report_excess(struct agent_link *link)
{
	uint64_t delay;

	if (agent_rates_report_in(&link->rates, clock_monotonic_ms(), &delay))
		timer_start(link->report, delay, 0);
}

static void report_due(void *user)
{
	struct agent_link *link = user;
	struct agent_excess excess = agent_rates_reported(&link->rates, clock_monotonic_ms());

	link->config.limited(link->config.user, &excess);
}

static void channel_throttled(void *user)
{
	struct agent_link *link = user;

	link->rates.excess.pauses++;
	report_excess(link);
}

/* A peer that got no session. Whoever is refused again and again is counted, not told each time. */
static void tell_refused(struct agent_link *link, const struct ph_error *error)
{
	if (agent_rates_may_tell(&link->rates, clock_monotonic_ms()))
		link->config.lost(link->config.user, false, error);
	else
		report_excess(link);
}

/* Answers a hello with a refusal; the peer is dropped after the answer was sent. */
static void refuse(struct agent_link *link, struct rpc_request *request, int code, const char *why)
{
	struct ph_error error;

	error_set(&error, code, NULL, NULL, "%s", why);
	rpc_fail(request, &error);
	drop(link, code, why);
}

static void controller__hello(Phoenix__Controller_Service *service,
			      const Phoenix__HelloRequest *hello, Phoenix__HelloReply_Closure reply,
			      void *request)
{
	struct agent_link *link = link_of(service);
	Phoenix__HelloReply answer = PHOENIX__HELLO_REPLY__INIT;

	if (link->state != AGENT_LINK_GREETING) {
		refuse(link, request, -EPROTO, "a second hello in one session");
		return;
	}
	if (!link->boot_id[0] || !text_equal(hello->boot_id, link->boot_id)) {
		refuse(link, request, -ESTALE, "an agent of another start of this container");
		return;
	}
	if (hello->protocol < AGENT_PROTOCOL_OLDEST || hello->protocol_oldest > AGENT_PROTOCOL) {
		refuse(link, request, -EPROTONOSUPPORT, "no common protocol version");
		return;
	}
	states_move(&states, &link->state, AGENT_LINK_CONNECTED);
	text_copy(link->version, sizeof(link->version), hello->version);
	timer_start(link->watch, AGENT_LOST_MS, 0);
	channel_set_frame_limit(link->channel, FRAME_LIMIT);

	answer.protocol = hello->protocol < AGENT_PROTOCOL ? hello->protocol : AGENT_PROTOCOL;
	answer.container = link->name;
	answer.heartbeat_ms = AGENT_HEARTBEAT_MS;
	reply(&answer, request);
	link->config.connected(link->config.user, hello);
}

static void controller__heartbeat(Phoenix__Controller_Service *service,
				  const Phoenix__HeartbeatRequest *heartbeat,
				  Phoenix__HeartbeatReply_Closure reply, void *request)
{
	struct agent_link *link = link_of(service);
	Phoenix__HeartbeatReply answer = PHOENIX__HEARTBEAT_REPLY__INIT;

	if (link->state != AGENT_LINK_CONNECTED) {
		refuse(link, request, -EPROTO, "a heartbeat before hello");
		return;
	}
	timer_start(link->watch, AGENT_LOST_MS, 0);
	reply(&answer, request);
}

static void controller__publish(Phoenix__Controller_Service *service,
				const Phoenix__PublishRequest *publish,
				Phoenix__PublishReply_Closure reply, void *request)
{
	struct agent_link *link = link_of(service);
	Phoenix__PublishReply answer = PHOENIX__PUBLISH_REPLY__INIT;
	size_t count;

	if (link->state != AGENT_LINK_CONNECTED) {
		refuse(link, request, -EPROTO, "events before hello");
		return;
	}
	count = agent_rates_take_events(&link->rates, publish, clock_monotonic_ms());
	answer.dropped = (uint32_t)(publish->n_events - count);
	link->config.published(link->config.user, publish, count);
	reply(&answer, request);
	report_excess(link);
}

static const Phoenix__Controller_Service controller_service = PHOENIX__CONTROLLER__INIT(
	controller__);

static void watch_expired(void *user)
{
	struct agent_link *link = user;

	if (link->state == AGENT_LINK_GREETING)
		drop(link, -ETIMEDOUT, "no hello within 5 s");
	else
		drop(link, -ETIMEDOUT, "no heartbeat for 35 s");
}

static void free_link(struct agent_link *link)
{
	timer_close(link->watch);
	timer_close(link->report);
	free(link->name);
	free(link);
}

static void channel_closed(void *user, const struct ph_error *error)
{
	struct agent_link *link = user;
	bool was_session = link->state == AGENT_LINK_CONNECTED;
	struct ph_error why = error_is_set(&link->refusal) ? link->refusal : *error;

	link->channel = NULL;
	if (link->is_closing) {
		free_link(link);
		return;
	}
	states_move(&states, &link->state, AGENT_LINK_LISTENING);
	timer_stop(link->watch);
	error_clear(&link->refusal);
	link->version[0] = '\0';
	if (was_session)
		link->config.lost(link->config.user, true, &why);
	else
		tell_refused(link, &why);
}

/* The first gate: kernel credentials of the peer against the container's id range. */
static bool peer_is_ours(const struct agent_link *link, const struct ucred *peer)
{
	return peer->uid >= link->config.id_base &&
	       peer->uid - link->config.id_base < link->config.id_count;
}

static void accepted(void *user, int fd, const struct ucred *peer)
{
	struct agent_link *link = user;
	const struct channel_config config = { .service = &link->service.base,
					       .closed = channel_closed,
					       .throttled = channel_throttled,
					       .byte_rate = &link->rates.bytes,
					       .frame_rate = &link->rates.frames,
					       .frame_limit = STRANGER_FRAME_LIMIT,
					       .user = link };
	struct ph_error error;

	if (!agent_rates_admit(&link->rates, clock_monotonic_ms())) {
		close(fd);
		report_excess(link);
		return;
	}
	if (!peer_is_ours(link, peer)) {
		close(fd);
		error_set(&error, -EACCES, link->address.path, NULL,
			  "uid %u of process %d is outside the container's id range", peer->uid,
			  peer->pid);
		tell_refused(link, &error);
		return;
	}
	if (link->channel) { /* one session per container */
		close(fd);
		link->rates.excess.connections++;
		report_excess(link);
		return;
	}
	if (channel_open(link->config.loop, fd, &config, &link->channel) < 0) {
		link->channel = NULL;
		return;
	}
	states_move(&states, &link->state, AGENT_LINK_GREETING);
	timer_start(link->watch, HELLO_DEADLINE_MS, 0);
}

struct agent_link *agent_link_new(const struct agent_link_config *config)
{
	struct agent_link *link = ph_alloc(sizeof(*link));

	link->service = controller_service;
	link->config = *config;
	link->name = ph_strdup(config->name);
	link->address.family = ADDRESS_UNIX;
	snprintf(link->address.path, sizeof(link->address.path), "%s/agents/%s/agent.sock",
		 config->run_dir, config->name);
	link->state = AGENT_LINK_CLOSED;
	link->watch = timer_new(config->loop, watch_expired, link);
	link->report = timer_new(config->loop, report_due, link);
	agent_rates_init(&link->rates, clock_monotonic_ms());
	return link;
}

void agent_link_set_ids(struct agent_link *link, uint32_t id_base, uint32_t id_count)
{
	link->config.id_base = id_base;
	link->config.id_count = id_count;
}

int agent_link_listen(struct agent_link *link, struct ph_error *error)
{
	int r;

	if (link->state != AGENT_LINK_CLOSED)
		return 0;
	/* 0666: the parent directory keeps host users out, the bind mount lets the container in. */
	r = listener_open(link->config.loop, &link->address, 0666, accepted, link, &link->listener,
			  error);
	if (r < 0)
		return r;
	states_move(&states, &link->state, AGENT_LINK_LISTENING);
	return 0;
}

void agent_link_expect(struct agent_link *link, const char *boot_id)
{
	text_copy(link->boot_id, sizeof(link->boot_id), boot_id);
}

enum agent_link_state agent_link_get_state(const struct agent_link *link)
{
	return (enum agent_link_state)link->state;
}

const char *agent_link_version(const struct agent_link *link)
{
	return link->version;
}

int agent_link_call(struct agent_link *link, const char *method, const ProtobufCMessage *request,
		    uint32_t timeout_ms, const struct rpc_handlers *handlers, void *user,
		    struct rpc_call **ret_call)
{
	if (link->state != AGENT_LINK_CONNECTED || !link->channel)
		return -ENOTCONN;
	return channel_call(link->channel, &phoenix__agent__descriptor, method, request, timeout_ms,
			    handlers, user, ret_call);
}

void agent_link_drop(struct agent_link *link)
{
	drop(link, -ECANCELED, "dropped by the controller");
}

void agent_link_close(struct agent_link *link)
{
	if (!link)
		return;
	link->is_closing = true;
	listener_close(link->listener);
	link->listener = NULL;
	if (!link->channel) {
		free_link(link);
		return;
	}
	rpc_cancel_all(channel_rpc(link->channel)); /* while what their handlers use still lives */
	channel_close(link->channel);
}
