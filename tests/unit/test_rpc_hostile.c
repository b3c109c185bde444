/* RPC at its limits, and with a peer that breaks the protocol: that costs the call or the connection, nothing else. */
#include "common/rpc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/frame.h"
#include "common/limits.h"
#include "common/memory.h"
#include "tests/support/cmocka.h"
#include "tests/support/rpc_pair.h"

/* of limits.c */
#define VERIFY_INPUT 4096
#define VERIFY_ITEMS 1024
#define VERIFY_WINDOW 256
#define DESCRIBE_OUTPUT (16 * 1024)

/* --- limits --- */

static void calls_in_flight_are_limited(void **state)
{
	static struct outcome outcomes[RPC_CALLS_MAXIMUM + 1];
	struct pair pair;

	pair_init(&pair);
	for (size_t i = 0; i < RPC_CALLS_MAXIMUM; i++)
		assert_int_equal(call_describe(&pair, &outcomes[i], 0), 0);
	assert_int_equal(call_describe(&pair, &outcomes[RPC_CALLS_MAXIMUM], 0), -EAGAIN);
	rpc_cancel(outcomes[7].call);
	assert_int_equal(call_describe(&pair, &outcomes[RPC_CALLS_MAXIMUM], 0), 0);
	pair_fini(&pair);
	for (size_t i = 0; i < ARRAY_LENGTH(outcomes); i++) {
		assert_int_equal(outcomes[i].ends, 1);
		str_fini(&outcomes[i].log);
	}
}

static void requests_in_flight_are_limited(void **state)
{
	static struct outcome outcomes[RPC_REQUESTS_MAXIMUM + 2];
	struct pair pair;

	pair_init(&pair);
	pair.server.behaviour = KEEP;
	for (size_t i = 0; i <= RPC_REQUESTS_MAXIMUM; i++)
		call_describe(&pair, &outcomes[i], 0);
	pump(&pair);
	assert_int_equal(pair.server.served, RPC_REQUESTS_MAXIMUM);
	outcome_expect(&outcomes[RPC_REQUESTS_MAXIMUM], "EBUSY");

	/* cancelled ones count until their handler has let go of them */
	rpc_cancel(outcomes[0].call);
	call_describe(&pair, &outcomes[RPC_REQUESTS_MAXIMUM + 1], 0);
	pump(&pair);
	outcome_expect(&outcomes[RPC_REQUESTS_MAXIMUM + 1], "EBUSY");
	rpc_end(take_pointer(pair.server.kept[0]));
	call_describe(&pair, &outcomes[RPC_REQUESTS_MAXIMUM + 1], 0);
	pump(&pair);
	assert_int_equal(pair.server.served, RPC_REQUESTS_MAXIMUM + 1);
	pair_fini(&pair);
	for (size_t i = 0; i < ARRAY_LENGTH(outcomes); i++)
		str_fini(&outcomes[i].log);
}

static void a_call_that_cannot_be_sent_is_none(void **state)
{
	Phoenix__VerifyRequest huge = PHOENIX__VERIFY_REQUEST__INIT;
	Phoenix__VerifyRequest small = PHOENIX__VERIFY_REQUEST__INIT;
	struct outcome outcome = { 0 };
	struct pair pair;
	struct rpc_call *call = NULL;

	pair_init(&pair);
	huge.operation = huge_text();
	assert_int_equal(rpc_call(pair.caller.rpc, &phoenix__agent__descriptor, "Verify",
				  &huge.base, 0, NOW_MS, &streamed, &outcome, &call),
			 -EMSGSIZE);
	/* the message fits a frame, but is more than the method takes */
	huge.operation[VERIFY_INPUT - 2] = '\0';
	assert_int_equal(phoenix__verify_request__get_packed_size(&huge), VERIFY_INPUT + 1);
	assert_int_equal(rpc_call(pair.caller.rpc, &phoenix__agent__descriptor, "Verify",
				  &huge.base, 0, NOW_MS, &streamed, &outcome, &call),
			 -EMSGSIZE);
	assert_int_equal(rpc_call(pair.caller.rpc, &phoenix__agent__descriptor, "Hello",
				  &small.base, 0, NOW_MS, &streamed, &outcome, &call),
			 -EINVAL);
	assert_int_equal(pair.caller.frames, 0);
	pair.caller.send_result = -EPIPE;
	assert_int_equal(rpc_call(pair.caller.rpc, &phoenix__agent__descriptor, "Verify",
				  &small.base, 0, NOW_MS, &streamed, &outcome, &call),
			 -EPIPE);
	assert_null(call);
	assert_int_equal(rpc_calls(pair.caller.rpc), 0);
	pair_fini(&pair);
	assert_int_equal(outcome.ends, 0);
	free(huge.operation);
}

