/*
 * Backoff is jittered so that a fleet of agents does not come back at one instant. A refusal by whoever
 * holds the key (another start, no common protocol) ends the process: only a new push can help. One that
 * does not hold it is not believed anything: it may stand in for a controller that is being restarted.
 */
#include "agent/link.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "agent/backoff.h"
#include "agent/spool.h"
#include "agent/system/pages.h"
#include "common/channel.h"
#include "common/clock.h"
#include "common/handshake.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/str.h"
#include "common/timer.h"

#define PROTOCOL 1
#define PROTOCOL_OLDEST 1
/* Longer than a controller needs that thousands come back to at once: who hangs up comes again, and costs
 * it more. */
#define HANDSHAKE_TIMEOUT_MS 15000
#define HELLO_TIMEOUT_MS 15000
#define HEARTBEAT_TIMEOUT_MS 30000
#define PUBLISH_TIMEOUT_MS 10000

struct link {
	uv_loop_t *loop;
	struct link_config config;
	struct channel *channel; /* NULL while dialing */
	struct handshake handshake;
	struct spool *spool;
	bool is_greeted;
	bool is_publishing; /* a batch is out */
	uint64_t lost_ms;   /* when the session before ended; 0: there was none */
	struct timer *dial;
	struct timer *patience; /* with the other side's part of the handshake */
	struct timer *heartbeat;
	struct backoff backoff;
	bool is_refused; /* who answered the last time does not hold the key */
};

static void heartbeat_answered(void *user, const ProtobufCMessage *reply,
			       const struct ph_error *error)
{
	struct link *link = user;

	if (error && link->channel)
		channel_close(link->channel);
}

static void send_heartbeat(void *user)
{
	static const struct rpc_handlers handlers = { .finished = heartbeat_answered };
	Phoenix__HeartbeatRequest request = PHOENIX__HEARTBEAT_REQUEST__INIT;
	struct link *link = user;

	if (!link->channel)
		return;
	request.monotonic_ms = clock_monotonic_ms();
	channel_call(link->channel, &phoenix__controller__descriptor, "Heartbeat", &request.base,
		     HEARTBEAT_TIMEOUT_MS, &handlers, link, NULL);
}

static void give_up_if_refused(const struct ph_error *error)
{
	log_error(LOG_LEVEL_ERROR, "link", NULL, error);
	if (error->code == -ESTALE || error->code == -EPROTONOSUPPORT)
		exit(EXIT_FAILURE);
}

static void publish(struct link *link);

static void published(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	struct link *link = user;

	link->is_publishing = false;
	if (error)
		return; /* the batch stays: it goes out again with the next one, or the next session */
	spool_taken(link->spool);
	publish(link);
}

/* One batch at a time; the next one follows its answer. */
static void publish(struct link *link)
{
	static const struct rpc_handlers handlers = { .finished = published };
	const Phoenix__PublishRequest *batch;

	if (!link->channel || !link->is_greeted || link->is_publishing)
		return;
	batch = spool_batch(link->spool);
	if (batch && channel_call(link->channel, &phoenix__controller__descriptor, "Publish",
				  &batch->base, PUBLISH_TIMEOUT_MS, &handlers, link, NULL) == 0)
		link->is_publishing = true;
}

static void tell_return(struct link *link)
{
	char text[96];

	if (!link->lost_ms)
		return;
	snprintf(text, sizeof(text), "the controller was away for %llu ms",
		 (unsigned long long)(clock_monotonic_ms() - link->lost_ms));
	link->lost_ms = 0;
	link_tell(link, PHOENIX__EVENT__SEVERITY__INFO, "link.restored", "Reconnected", text);
}

void link_tell(struct link *link, Phoenix__Event__Severity severity, const char *type,
	       const char *reason, const char *message)
{
	uint64_t seq = spool_add(link->spool, clock_wall_ms(), clock_monotonic_ms(), severity, type,
				 reason, message);

	log_write(LOG_LEVEL_INFO, "event", NULL, "told: event %llu %s", (unsigned long long)seq,
		  type);
	publish(link);
}

static void greeted(void *user, const ProtobufCMessage *message, const struct ph_error *error)
{
	const Phoenix__HelloReply *reply = (const Phoenix__HelloReply *)message;
	struct link *link = user;

	if (error) {
		give_up_if_refused(error);
		if (link->channel)
			channel_close(link->channel);
		return;
	}
	backoff_reset(&link->backoff);
	link->is_greeted = true;
	tell_return(link);
	publish(link);
	timer_start(link->heartbeat, reply->heartbeat_ms, reply->heartbeat_ms);
	log_write(LOG_LEVEL_INFO, "link", NULL, "connected, protocol %u", reply->protocol);
	pages_let_go();
}

