/*
 * A session lives apart from the link, so that one that was replaced or dropped can send its last words
 * while the next one is already there.
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
#define GREETINGS_MAXIMUM 4       /* of one container, over Unix */
#define BOOT_ID_MAXIMUM 64

static const char *const state_names[] = { "closed", "listening", "greeting", "connected" };
static const uint32_t allowed_moves[] = {
	[AGENT_LINK_CLOSED] = STATE_BIT(AGENT_LINK_LISTENING),
	[AGENT_LINK_LISTENING] = STATE_BIT(AGENT_LINK_GREETING) | STATE_BIT(AGENT_LINK_CLOSED),
	[AGENT_LINK_GREETING] = STATE_BIT(AGENT_LINK_CONNECTED) | STATE_BIT(AGENT_LINK_LISTENING) |
				STATE_BIT(AGENT_LINK_CLOSED),
	[AGENT_LINK_CONNECTED] = STATE_BIT(AGENT_LINK_LISTENING) | STATE_BIT(AGENT_LINK_GREETING) |
				 STATE_BIT(AGENT_LINK_CLOSED),
};
static const struct states_table states = {
	.name = "agent link", .states = state_names, .count = 4, .allowed = allowed_moves
};

struct session {
	struct agent_link *link; /* borrowed; NULL once it was replaced, or the link has gone */
	struct channel *channel; /* owned by the loop */
};

struct agent_link {
	Phoenix__Controller_Service service; /* first: handlers recover the link from it */
	struct agent_link_config config;     /* strings inside are not used after new() */
	char *name;                          /* owned */
	struct address address;
	char boot_id[BOOT_ID_MAXIMUM];
	char version[32];
	uint16_t protocol;           /* agreed with the session's peer */
	unsigned int state;
	struct listener *listener;   /* owned; NULL over vsock */
	struct greetings *greetings; /* owned; of the listener */
	struct session *session;     /* owned by its channel */
	struct timer *watch;         /* owned: hello deadline, then missed heartbeats */
	struct timer *report;        /* owned: tells of excess */
	struct agent_rates rates;
	struct ph_error refusal;     /* why we dropped the peer ourselves */
	bool is_replacing;           /* the session before this one never ended for our user */
};

static struct agent_link *link_of(Phoenix__Controller_Service *service)
{
	return (struct agent_link *)service;
}

