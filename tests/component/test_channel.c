/* Channels: two ends on one loop, or one end and a raw socket that misbehaves in every way. */
#include "common/channel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/frame.h"
#include "common/memory.h"
#include "common/str.h"
#include "proto/agent.pb-c.h"
#include "tests/support/cmocka.h"
#include "tests/support/loop.h"

#define ITEMS 1000                   /* what one Verify may have is a little more */
#define FLOOD_BYTES (32 * 1024 - 100) /* nearly as much as the answer of Health may have */
#define FLOOD_CALLS 24                /* whose answers are more than a socket holds */

/* What the serving end does with a Health request. */
enum manner {
	ANSWER,
	HOLD,         /* answers when the test, or a cancel, says so */
	CLOSE_INSIDE, /* closes its channel, then answers */
	ANSWER_THEN_CLOSE,
	FLOOD, /* answers with a reply near the limit */
};

struct end {
	Phoenix__Agent_Service service; /* first: handlers get it */
	struct channel *channel;
	struct channel_config config;
	enum manner manner;
	struct rpc_request *held;
	struct rpc_request *streaming; /* Verify */
	Phoenix__VerifyItem_Closure item_closure;
	uint64_t streamed;
	int served;
	int cancelled;
	int throttled;
	int closed;
	struct ph_error error; /* of closed */
};

struct outcome {
	int finished;
	int items;
	int code;
	uint64_t uptime_ms;
	size_t resident;
	bool in_order;
	struct channel *close_in_finished; /* NULL: nothing */
	struct channel *close_in_item;
};

static void end_closed(void *user, const struct ph_error *error)
{
	struct end *end = user;

	end->closed++;
	end->error = *error;
	end->channel = NULL;
}

static void held_cancelled(void *user)
{
	struct end *end = user;
	struct ph_error error;

	end->cancelled++;
	error_set(&error, -ECANCELED, NULL, NULL, "given up");
	rpc_fail(end->held, &error);
	end->held = NULL;
}

static void serve_health(Phoenix__Agent_Service *service, const Phoenix__HealthRequest *input,
			 Phoenix__HealthReply_Closure closure, void *closure_data)
{
	struct end *end = (struct end *)service;
	Phoenix__HealthReply reply = PHOENIX__HEALTH_REPLY__INIT;
	PH_AUTO_FREE char *text = ph_alloc(FLOOD_BYTES + 1);
	Phoenix__Pair pair = PHOENIX__PAIR__INIT;
	Phoenix__Pair *pairs[] = { &pair };

	end->served++;
	reply.uptime_ms = (uint64_t)end->served;
	if (end->manner == HOLD) {
		end->held = closure_data;
		rpc_request_on_cancel(end->held, held_cancelled, end);
		return;
	}
	if (end->manner == FLOOD) {
		memset(text, 'x', FLOOD_BYTES);
		pair.value = text;
		reply.inputs = pairs;
		reply.n_inputs = 1;
	}
	if (end->manner == CLOSE_INSIDE)
		channel_close(end->channel);
	closure(&reply, closure_data);
	if (end->manner == ANSWER_THEN_CLOSE)
		channel_close(end->channel);
}

/* As many items as are granted; the others when more have been. */
static void send_granted(void *user)
{
	struct end *end = user;
	Phoenix__VerifyItem item = PHOENIX__VERIFY_ITEM__INIT;
	Phoenix__Check check = PHOENIX__CHECK__INIT;
	struct rpc_request *request = end->streaming;

	item.check = &check;
	while (end->streamed < ITEMS && rpc_request_may_send(request)) {
		check.duration_us = end->streamed++;
		end->item_closure(&item, request);
	}
	if (end->streamed < ITEMS)
		return;
	end->streaming = NULL;
	rpc_end(request);
}

static void stream_cancelled(void *user)
{
	struct end *end = user;

	rpc_end(take_pointer(end->streaming));
}

static void serve_verify(Phoenix__Agent_Service *service, const Phoenix__VerifyRequest *input,
			 Phoenix__VerifyItem_Closure closure, void *closure_data)
{
	struct end *end = (struct end *)service;

	end->item_closure = closure;
	end->streaming = closure_data;
	end->streamed = 0;
	rpc_request_on_cancel(closure_data, stream_cancelled, end);
	rpc_request_on_credit(closure_data, send_granted, end);
	send_granted(end);
}

