/*
 * All peers have the same deadline, so the list is sorted by it when new ones go to its end: one timer
 * does, and the first of the list is both the next to time out and the one to push out.
 */
#include "controller/link/greetings.h"

#include <errno.h>
#include <linux/vm_sockets.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/timer.h"

struct greeting {
	struct greetings *greetings; /* NULL once it is nobody's concern any more */
	struct greeting *next;
	struct channel *channel; /* owned by the loop */
	struct handshake handshake;
	struct ucred peer;
	uint64_t deadline_ms;
	bool has_claimed;
};

struct greetings {
	struct greetings_config config;
	struct greeting *first; /* owned; the oldest */
	unsigned int count;
	struct timer *timer; /* owned */
};

static void watch_first(struct greetings *greetings)
{
	uint64_t now = clock_monotonic_ms();

	if (!greetings->first)
		timer_stop(greetings->timer);
	else
		timer_start(greetings->timer,
			    greetings->first->deadline_ms > now ?
				    greetings->first->deadline_ms - now :
				    0,
			    0);
}

static void take_out(struct greeting *greeting)
{
	struct greetings *greetings = greeting->greetings;
	struct greeting **place = &greetings->first;
	bool was_first = *place == greeting;

	while (*place != greeting)
		place = &(*place)->next;
	*place = greeting->next;
	greetings->count--;
	greeting->greetings = NULL;
	if (was_first)
		watch_first(greetings);
}

/* Tell once, and let go of its place; the channel goes when it has sent what it had to. */
static void refuse(struct greeting *greeting, const struct ph_error *error)
{
	const struct greetings_config config = greeting->greetings->config;

	take_out(greeting);
	handshake_fini(&greeting->handshake);
	channel_close(greeting->channel);
	config.refused(config.user, greeting->has_claimed ? &greeting->handshake.claim : NULL,
		       error);
}

static void push_out(struct greeting *greeting, int code, const char *why)
{
	struct ph_error error;

	error_set(&error, code, NULL, NULL, "%s", why);
	refuse(greeting, &error);
}

static void timer_fired(void *user)
{
	struct greetings *greetings = user;
	uint64_t now = clock_monotonic_ms();

	while (greetings->first && greetings->first->deadline_ms <= now)
		push_out(greetings->first, -ETIMEDOUT, "the peer did not prove who it is in time");
	watch_first(greetings);
}

static void channel_closed(void *user, const struct ph_error *error)
{
	struct greeting *greeting = user;

	if (greeting->greetings) {
		const struct greetings_config config = greeting->greetings->config;

		take_out(greeting);
		config.refused(config.user,
			       greeting->has_claimed ? &greeting->handshake.claim : NULL, error);
	}
	handshake_fini(&greeting->handshake);
	free(greeting);
}

/* The peer has proved itself: somebody takes the channel, and the greeting is over. */
static int hand_over(struct greeting *greeting, struct ph_error *error)
{
	struct greetings *greetings = greeting->greetings;
	const struct greeted greeted = { .claim = &greeting->handshake.claim,
					 .channel = greeting->channel,
					 .protocol = greeting->handshake.protocol,
					 .peer = greeting->peer };
	int r;

	take_out(greeting);
	r = greetings->config.proved(greetings->config.user, &greeted, error);
	if (r == 0) {
		free(greeting);
		return CHANNEL_LET_IN;
	}
	channel_close(greeting->channel);
	greetings->config.refused(greetings->config.user, &greeting->handshake.claim, error);
	return 0;
}

/* A refused peer is told why where the handshake has a frame for that, so nothing is broken off. */
static int gate(void *user, const uint8_t *payload, size_t length, struct ph_error *error)
{
	struct greeting *greeting = user;
	struct handshake_frame answer;
	int r;

	if (!greeting->greetings)
		return 0;
	r = handshake_receive(&greeting->handshake, payload, length, &answer, error);
	greeting->has_claimed |= answer.length > 0;
	if (answer.length)
		channel_send(greeting->channel, answer.bytes, answer.length);
	if (r == HANDSHAKE_DONE)
		return hand_over(greeting, error);
	if (r < 0)
		refuse(greeting, error);
	return 0;
}

struct greetings *greetings_new(const struct greetings_config *config)
{
	struct greetings *greetings = ph_alloc(sizeof(*greetings));

	greetings->config = *config;
	greetings->timer = timer_new(config->loop, timer_fired, greetings);
	return greetings;
}

/* The address that the peer has dialed: what it has to claim. */
static void read_address(int fd, struct handshake_policy *policy)
{
	struct sockaddr_vm address;
	socklen_t size = sizeof(address);

	policy->transport = HANDSHAKE_UNIX;
	if (getsockname(fd, (struct sockaddr *)&address, &size) < 0 ||
	    address.svm_family != AF_VSOCK)
		return;
	policy->transport = HANDSHAKE_VSOCK;
	policy->cid = address.svm_cid;
	policy->port = address.svm_port;
}

static void add(struct greetings *greetings, struct greeting *greeting)
{
	struct greeting **place = &greetings->first;

	while (*place)
		place = &(*place)->next;
	*place = greeting;
	greeting->greetings = greetings;
	greetings->count++;
	if (greetings->first == greeting)
		watch_first(greetings);
}

void greetings_take(struct greetings *greetings, int fd, const struct ucred *peer)
{
	struct greeting *greeting = ph_alloc(sizeof(*greeting));
	const struct channel_config config = { .closed = channel_closed,
					       .gate = gate,
					       .gate_limit = HANDSHAKE_FRAME_MAXIMUM,
					       .user = greeting,
					       .barrier = greetings->config.barrier };
	struct handshake_policy policy = { .protocol_oldest = greetings->config.protocol_oldest,
					   .protocol = greetings->config.protocol,
					   .find = greetings->config.find,
					   .user = greetings->config.user };
	uint8_t nonce[HANDSHAKE_NONCE_SIZE];

	if (greetings->count >= greetings->config.maximum)
		push_out(greetings->first, -EBUSY,
			 "too many peers that do not prove who they are: the oldest gives way");
	read_address(fd, &policy);
	handshake_random(nonce, sizeof(nonce));
	handshake_init_controller(&greeting->handshake, &policy, nonce);
	greeting->peer = *peer;
	greeting->deadline_ms = clock_monotonic_ms() + GREETINGS_DEADLINE_MS;
	if (channel_open(greetings->config.loop, fd, &config, &greeting->channel) < 0) {
		free(greeting);
		return;
	}
	add(greetings, greeting);
}

void greetings_close(struct greetings *greetings)
{
	if (!greetings)
		return;
	while (greetings->first) {
		struct greeting *greeting = greetings->first;

		take_out(greeting);
		channel_close(greeting->channel);
	}
	timer_close(greetings->timer);
	free(greetings);
}