static void a_message_that_just_fits_arrives(void **state)
{
	Phoenix__VerifyRequest request = PHOENIX__VERIFY_REQUEST__INIT;
	struct outcome outcome = { 0 };
	size_t length = VERIFY_INPUT - 3; /* tag and length take three bytes */
	struct pair pair;

	pair_init(&pair);
	pair.server.behaviour = END;
	request.operation = huge_text();
	request.operation[length] = '\0';
	assert_int_equal(phoenix__verify_request__get_packed_size(&request), VERIFY_INPUT);
	assert_int_equal(rpc_call(pair.caller.rpc, &phoenix__agent__descriptor, "Verify",
				  &request.base, 0, NOW_MS, &streamed, &outcome, NULL),
			 0);
	pump(&pair);
	assert_int_equal(pair.server.log.length, length);
	outcome_expect(&outcome, "end");
	free(request.operation);
	pair_fini(&pair);
}

/* --- peers that do not keep to the protocol --- */

static int receive_envelope(struct side *side, const Phoenix__Envelope *envelope,
			    struct ph_error *error)
{
	PH_AUTO_FREE uint8_t *bytes = ph_alloc(phoenix__envelope__get_packed_size(envelope));

	return rpc_receive(side->rpc, bytes, phoenix__envelope__pack(envelope, bytes), error);
}

/* A request by hand, as a peer may send it. */
static int receive_request(struct side *side, uint64_t id, const char *method, const void *payload,
			   size_t length, struct ph_error *error)
{
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;
	Phoenix__Request request = PHOENIX__REQUEST__INIT;

	request.method = (char *)method;
	request.payload = (ProtobufCBinaryData){ length, (uint8_t *)payload };
	envelope.id = id;
	envelope.body_case = PHOENIX__ENVELOPE__BODY_REQUEST;
	envelope.request = &request;
	return receive_envelope(side, &envelope, error);
}

/* A response or item by hand. */
static int receive_output(struct side *side, uint64_t id, Phoenix__Envelope__BodyCase body,
			  const void *payload, size_t length)
{
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;

	envelope.id = id;
	envelope.body_case = body;
	envelope.response = (ProtobufCBinaryData){ length, (uint8_t *)payload };
	return receive_envelope(side, &envelope, NULL);
}

static void request_ids_are_unique_while_in_flight(void **state)
{
	struct ph_error error = { 0 };
	struct pair pair;

	pair_init(&pair);
	pair.server.behaviour = KEEP;
	assert_int_equal(receive_request(&pair.server, 7, "Describe", NULL, 0, &error), 0);
	assert_int_equal(receive_request(&pair.server, 7, "Describe", NULL, 0, &error), -EPROTO);
	assert_string_equal(error.why, "the peer used a request id twice at a time");
	rpc_end(take_pointer(pair.server.kept[0]));
	assert_int_equal(receive_request(&pair.server, 7, "Describe", NULL, 0, &error), 0);
	pair_fini(&pair);
}