static const char *const streaming[] = { "Verify", "Install", NULL };

static void end_open(struct end *end, struct test_loop *test, int fd)
{
	memset(end, 0, sizeof(*end));
	phoenix__agent__init(&end->service, NULL);
	end->service.health = serve_health;
	end->service.verify = serve_verify;
	end->config = (struct channel_config){
		.service = (ProtobufCService *)&end->service,
		.streaming = streaming,
		.closed = end_closed,
		.user = end,
	};
	assert_int_equal(channel_open(&test->loop, fd, &end->config, &end->channel), 0);
}

static void make_pair(int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

static void open_both(struct test_loop *test, struct end *client, struct end *server)
{
	int fds[2];

	make_pair(fds);
	end_open(client, test, fds[0]);
	end_open(server, test, fds[1]);
}

/* Close both ends, wait until both have heard of it, and end the loop without leaks. */
static void close_both(struct test_loop *test, struct end *client, struct end *server)
{
	if (client->channel)
		channel_close(client->channel);
	if (server->channel)
		channel_close(server->channel);
	assert_int_equal(test_loop_fini(test), 0);
	assert_int_equal(client->closed, 1);
	assert_int_equal(server->closed, 1);
}

static void outcome_item(void *user, const ProtobufCMessage *message)
{
	struct outcome *outcome = user;
	const Phoenix__VerifyItem *item = (const Phoenix__VerifyItem *)message;

	if (item->check->duration_us != (uint64_t)outcome->items)
		outcome->in_order = false;
	outcome->items++;
	if (outcome->close_in_item)
		channel_close(outcome->close_in_item);
}

static void outcome_finished(void *user, const ProtobufCMessage *message,
			     const struct ph_error *error)
{
	struct outcome *outcome = user;
	const Phoenix__HealthReply *reply = (const Phoenix__HealthReply *)message;

	outcome->finished++;
	outcome->code = error ? error->code : 0;
	if (reply) {
		outcome->uptime_ms = reply->uptime_ms;
		outcome->resident = reply->n_inputs ? strlen(reply->inputs[0]->value) : 0;
	}
	if (outcome->close_in_finished)
		channel_close(outcome->close_in_finished);
}

static const struct rpc_handlers unary_handlers = { .finished = outcome_finished };
static const struct rpc_handlers stream_handlers = {
	.item = outcome_item,
	.finished = outcome_finished,
};

static int call_health(struct channel *channel, uint32_t timeout_ms, struct outcome *outcome)
{
	Phoenix__HealthRequest request = PHOENIX__HEALTH_REQUEST__INIT;

	memset(outcome, 0, sizeof(*outcome));
	return channel_call(channel, &phoenix__agent__descriptor, "Health", &request.base,
			    timeout_ms, &unary_handlers, outcome, NULL);
}

static int call_verify(struct channel *channel, struct outcome *outcome)
{
	Phoenix__VerifyRequest request = PHOENIX__VERIFY_REQUEST__INIT;

	memset(outcome, 0, sizeof(*outcome));
	outcome->in_order = true;
	return channel_call(channel, &phoenix__agent__descriptor, "Verify", &request.base, 0,
			    &stream_handlers, outcome, NULL);
}

/* --- two ends --- */

static void test_unary_both_ways(void **state)
{
	struct outcome forth, back;
	struct end client, server;
	struct test_loop test;

	test_loop_init(&test);
	open_both(&test, &client, &server);
	assert_int_equal(call_health(client.channel, 5000, &forth), 0);
	assert_int_equal(call_health(server.channel, 5000, &back), 0);
	assert_int_equal(forth.finished, 0);
	test_loop_until(&test, &forth.finished, 1);
	test_loop_until(&test, &back.finished, 1);
	assert_int_equal(forth.code, 0);
	assert_int_equal(back.code, 0);
	assert_int_equal(forth.uptime_ms, 1);
	close_both(&test, &client, &server);
	assert_int_equal(forth.finished, 1);
}

static void test_stream_longer_than_its_credit(void **state)
{
	struct outcome outcome;
	struct end client, server;
	struct test_loop test;

	test_loop_init(&test);
	open_both(&test, &client, &server);
	assert_int_equal(call_verify(client.channel, &outcome), 0);
	test_loop_until(&test, &outcome.finished, 1);
	assert_int_equal(outcome.code, 0);
	assert_int_equal(outcome.items, ITEMS);
	assert_true(outcome.in_order);
	close_both(&test, &client, &server);
}

static void test_reply_near_its_limit(void **state)
{
	struct outcome outcome;
	struct end client, server;
	struct test_loop test;

	test_loop_init(&test);
	open_both(&test, &client, &server);
	server.manner = FLOOD;
	assert_int_equal(call_health(client.channel, 0, &outcome), 0);
	test_loop_until(&test, &outcome.finished, 1);
	assert_int_equal(outcome.code, 0);
	assert_int_equal(outcome.resident, FLOOD_BYTES);
	close_both(&test, &client, &server);
}

static void test_peer_is_known(void **state)
{
	struct end client, server;
	struct test_loop test;
	struct ucred peer = { 0 };

	test_loop_init(&test);
	open_both(&test, &client, &server);
	assert_int_equal(channel_peer(client.channel, &peer), 0);
	assert_int_equal(peer.pid, getpid());
	assert_int_equal(peer.uid, getuid());
	close_both(&test, &client, &server);
}

/* A short deadline given after a long one is not waited for with the long one's timer. */
static void test_deadlines(void **state)
{
	struct outcome patient, hasty;
	struct end client, server;
	struct test_loop test;
	uint64_t begun = clock_monotonic_ms();

	test_loop_init(&test);
	open_both(&test, &client, &server);
	assert_int_equal(call_health(client.channel, 30000, &patient), 0);
	test_loop_until(&test, &patient.finished, 1);
	server.manner = HOLD;
	assert_int_equal(call_health(client.channel, 50, &hasty), 0);
	test_loop_until(&test, &hasty.finished, 1);
	assert_int_equal(hasty.code, -ETIMEDOUT);
	assert_in_range(clock_monotonic_ms() - begun, 49, 20000);
	test_loop_until(&test, &server.cancelled, 1);

	server.manner = ANSWER;
	assert_int_equal(call_health(client.channel, 5000, &hasty), 0);
	test_loop_until(&test, &hasty.finished, 1);
	assert_int_equal(hasty.code, 0);
	close_both(&test, &client, &server);
}

/* rpc_call() behind the channel's back: the deadline is armed all the same. */
static void test_deadline_of_a_bare_call(void **state)
{
	Phoenix__HealthRequest request = PHOENIX__HEALTH_REQUEST__INIT;
	struct outcome outcome = { 0 };
	struct end client, server;
	struct test_loop test;

	test_loop_init(&test);
	open_both(&test, &client, &server);
	server.manner = HOLD;
	assert_int_equal(rpc_call(channel_rpc(client.channel), &phoenix__agent__descriptor,
				  "Health", &request.base, 30, clock_monotonic_ms(),
				  &unary_handlers, &outcome, NULL),
			 0);
	test_loop_until(&test, &outcome.finished, 1);
	assert_int_equal(outcome.code, -ETIMEDOUT);
	close_both(&test, &client, &server);
}

/* --- ends --- */

static void test_close_fails_calls(void **state)
{
	struct outcome outcome, refused;
	struct end client, server;
	struct test_loop test;

	test_loop_init(&test);
	open_both(&test, &client, &server);
	server.manner = HOLD;
	assert_int_equal(call_health(client.channel, 0, &outcome), 0);
	test_loop_until(&test, &server.served, 1);
	channel_close(client.channel);
	channel_close(client.channel);
	assert_int_equal(outcome.finished, 0);
	assert_int_equal(client.closed, 0);
	assert_int_equal(call_health(client.channel, 0, &refused), -ENOTCONN);
	test_loop_until(&test, &client.closed, 1);
	assert_int_equal(client.error.code, 0);
	assert_int_equal(outcome.finished, 1);
	assert_int_equal(outcome.code, -ECONNRESET);
	test_loop_until(&test, &server.closed, 1);
	assert_int_equal(server.error.code, -ECONNRESET);
	assert_int_equal(server.cancelled, 1);
	close_both(&test, &client, &server);
	assert_int_equal(refused.finished, 0);
}

struct inside_case {
	const char *name;
	enum manner manner; /* of the server */
	bool in_finished;   /* the client closes in its finished handler */
	int code;           /* of the call */
};

static const struct inside_case inside_cases[] = {
	{ "in a request handler, before the answer", CLOSE_INSIDE, false, -ECONNRESET },
	{ "in a request handler, after the answer", ANSWER_THEN_CLOSE, false, 0 },
	{ "in a finished handler", ANSWER, true, 0 },
	{ "on both sides at once", ANSWER_THEN_CLOSE, true, 0 },
};

/* Three calls are under way when a handler closes: the frames behind it are not served. */
static void test_close_inside_handlers(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(inside_cases); i++) {
		const struct inside_case *inside = &inside_cases[i];
		struct outcome outcomes[3];
		struct end client, server;
		struct test_loop test;

		print_message("# %s\n", inside->name);
		test_loop_init(&test);
		open_both(&test, &client, &server);
		server.manner = inside->manner;
		for (size_t j = 0; j < ARRAY_LENGTH(outcomes); j++)
			assert_int_equal(call_health(client.channel, 0, &outcomes[j]), 0);
		if (inside->in_finished)
			outcomes[0].close_in_finished = client.channel;
		test_loop_until(&test, &client.closed, 1);
		test_loop_until(&test, &server.closed, 1);
		assert_int_equal(outcomes[0].code, inside->code);
		assert_int_equal(outcomes[2].code, -ECONNRESET);
		for (size_t j = 0; j < ARRAY_LENGTH(outcomes); j++)
			assert_int_equal(outcomes[j].finished, 1);
		assert_int_equal(server.served, inside->manner == ANSWER ? 3 : 1);
		close_both(&test, &client, &server);
	}
}