static void drop(struct agent_link *link, int code, const char *why)
{
	if (!link->session)
		return;
	error_set(&link->refusal, code, link->address.path, NULL, "%s", why);
	channel_close(link->session->channel);
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

static void session_throttled(void *user)
{
	const struct session *session = user;
	struct agent_link *link = session->link;

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
	/* The start and the versions were proved; that the hello says them again is for people. */
	if (!text_equal(hello->boot_id, link->boot_id)) {
		refuse(link, request, -ESTALE, "an agent of another start of this container");
		return;
	}
	if (hello->protocol < link->protocol || hello->protocol_oldest > link->protocol) {
		refuse(link, request, -EPROTO, "a hello with other versions than were proved");
		return;
	}
	link->is_replacing = false;
	states_move(&states, &link->state, AGENT_LINK_CONNECTED);
	text_copy(link->version, sizeof(link->version), hello->version);
	timer_start(link->watch, AGENT_LOST_MS, 0);
	channel_set_frame_limit(link->session->channel, FRAME_LIMIT);

	answer.protocol = link->protocol;
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

/* Events that are not acknowledged yet. */
struct publication {
	Phoenix__PublishReply_Closure reply;
	void *request;
	uint32_t dropped;
};

static void publication_stored(void *user)
{
	Phoenix__PublishReply answer = PHOENIX__PUBLISH_REPLY__INIT;
	struct publication *publication = user;

	answer.dropped = publication->dropped;
	publication->reply(&answer, publication->request);
	free(publication);
}

static void controller__publish(Phoenix__Controller_Service *service,
				const Phoenix__PublishRequest *publish,
				Phoenix__PublishReply_Closure reply, void *request)
{
	struct agent_link *link = link_of(service);
	struct publication *publication;
	size_t count;

	if (link->state != AGENT_LINK_CONNECTED) {
		refuse(link, request, -EPROTO, "events before hello");
		return;
	}
	count = agent_rates_take_events(&link->rates, publish, clock_monotonic_ms());
	publication = ph_alloc(sizeof(*publication));
	*publication = (struct publication){ reply, request, (uint32_t)(publish->n_events - count) };
	link->config.published(link->config.user, publish, count, publication_stored, publication);
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

static void session_closed(void *user, const struct ph_error *error)
{
	struct session *session = user;
	struct agent_link *link = session->link;
	struct ph_error why;
	bool was_session;

	free(session);
	if (!link)
		return;
	was_session = link->state == AGENT_LINK_CONNECTED || link->is_replacing;
	why = error_is_set(&link->refusal) ? link->refusal : *error;
	link->session = NULL;
	link->is_replacing = false;
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
	struct ph_error error;

	if (!agent_rates_admit(&link->rates, clock_monotonic_ms())) {
		close(fd);
		report_excess(link);
		return;
	}
	if (peer_is_ours(link, peer)) {
		greetings_take(link->greetings, fd, peer);
		return;
	}
	close(fd);
	error_set(&error, -EACCES, link->address.path, NULL,
		  "uid %u of process %d is outside the container's id range", peer->uid, peer->pid);
	tell_refused(link, &error);
}

/* The second gate: who may try to prove that it is this container's agent. */
int agent_link_find_key(struct agent_link *link, const struct handshake_claim *claim,
			uint8_t ret_key[HANDSHAKE_KEY_SIZE])
{
	bool is_vsock = claim->transport == HANDSHAKE_VSOCK;
	int r;

	if (!text_equal(claim->name, link->name) || !link->boot_id[0] ||
	    is_vsock != link->config.is_vsock || link->state == AGENT_LINK_CLOSED)
		return -EACCES;
	r = link->config.find_key(link->config.user, ret_key);
	if (r < 0)
		return r;
	return text_equal(claim->boot_id, link->boot_id) ? HANDSHAKE_WELCOME : HANDSHAKE_STALE;
}

/* The session lives on without its link, for as long as its last words take. */
static void part_with(struct session *session)
{
	const struct channel_config alone = { .closed = session_closed, .user = session };

	session->link->session = NULL;
	session->link = NULL;
	channel_adopt(session->channel, &alone);
}

/* Calls of the session before end as if it were lost; what is made in them meets no session. */
static void replace_session(struct agent_link *link)
{
	struct session *session = link->session;

	link->is_replacing |= link->state == AGENT_LINK_CONNECTED;
	part_with(session);
	states_move(&states, &link->state, AGENT_LINK_GREETING);
	rpc_reset_calls(channel_rpc(session->channel));
	channel_close(session->channel);
	error_clear(&link->refusal);
}

int agent_link_admit(struct agent_link *link, const struct greeted *greeted,
		     struct ph_error *error)
{
	struct channel_config config = { .service = &link->service.base,
					 .closed = session_closed,
					 .throttled = session_throttled,
					 .byte_rate = &link->rates.bytes,
					 .frame_rate = &link->rates.frames,
					 .frame_limit = STRANGER_FRAME_LIMIT };
	int r = 0;

	if (greeted->claim->transport == HANDSHAKE_UNIX && link->config.check_peer)
		r = link->config.check_peer(link->config.user, &greeted->peer, error);
	if (r < 0)
		return r;
	if (link->session)
		replace_session(link);
	link->session = ph_alloc(sizeof(*link->session));
	link->session->link = link;
	link->session->channel = greeted->channel;
	link->protocol = greeted->protocol;
	config.user = link->session;
	channel_adopt(greeted->channel, &config);
	states_move(&states, &link->state, AGENT_LINK_GREETING);
	timer_start(link->watch, HELLO_DEADLINE_MS, 0);
	return 0;
}

void agent_link_refuse(struct agent_link *link, const struct ph_error *error)
{
	tell_refused(link, error);
}

/* The same, as the greetings of our own socket call them. */

static int find_key(void *user, const struct handshake_claim *claim,
		    uint8_t ret_key[HANDSHAKE_KEY_SIZE])
{
	return agent_link_find_key(user, claim, ret_key);
}

static int proved(void *user, const struct greeted *greeted, struct ph_error *error)
{
	return agent_link_admit(user, greeted, error);
}

static void refused(void *user, const struct handshake_claim *claim, const struct ph_error *error)
{
	tell_refused(user, error);
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

void agent_link_set_vsock(struct agent_link *link, bool is_vsock)
{
	link->config.is_vsock = is_vsock;
}

static int open_listener(struct agent_link *link, struct ph_error *error)
{
	const struct greetings_config greetings = { .loop = link->config.loop,
						    .maximum = GREETINGS_MAXIMUM,
						    .protocol_oldest = AGENT_PROTOCOL_OLDEST,
						    .protocol = AGENT_PROTOCOL,
						    .barrier = link->config.barrier,
						    .find = find_key,
						    .proved = proved,
						    .refused = refused,
						    .user = link };
	/* 0666: the parent directory keeps host users out, the bind mount lets the container in. */
	int r = listener_open(link->config.loop, &link->address, 0666, accepted, link,
			      &link->listener, error);

	if (r == 0 && !link->greetings)
		link->greetings = greetings_new(&greetings);
	return r;
}

int agent_link_listen(struct agent_link *link, struct ph_error *error)
{
	int r = 0;

	/* A container that was destroyed and is made again has another directory: nobody comes to the old socket. */
	if (link->listener && !listener_is_reachable(link->listener))
		listener_close(take_pointer(link->listener));
	if (!link->config.is_vsock && !link->listener)
		r = open_listener(link, error);
	if (r == 0 && link->state == AGENT_LINK_CLOSED)
		states_move(&states, &link->state, AGENT_LINK_LISTENING);
	return r;
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

uint32_t agent_link_protocol(const struct agent_link *link)
{
	return link->protocol;
}

int agent_link_call(struct agent_link *link, const char *method, const ProtobufCMessage *request,
		    uint32_t timeout_ms, const struct rpc_handlers *handlers, void *user,
		    struct rpc_call **ret_call)
{
	if (link->state != AGENT_LINK_CONNECTED || !link->session)
		return -ENOTCONN;
	if (!link->config.allowed(link->config.user, method))
		return -EACCES;
	return channel_call(link->session->channel, &phoenix__agent__descriptor, method, request,
			    timeout_ms, handlers, user, ret_call);
}

void agent_link_drop(struct agent_link *link)
{
	drop(link, -ECANCELED, "dropped by the controller");
}

void agent_link_close(struct agent_link *link)
{
	struct session *session;

	if (!link)
		return;
	listener_close(link->listener);
	greetings_close(link->greetings);
	session = link->session;
	if (session) {
		part_with(session);
		/* While what their handlers use still lives. */
		rpc_cancel_all(channel_rpc(session->channel));
		channel_close(session->channel);
	}
	timer_close(link->watch);
	timer_close(link->report);
	free(link->name);
	free(link);
}