static void an_id_is_free_again_after_a_cancel(void **state)
{
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;
	Phoenix__Cancel cancel = PHOENIX__CANCEL__INIT;
	struct pair pair;

	pair_init(&pair);
	pair.server.behaviour = KEEP;
	envelope.id = 7;
	envelope.body_case = PHOENIX__ENVELOPE__BODY_CANCEL;
	envelope.cancel = &cancel;
	for (size_t i = 0; i < RPC_REQUESTS_MAXIMUM; i++) {
		assert_int_equal(receive_request(&pair.server, 7, "Describe", NULL, 0, NULL), 0);
		assert_int_equal(receive_envelope(&pair.server, &envelope, NULL), 0);
	}
	assert_int_equal(pair.server.kept_count, RPC_REQUESTS_MAXIMUM);
	assert_int_equal(pair.server.frames, 0);
	receive_request(&pair.server, 7, "Describe", NULL, 0, NULL);
	assert_int_equal(pair.server.kept_count, RPC_REQUESTS_MAXIMUM);
	assert_int_equal(pair.server.frames, 1); /* -EBUSY */
	pair_fini(&pair);
}

/* What a request by hand is answered with. */
static struct ph_error answer_to(struct pair *pair, const char *method, const void *payload,
				 size_t length)
{
	struct outcome outcome = { 0 };

	/* the caller's first call waits under the id 1, and gets the answer */
	call_describe(pair, &outcome, 0);
	pair->caller.sent.length = 0;
	assert_int_equal(receive_request(&pair->server, 1, method, payload, length, NULL), 0);
	pump(pair);
	assert_int_equal(outcome.ends, 1);
	str_fini(&outcome.log);
	return outcome.error;
}

static void requests_that_cannot_be_served_fail_alone(void **state)
{
	static const struct {
		const char *name, *method, *payload;
		size_t length;
		int code;
		const char *why;
	} cases[] = {
		{ "unknown method", "Explode", "", 0, -ENOSYS,
		  "there is no method \"Explode\" here" },
		{ "no method", "", "", 0, -ENOSYS, "there is no method \"\" here" },
		{ "another service's method", "Hello", "", 0, -ENOSYS,
		  "there is no method \"Hello\" here" },
		{ "control bytes in the method", "\x1b[2J", "", 0, -ENOSYS,
		  "there is no method \"?[2J\" here" },
		{ "malformed input", "Verify", "\x0a\xff", 2, -EBADMSG,
		  "the input of Verify cannot be decoded" },
		{ "input cut short", "Verify", "\012\005ab", 4, -EBADMSG,
		  "the input of Verify cannot be decoded" },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		struct ph_error error;
		struct pair pair;

		pair_init(&pair);
		error = answer_to(&pair, cases[i].method, cases[i].payload, cases[i].length);
		if (error.code != cases[i].code || strcmp(error.why, cases[i].why) != 0)
			fail_msg("%s: %d %s", cases[i].name, error.code, error.why);
		assert_int_equal(pair.server.served, 0);
		pair_fini(&pair);
	}
}

static void a_side_without_a_service_refuses(void **state)
{
	Phoenix__DescribeRequest request = PHOENIX__DESCRIBE_REQUEST__INIT;
	struct outcome outcome = { 0 };
	struct pair pair;

	pair_init(&pair);
	rpc_call(pair.server.rpc, &phoenix__agent__descriptor, "Describe", &request.base, 0, NOW_MS,
		 &unary, &outcome, NULL);
	pump(&pair);
	outcome_expect(&outcome, "ENOSYS");
	pair_fini(&pair);
}

static void unknown_inputs_are_ignored(void **state)
{
	struct ph_error error;
	struct pair pair;

	/* field 99 of a newer peer */
	pair_init(&pair);
	pair.server.behaviour = FAIL;
	error = answer_to(&pair, "Describe", "\x9a\x06\x02hi", 5);
	assert_int_equal(error.code, -ENOSPC);
	pair_fini(&pair);
}

static const struct answer_case {
	const char *name;
	bool streams;
	bool is_item;
	const char *payload;
	size_t length;
	const char *log;
	size_t frames; /* sent because of it */
} answer_cases[] = {
	{ "malformed reply", false, false, "\x0a\xff", 2, "EBADMSG", 0 },
	{ "malformed item", true, true, "\x0a\xff", 2, "EBADMSG", 1 },
	{ "a reply to a stream", true, false, "", 0, "EPROTO", 0 },
	{ "an item to a unary call", false, true, "", 0, "", 0 },
	{ "an empty reply", false, false, "", 0, "", 0 },
};