static void test_close_inside_a_stream(void **state)
{
	struct outcome outcome;
	struct end client, server;
	struct test_loop test;

	test_loop_init(&test);
	open_both(&test, &client, &server);
	assert_int_equal(call_verify(client.channel, &outcome), 0);
	outcome.close_in_item = client.channel;
	test_loop_until(&test, &client.closed, 1);
	assert_int_equal(outcome.items, 1);
	assert_int_equal(outcome.code, -ECONNRESET);
	close_both(&test, &client, &server);
}

/* More than the socket holds is accepted for sending; closing delivers it first. */
static void test_close_sends_what_was_accepted(void **state)
{
	struct outcome outcomes[FLOOD_CALLS];
	struct end client, server;
	struct test_loop test;

	test_loop_init(&test);
	open_both(&test, &client, &server);
	server.manner = FLOOD;
	for (size_t i = 0; i < ARRAY_LENGTH(outcomes); i++)
		assert_int_equal(call_health(client.channel, 0, &outcomes[i]), 0);
	test_loop_until(&test, &server.served, FLOOD_CALLS);
	channel_close(server.channel);
	test_loop_until(&test, &client.closed, 1);
	for (size_t i = 0; i < ARRAY_LENGTH(outcomes); i++) {
		assert_int_equal(outcomes[i].code, 0);
		assert_int_equal(outcomes[i].resident, FLOOD_BYTES);
	}
	close_both(&test, &client, &server);
	assert_int_equal(server.error.code, 0);
}