static void say_hello(struct link *link)
{
	static const struct rpc_handlers handlers = { .finished = greeted };
	Phoenix__HelloRequest hello = PHOENIX__HELLO_REQUEST__INIT;

	hello.protocol = PROTOCOL;
	hello.protocol_oldest = PROTOCOL_OLDEST;
	hello.version = (char *)PH_VERSION;
	hello.boot_id = (char *)link->config.boot_id;
	hello.pid = (uint32_t)getpid();
	hello.capabilities = (char **)service_capabilities;
	while (service_capabilities[hello.n_capabilities])
		hello.n_capabilities++;
	channel_call(link->channel, &phoenix__controller__descriptor, "Hello", &hello.base,
		     HELLO_TIMEOUT_MS, &handlers, link, NULL);
}

static void dial_later(struct link *link)
{
	uint16_t random = 0;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = 0;
	timer_start(link->dial, backoff_next(&link->backoff, link->is_refused, random), 0);
	link->is_refused = false;
}

static void patience_lost(void *user)
{
	struct link *link = user;

	if (link->channel)
		channel_close(link->channel);
}

/* Frames of the handshake; hello follows its last one at once. */
static int gate(void *user, const uint8_t *payload, size_t length, struct ph_error *error)
{
	struct link *link = user;
	struct handshake_frame answer;
	int r = handshake_receive(&link->handshake, payload, length, &answer, error);

	if (r < 0) {
		link->is_refused = r == -EACCES;
		give_up_if_refused(error);
		return r;
	}
	if (answer.length)
		channel_send(link->channel, answer.bytes, answer.length);
	if (r != HANDSHAKE_DONE)
		return 0;
	timer_stop(link->patience);
	say_hello(link);
	return CHANNEL_LET_IN;
}

static void shake_hands(struct link *link)
{
	struct handshake_claim claim = { .protocol_oldest = PROTOCOL_OLDEST,
					 .protocol = PROTOCOL };
	const struct address *address = &link->config.address;
	uint8_t nonce[HANDSHAKE_NONCE_SIZE];
	struct handshake_frame frame;

	text_copy(claim.name, sizeof(claim.name), link->config.name);
	text_copy(claim.boot_id, sizeof(claim.boot_id), link->config.boot_id);
	if (address->family == ADDRESS_UNIX)
		handshake_claim_unix(&claim);
	else
		handshake_claim_vsock(&claim, address->cid, address->port);
	handshake_random(nonce, sizeof(nonce));
	handshake_init_agent(&link->handshake, &claim, link->config.key, nonce, &frame);
	channel_send(link->channel, frame.bytes, frame.length);
	timer_start(link->patience, HANDSHAKE_TIMEOUT_MS, 0);
}

static void channel_closed(void *user, const struct ph_error *error)
{
	struct link *link = user;

	if (link->is_greeted)
		link->lost_ms = clock_monotonic_ms();
	link->channel = NULL;
	link->is_greeted = false;
	handshake_fini(&link->handshake);
	timer_stop(link->patience);
	timer_stop(link->heartbeat);
	dial_later(link);
}

static void dial(void *user)
{
	struct link *link = user;
	const struct channel_config config = { .service = &link->config.agent->service.base,
					       .streaming = service_streaming,
					       .closed = channel_closed,
					       .gate = gate,
					       .gate_limit = HANDSHAKE_FRAME_MAXIMUM,
					       .user = link };
	int fd = address_connect(&link->config.address);

	if (fd < 0 || channel_open(link->loop, fd, &config, &link->channel) < 0) {
		link->channel = NULL;
		dial_later(link);
		return;
	}
	shake_hands(link);
}

struct link *link_open(uv_loop_t *loop, const struct link_config *config)
{
	struct link *link = ph_alloc(sizeof(*link));
	uint8_t random[8];
	char stream[2 * sizeof(random) + 1];

	link->loop = loop;
	link->config = *config;
	handshake_random(random, sizeof(random));
	link->spool = spool_new(bytes_to_hex(random, sizeof(random), stream));
	link->dial = timer_new(loop, dial, link);
	link->patience = timer_new(loop, patience_lost, link);
	link->heartbeat = timer_new(loop, send_heartbeat, link);
	dial(link);
	return link;
}