static void answers_that_break_the_call_end_it(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(answer_cases); i++) {
		const struct answer_case *answer = &answer_cases[i];
		struct outcome outcome = { 0 };
		struct pair pair;

		pair_init(&pair);
		if (answer->streams)
			call_verify(&pair, &outcome, 0);
		else
			call_describe(&pair, &outcome, 0);
		pair.caller.frames = 0;
		assert_int_equal(receive_output(&pair.caller, 1,
						answer->is_item ? PHOENIX__ENVELOPE__BODY_ITEM :
								  PHOENIX__ENVELOPE__BODY_RESPONSE,
						answer->payload, answer->length),
				 0);
		if (strcmp(str_text(&outcome.log), answer->log) != 0 ||
		    pair.caller.frames != answer->frames)
			fail_msg("%s: %s, %zu frames", answer->name, str_text(&outcome.log),
				 pair.caller.frames);
		outcome.finished_hook = NULL;
		pair_fini(&pair);
		assert_int_equal(outcome.ends, 1);
		str_fini(&outcome.log);
	}
}

static void items_make_a_call_a_stream(void **state)
{
	static const struct {
		bool is_response;
		const char *log;
	} cases[] = { { true, "EPROTO" }, { false, "end" } };

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;
		Phoenix__End end = PHOENIX__END__INIT;
		struct outcome outcome = { 0 };
		struct pair pair;

		pair_init(&pair);
		call_describe(&pair, &outcome, 0); /* without an item handler */
		receive_output(&pair.caller, 1, PHOENIX__ENVELOPE__BODY_ITEM, "", 0);
		assert_int_equal(outcome.ends, 0);
		envelope.id = 1;
		envelope.body_case = PHOENIX__ENVELOPE__BODY_END;
		envelope.end = &end;
		if (cases[i].is_response)
			receive_output(&pair.caller, 1, PHOENIX__ENVELOPE__BODY_RESPONSE, "", 0);
		else
			receive_envelope(&pair.caller, &envelope, NULL);
		outcome_expect(&outcome, cases[i].log);
		pair_fini(&pair);
	}
}

static void answers_to_nothing_are_ignored(void **state)
{
	static const Phoenix__Envelope__BodyCase bodies[] = {
		PHOENIX__ENVELOPE__BODY__NOT_SET, PHOENIX__ENVELOPE__BODY_RESPONSE,
		PHOENIX__ENVELOPE__BODY_ITEM,     PHOENIX__ENVELOPE__BODY_END,
		PHOENIX__ENVELOPE__BODY_CANCEL,   PHOENIX__ENVELOPE__BODY_CREDIT,
	};
	Phoenix__End end = PHOENIX__END__INIT;
	Phoenix__Cancel cancel = PHOENIX__CANCEL__INIT;
	Phoenix__Credit credit = PHOENIX__CREDIT__INIT;
	struct outcome outcome = { 0 };
	struct pair pair;

	pair_init(&pair);
	call_describe(&pair, &outcome, 0);
	pair.caller.frames = 0;
	for (size_t i = 0; i < ARRAY_LENGTH(bodies); i++) {
		Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;

		envelope.id = UINT64_MAX;
		envelope.body_case = bodies[i];
		if (bodies[i] == PHOENIX__ENVELOPE__BODY_END)
			envelope.end = &end;
		else if (bodies[i] == PHOENIX__ENVELOPE__BODY_CANCEL)
			envelope.cancel = &cancel;
		else if (bodies[i] == PHOENIX__ENVELOPE__BODY_CREDIT)
			envelope.credit = &credit;
		assert_int_equal(receive_envelope(&pair.caller, &envelope, NULL), 0);
	}
	assert_int_equal(rpc_calls(pair.caller.rpc), 1);
	assert_int_equal(pair.caller.frames, 0);
	pair_fini(&pair);
	outcome_expect(&outcome, "ECONNRESET");
}