/* --- a raw peer --- */

static void write_raw(int fd, const void *bytes, size_t length)
{
	assert_int_equal(send(fd, bytes, length, MSG_NOSIGNAL), (ssize_t)length);
}

/* A Health request as it goes over the wire. */
static size_t health_frame(uint64_t id, uint8_t frame[64])
{
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;
	Phoenix__Request request = PHOENIX__REQUEST__INIT;
	size_t length;

	request.method = (char *)"Health";
	envelope.id = id;
	envelope.body_case = PHOENIX__ENVELOPE__BODY_REQUEST;
	envelope.request = &request;
	length = phoenix__envelope__pack(&envelope, frame + FRAME_HEADER_SIZE);
	frame_write_header(frame, (uint32_t)length);
	return FRAME_HEADER_SIZE + length;
}

struct garbage_case {
	const char *name;
	const char *bytes;
	size_t length;
	int code;
};

#define BYTES(literal) literal, sizeof(literal) - 1

static const struct garbage_case garbage_cases[] = {
	{ "text of another protocol", BYTES("GET / HTTP/1.1\r\n\r\n"), -EPROTO },
	{ "oversized length", BYTES("\0\4\0\1"), -EPROTO },
	{ "the largest length", BYTES("\xff\xff\xff\xff"), -EPROTO },
	{ "a frame that is no message", BYTES("\0\0\0\2\xff\xff"), -EPROTO },
	{ "a good frame, then rubbish", BYTES("\0\0\0\2\x08\1\x80\0\0\0"), -EPROTO },
	{ "an answer to nothing, then the end", BYTES("\0\0\0\4\x08\7\x1a\0"), -ECONNRESET },
	{ "half a frame, then the end", BYTES("\0\0\0\7\x08"), -ECONNRESET },
	{ "nothing, then the end", BYTES(""), -ECONNRESET },
};