static void what_is_no_envelope_breaks_the_connection(void **state)
{
	static const char *const payloads[] = { "\xff", "\x0a\x05", "\x12\x7f", "\x08" };

	for (size_t i = 0; i < ARRAY_LENGTH(payloads); i++) {
		struct ph_error error = { 0 };
		struct pair pair;

		pair_init(&pair);
		assert_int_equal(rpc_receive(pair.server.rpc, (const uint8_t *)payloads[i],
					     strlen(payloads[i]), &error),
				 -EPROTO);
		assert_string_equal(error.why, "the peer sent what is not an envelope");
		pair_fini(&pair);
	}
}

/* Two bytes each: repeated empty sub-messages. */
static uint8_t *repeated(uint8_t tag, size_t count)
{
	uint8_t *bytes = ph_alloc(2 * count);

	for (size_t i = 0; i < count; i++)
		bytes[2 * i] = tag;
	return bytes;
}

static void decoding_has_a_budget(void **state)
{
	static const size_t counts[] = { LIMITS_REPEATED, LIMITS_REPEATED + 1 };

	for (size_t i = 0; i < ARRAY_LENGTH(counts); i++) {
		Phoenix__HealthRequest request = PHOENIX__HEALTH_REQUEST__INIT;
		PH_AUTO_FREE uint8_t *conditions = repeated(0x0a, counts[i]);
		struct outcome outcome = { 0 };
		struct pair pair;

		pair_init(&pair);
		rpc_call(pair.caller.rpc, &phoenix__agent__descriptor, "Health", &request.base, 0,
			 NOW_MS, &unary, &outcome, NULL);
		receive_output(&pair.caller, 1, PHOENIX__ENVELOPE__BODY_RESPONSE, conditions,
			       2 * counts[i]);
		outcome_expect(&outcome, i == 0 ? "HealthReply" : "EBADMSG");
		pair_fini(&pair);
	}
}

/* The envelope's own decoding: a body that comes twice would be merged each time. */
static void an_envelope_has_one_body(void **state)
{
	PH_AUTO_FREE uint8_t *ends = repeated(0x2a, 100000);
	struct ph_error error = { 0 };
	struct pair pair;

	pair_init(&pair);
	assert_int_equal(rpc_receive(pair.server.rpc, ends, 2, &error), 0);
	assert_int_equal(rpc_receive(pair.server.rpc, ends, 4, &error), -EPROTO);
	assert_int_equal(rpc_receive(pair.server.rpc, ends, 200000, &error), -EPROTO);
	pair_fini(&pair);
}

/* --- limits and credit --- */

static void an_input_above_its_limit_is_refused(void **state)
{
	PH_AUTO_FREE uint8_t *payload = ph_alloc(VERIFY_INPUT + 1);
	struct ph_error error = { 0 };
	struct pair pair;

	pair_init(&pair);
	assert_int_equal(receive_request(&pair.server, 1, "Verify", payload, VERIFY_INPUT + 1,
					 &error),
			 0);
	assert_int_equal(pair.server.served, 0);
	assert_int_equal(pair.server.frames, 1); /* the failure */
	pair_fini(&pair);
}

static void an_answer_above_its_limit_ends_the_call(void **state)
{
	PH_AUTO_FREE uint8_t *payload = ph_alloc(DESCRIBE_OUTPUT + 1);
	struct outcome outcome = { 0 };
	struct pair pair;

	pair_init(&pair);
	call_describe(&pair, &outcome, 0);
	receive_output(&pair.caller, 1, PHOENIX__ENVELOPE__BODY_RESPONSE, payload,
		       DESCRIBE_OUTPUT + 1);
	outcome_expect(&outcome, "EMSGSIZE");
	pair_fini(&pair);
}

static void grant(struct side *side, uint64_t id, uint32_t items, int expected)
{
	Phoenix__Envelope envelope = PHOENIX__ENVELOPE__INIT;
	Phoenix__Credit credit = PHOENIX__CREDIT__INIT;
	struct ph_error error = { 0 };

	credit.items = items;
	envelope.id = id;
	envelope.body_case = PHOENIX__ENVELOPE__BODY_CREDIT;
	envelope.credit = &credit;
	assert_int_equal(receive_envelope(side, &envelope, &error), expected);
}