static void test_garbage(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(garbage_cases); i++) {
		const struct garbage_case *garbage = &garbage_cases[i];
		struct outcome outcome;
		struct test_loop test;
		struct end end;
		int fds[2];

		print_message("# %s\n", garbage->name);
		test_loop_init(&test);
		make_pair(fds);
		end_open(&end, &test, fds[0]);
		assert_int_equal(call_health(end.channel, 0, &outcome), 0);
		write_raw(fds[1], garbage->bytes, garbage->length);
		if (garbage->code == -ECONNRESET)
			close(take_fd(&fds[1]));
		test_loop_until(&test, &end.closed, 1);
		cleanup_close(&fds[1]);
		assert_int_equal(end.error.code, garbage->code);
		assert_true(strlen(end.error.why) > 0);
		assert_int_equal(outcome.finished, 1);
		assert_int_equal(outcome.code, -ECONNRESET);
		assert_int_equal(test_loop_fini(&test), 0);
		assert_int_equal(end.closed, 1);
	}
}

/* The peer has said its last word but still listens: it gets its answers before the hang-up. */
static void test_half_close(void **state)
{
	struct test_loop test;
	struct end end;
	uint8_t bytes[512];
	int fds[2];
	size_t length;

	test_loop_init(&test);
	make_pair(fds);
	end_open(&end, &test, fds[0]);
	length = health_frame(7, bytes);
	write_raw(fds[1], bytes, length);
	assert_int_equal(shutdown(fds[1], SHUT_WR), 0);
	test_loop_until(&test, &end.closed, 1);
	assert_int_equal(end.error.code, -ECONNRESET);
	assert_int_equal(end.served, 1);
	assert_true(recv(fds[1], bytes, sizeof(bytes), 0) > FRAME_HEADER_SIZE);
	assert_int_equal(recv(fds[1], bytes, sizeof(bytes), 0), 0);
	close(fds[1]);
	assert_int_equal(test_loop_fini(&test), 0);
}

/* A peer that asks and never reads loses its connection; its neighbour notices nothing. */
static void test_slow_reader(void **state)
{
	struct end client, neighbour, victim;
	struct outcome outcome;
	struct test_loop test;
	uint8_t frame[64];
	int fds[2];

	test_loop_init(&test);
	make_pair(fds);
	end_open(&victim, &test, fds[0]);
	open_both(&test, &client, &neighbour);
	victim.manner = FLOOD;
	for (uint64_t i = 1; i <= 60; i++)
		write_raw(fds[1], frame, health_frame(i, frame));
	test_loop_until(&test, &victim.closed, 1);
	assert_int_equal(victim.error.code, -ENOBUFS);
	assert_in_range(victim.served, 32, 48);
	assert_int_equal(call_health(client.channel, 0, &outcome), 0);
	test_loop_until(&test, &outcome.finished, 1);
	assert_int_equal(outcome.code, 0);
	close(fds[1]);
	close_both(&test, &client, &neighbour);
}

/* Closing waits for a peer that does not read, but not for ever. */
static void test_close_with_a_stuck_peer(void **state)
{
	uint64_t begun;
	struct test_loop test;
	struct end end;
	uint8_t frame[64];
	int fds[2];

	test_loop_init(&test);
	make_pair(fds);
	end_open(&end, &test, fds[0]);
	end.manner = FLOOD;
	for (uint64_t i = 1; i <= FLOOD_CALLS; i++)
		write_raw(fds[1], frame, health_frame(i, frame));
	test_loop_until(&test, &end.served, FLOOD_CALLS);
	begun = clock_monotonic_ms();
	channel_close(end.channel);
	test_loop_until(&test, &end.closed, 1);
	assert_in_range(clock_monotonic_ms() - begun, 1990, 10000);
	assert_int_equal(end.error.code, 0);
	close(fds[1]);
	assert_int_equal(test_loop_fini(&test), 0);
}