static void count_grant(void *user)
{
	++*(int *)user;
}

/* Credit is taken item by item, wakes the handler when there was none, and cannot overflow. */
static void a_stream_ends_where_its_credit_does(void **state)
{
	struct outcome outcome = { 0 };
	struct rpc_request *request;
	struct pair pair;
	int granted = 0;

	pair_init(&pair);
	pair.server.behaviour = KEEP;
	call_verify(&pair, &outcome, 0);
	deliver(&pair.caller, &pair.server, NULL);
	request = pair.server.kept[0];
	rpc_request_on_credit(request, count_grant, &granted);
	grant(&pair.server, 1, 1, -EPROTO); /* the window is full */
	for (size_t i = 0; i < VERIFY_WINDOW; i++) {
		assert_true(rpc_request_may_send(request));
		send_item(pair.server.closure, request, "x");
	}
	assert_false(rpc_request_may_send(request));
	assert_int_equal(granted, 0);
	grant(&pair.server, 1, 0, 0);
	assert_int_equal(granted, 0);
	grant(&pair.server, 77, UINT32_MAX, 0); /* no such request */
	grant(&pair.server, 1, 2, 0);
	assert_int_equal(granted, 1);
	grant(&pair.server, 1, UINT32_MAX, -EPROTO);
	send_item(pair.server.closure, request, "y");
	send_item(pair.server.closure, request, "z");
	assert_false(rpc_request_is_cancelled(request));
	send_item(pair.server.closure, request, "one too many");
	assert_true(rpc_request_is_cancelled(request));
	pair_fini(&pair);
	str_fini(&outcome.log);
}

/* Who takes items grants more: a stream goes on past its window, and not past its limit. */
static void credit_comes_back_until_the_stream_is_too_long(void **state)
{
	struct outcome outcome = { 0 };
	struct pair pair;
	size_t sent = 0;

	pair_init(&pair);
	pair.server.behaviour = KEEP;
	call_verify(&pair, &outcome, 0);
	pump(&pair);
	while (outcome.ends == 0 && sent < 2 * VERIFY_ITEMS) {
		assert_true(rpc_request_may_send(pair.server.kept[0]));
		send_item(pair.server.closure, pair.server.kept[0], "x");
		sent++;
		pump(&pair);
	}
	assert_int_equal(sent, VERIFY_ITEMS + 1);
	assert_int_equal(outcome.error.code, -EOVERFLOW);
	str_fini(&outcome.log);
	pair_fini(&pair);
}

/* --- hostile bytes --- */

/* Everything that a full conversation puts on the wire in one direction, frame by frame. */
static void record_conversation(struct str *to_server, struct str *to_caller)
{
	static const enum behaviour behaviours[] = { REPLY, STREAM, FAIL };
	struct outcome outcome = { 0 };
	struct pair pair;

	pair_init(&pair);
	for (size_t i = 0; i < ARRAY_LENGTH(behaviours); i++) {
		pair.server.behaviour = behaviours[i];
		call_describe(&pair, &outcome, 100);
		call_verify(&pair, &outcome, 100);
		str_append_bytes(to_server, pair.caller.sent.data, pair.caller.sent.length);
		deliver(&pair.caller, &pair.server, NULL);
		str_append_bytes(to_caller, pair.server.sent.data, pair.server.sent.length);
		deliver(&pair.server, &pair.caller, NULL);
	}
	call_describe(&pair, &outcome, 0);
	pair.caller.sent.length = 0;
	rpc_cancel(outcome.call);
	str_append_bytes(to_server, pair.caller.sent.data, pair.caller.sent.length);
	pair_fini(&pair);
	str_fini(&outcome.log);
}