/* On a packet socket every send is one packet: what one turn of the loop sends is one of them. */
static void test_one_send_per_turn(void **state)
{
	struct outcome outcomes[50];
	struct test_loop test;
	struct end end;
	uint8_t bytes[4096];
	int fds[2];
	size_t length, frames = 0;
	ssize_t packet;

	test_loop_init(&test);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	end_open(&end, &test, fds[0]);
	for (size_t i = 0; i < ARRAY_LENGTH(outcomes); i++)
		assert_int_equal(call_health(end.channel, 0, &outcomes[i]), 0);
	assert_int_equal(recv(fds[1], bytes, sizeof(bytes), MSG_DONTWAIT), -1);
	uv_run(&test.loop, UV_RUN_NOWAIT);
	packet = recv(fds[1], bytes, sizeof(bytes), MSG_DONTWAIT);
	assert_true(packet > 0);
	for (size_t at = 0; at < (size_t)packet; at += FRAME_HEADER_SIZE + length, frames++)
		length = (size_t)bytes[at + 2] << 8 | bytes[at + 3];
	assert_int_equal(frames, ARRAY_LENGTH(outcomes));
	assert_int_equal(recv(fds[1], bytes, sizeof(bytes), MSG_DONTWAIT), -1);
	channel_close(end.channel);
	test_loop_until(&test, &end.closed, 1);
	close(fds[1]);
	assert_int_equal(test_loop_fini(&test), 0);
}

/* --- rates --- */

static void end_throttled(void *user)
{
	((struct end *)user)->throttled++;
}

/* A peer above its rate is read no further until the bucket has filled; it loses nothing. */
static void test_reads_no_faster_than_the_rate(void **state)
{
	struct test_loop test;
	struct rate frames;
	struct end end;
	uint8_t frame[64];
	int fds[2];

	test_loop_init(&test);
	make_pair(fds);
	end_open(&end, &test, fds[0]);
	channel_close(end.channel);
	test_loop_until(&test, &end.closed, 1);
	close(fds[1]);
	make_pair(fds);
	rate_init(&frames, 100, 1000, 5, clock_monotonic_ms());
	end.config.frame_rate = &frames;
	end.config.throttled = end_throttled;
	end.served = end.closed = 0;
	assert_int_equal(channel_open(&test.loop, fds[0], &end.config, &end.channel), 0);
	for (uint64_t i = 1; i <= 10; i++)
		write_raw(fds[1], frame, health_frame(i, frame));
	test_loop_until(&test, &end.served, 10);
	assert_int_equal(end.throttled, 1);
	for (uint64_t i = 11; i <= 20; i++)
		write_raw(fds[1], frame, health_frame(i, frame));
	test_loop_until(&test, &end.served, 20);
	assert_in_range(end.throttled, 1, 20);
	close(fds[1]);
	test_loop_until(&test, &end.closed, 1);
	assert_int_equal(test_loop_fini(&test), 0);
}

/* A stranger's frames are small; the limit goes up for whoever has said who it is. */
static void test_frame_limit_of_a_stranger(void **state)
{
	static const uint8_t header[FRAME_HEADER_SIZE] = { 0, 0, 2, 0 };
	struct test_loop test;
	struct end end;

	for (int known = 0; known < 2; known++) {
		int fds[2];

		test_loop_init(&test);
		make_pair(fds);
		end_open(&end, &test, fds[0]);
		channel_set_frame_limit(end.channel, 256);
		if (known)
			channel_set_frame_limit(end.channel, 1024);
		write_raw(fds[1], header, sizeof(header));
		if (known)
			close(fds[1]);
		test_loop_until(&test, &end.closed, 1);
		assert_int_equal(end.error.code, known ? -ECONNRESET : -EPROTO);
		if (!known)
			close(fds[1]);
		assert_int_equal(test_loop_fini(&test), 0);
	}
}

/* --- an exchange that breaks off at every byte --- */

/* What one end sent in an exchange of a unary call, a stream and a cancel; free bytes. */
static size_t record(int fd, uint8_t **ret_bytes)
{
	size_t used = 0, capacity = 1024 * 1024;
	uint8_t *bytes = ph_alloc(capacity);
	ssize_t got;

	while ((got = recv(fd, bytes + used, capacity - used, MSG_DONTWAIT)) > 0)
		used += (size_t)got;
	*ret_bytes = bytes;
	return used;
}