/* Both roles at once, with calls in flight that hostile answers may hit. */
static void receive_hostile(const uint8_t *payload, size_t length)
{
	struct outcome outcomes[8] = { 0 };
	uint8_t *copy = malloc(length ? length : 1); /* exact, so that an overread is seen */
	struct pair pair;
	struct ph_error error = { 0 };
	int result;

	memcpy(copy, payload, length);
	side_init(&pair.caller, true);
	side_init(&pair.server, true);
	pair.caller.behaviour = KEEP;
	for (size_t i = 0; i < ARRAY_LENGTH(outcomes); i++)
		if (i % 2)
			call_verify(&pair, &outcomes[i], 0);
		else
			call_describe(&pair, &outcomes[i], 0);
	result = rpc_receive(pair.caller.rpc, copy, length, &error);
	assert_true(result == 0 || (result == -EPROTO && error.code == -EPROTO));
	free(copy);
	pair_fini(&pair);
	for (size_t i = 0; i < ARRAY_LENGTH(outcomes); i++) {
		assert_int_equal(outcomes[i].ends, 1);
		str_fini(&outcomes[i].log);
	}
}

static void mutate(uint8_t *bytes, size_t length, unsigned int *seed)
{
	static const uint8_t nasty[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
	size_t changes = 1 + (size_t)rand_r(seed) % 4;

	while (changes--) {
		size_t at = (size_t)rand_r(seed) % length;

		if (rand_r(seed) % 2)
			bytes[at] ^= (uint8_t)(1 << rand_r(seed) % 8);
		else
			bytes[at] = nasty[(size_t)rand_r(seed) % sizeof(nasty)];
	}
}

static void hostile_bytes_break_nothing(void **state)
{
	PH_AUTO_STR struct str recorded = STR_INIT;
	struct frame_reader reader;
	const uint8_t *payload;
	unsigned int seed = 20261123;
	size_t length, frames = 0;

	record_conversation(&recorded, &recorded);
	frame_reader_init(&reader, 0);
	frame_reader_feed(&reader, (uint8_t *)recorded.data, recorded.length);
	while (frame_reader_next(&reader, &payload, &length) == FRAME_READY) {
		frames++;
		for (size_t cut = 0; cut <= length; cut++)
			receive_hostile(payload, cut);
		for (size_t round = 0; round < 3000; round++) {
			PH_AUTO_FREE uint8_t *mutated = ph_memdup(payload, length);

			mutate(mutated, length, &seed);
			receive_hostile(mutated, length);
		}
	}
	assert_int_equal(frames, 7 + 5 + 5 + 3);
	frame_reader_fini(&reader);
}

static void random_bytes_break_nothing(void **state)
{
	unsigned int seed = 4711;

	for (size_t round = 0; round < 2000; round++) {
		uint8_t bytes[64];
		size_t length = (size_t)rand_r(&seed) % sizeof(bytes);

		for (size_t i = 0; i < length; i++)
			bytes[i] = (uint8_t)rand_r(&seed);
		receive_hostile(bytes, length);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_in_flight_are_limited),
		cmocka_unit_test(requests_in_flight_are_limited),
		cmocka_unit_test(a_call_that_cannot_be_sent_is_none),
		cmocka_unit_test(a_message_that_just_fits_arrives),
		cmocka_unit_test(request_ids_are_unique_while_in_flight),
		cmocka_unit_test(an_id_is_free_again_after_a_cancel),
		cmocka_unit_test(requests_that_cannot_be_served_fail_alone),
		cmocka_unit_test(a_side_without_a_service_refuses),
		cmocka_unit_test(unknown_inputs_are_ignored),
		cmocka_unit_test(answers_that_break_the_call_end_it),
		cmocka_unit_test(items_make_a_call_a_stream),
		cmocka_unit_test(answers_to_nothing_are_ignored),
		cmocka_unit_test(what_is_no_envelope_breaks_the_connection),
		cmocka_unit_test(decoding_has_a_budget),
		cmocka_unit_test(an_envelope_has_one_body),
		cmocka_unit_test(an_input_above_its_limit_is_refused),
		cmocka_unit_test(an_answer_above_its_limit_ends_the_call),
		cmocka_unit_test(a_stream_ends_where_its_credit_does),
		cmocka_unit_test(credit_comes_back_until_the_stream_is_too_long),
		cmocka_unit_test(hostile_bytes_break_nothing),
		cmocka_unit_test(random_bytes_break_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