/* Two Health calls, so that the ids of the recorded answers fit. */
static void start_exchange(struct end *end, struct outcome outcomes[2])
{
	assert_int_equal(call_health(end->channel, 0, &outcomes[0]), 0);
	assert_int_equal(call_health(end->channel, 0, &outcomes[1]), 0);
}

static void record_exchange(uint8_t **ret_asked, size_t *ret_asked_length, uint8_t **ret_answered,
			    size_t *ret_answered_length)
{
	struct outcome outcomes[2];
	struct test_loop test;
	struct end client, server;
	int left[2], right[2];

	test_loop_init(&test);
	make_pair(left);
	make_pair(right);
	end_open(&client, &test, left[0]);
	end_open(&server, &test, right[0]);
	start_exchange(&client, outcomes);
	uv_run(&test.loop, UV_RUN_NOWAIT);
	*ret_asked_length = record(left[1], ret_asked);
	write_raw(right[1], *ret_asked, *ret_asked_length);
	test_loop_until(&test, &server.served, 2);
	uv_run(&test.loop, UV_RUN_NOWAIT);
	*ret_answered_length = record(right[1], ret_answered);
	close(left[1]);
	close(right[1]);
	close_both(&test, &client, &server);
}

static void test_break_at_every_byte(void **state)
{
	PH_AUTO_FREE uint8_t *asked = NULL;
	PH_AUTO_FREE uint8_t *answered = NULL;
	size_t asked_length, answered_length;

	record_exchange(&asked, &asked_length, &answered, &answered_length);
	assert_in_range(asked_length, 20, 200);
	assert_in_range(answered_length, 20, 200);
	for (size_t side = 0; side < 2; side++) {
		size_t total = side == 0 ? asked_length : answered_length;

		for (size_t length = 0; length <= total; length++) {
			struct outcome outcomes[2] = { 0 };
			struct test_loop test;
			struct end end;
			int fds[2], whole;

			test_loop_init(&test);
			make_pair(fds);
			end_open(&end, &test, fds[0]);
			if (side == 1)
				start_exchange(&end, outcomes);
			write_raw(fds[1], side == 0 ? asked : answered, length);
			close(fds[1]);
			assert_int_equal(test_loop_fini(&test), 0);
			assert_int_equal(end.closed, 1);
			assert_int_equal(end.error.code, -ECONNRESET);
			whole = length == total ? 2 : length >= total / 2 ? 1 : 0;
			if (side == 0)
				assert_int_equal(end.served, whole);
			for (size_t i = 0; side == 1 && i < 2; i++) {
				assert_int_equal(outcomes[i].finished, 1);
				assert_int_equal(outcomes[i].code,
						 (int)i < whole ? 0 : -ECONNRESET);
			}
		}
	}
}

static void test_open_takes_the_descriptor_also_on_failure(void **state)
{
	size_t before = count_descriptors();
	struct channel_config config = { .closed = end_closed };
	struct channel *channel = NULL;
	struct test_loop test;
	int fds[2];

	test_loop_init(&test);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(channel_open(&test.loop, fds[0], &config, &channel), -ENOTSOCK);
	assert_null(channel);
	close(fds[1]);
	assert_int_equal(test_loop_fini(&test), 0);
	assert_int_equal(count_descriptors(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unary_both_ways),
		cmocka_unit_test(test_stream_longer_than_its_credit),
		cmocka_unit_test(test_reply_near_its_limit),
		cmocka_unit_test(test_peer_is_known),
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_deadline_of_a_bare_call),
		cmocka_unit_test(test_close_fails_calls),
		cmocka_unit_test(test_close_inside_handlers),
		cmocka_unit_test(test_close_inside_a_stream),
		cmocka_unit_test(test_close_sends_what_was_accepted),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_half_close),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_close_with_a_stuck_peer),
		cmocka_unit_test(test_one_send_per_turn),
		cmocka_unit_test(test_reads_no_faster_than_the_rate),
		cmocka_unit_test(test_frame_limit_of_a_stranger),
		cmocka_unit_test(test_break_at_every_byte),
		cmocka_unit_test(test_open_takes_the_descriptor_also_on_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
