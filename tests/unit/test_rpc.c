/* RPC between two sides that keep to the protocol: every way a call can go. */
#include "common/rpc.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/support/cmocka.h"
#include "tests/support/rpc_pair.h"

/* --- the plain cases --- */

static const struct call_case {
	const char *name;
	bool streams;
	enum behaviour behaviour;
	const char *log;
} call_cases[] = {
	{ "a reply", false, REPLY, "debian" },
	{ "a failure", false, FAIL, "ENOSPC" },
	{ "a handler without an answer", false, NO_ANSWER, "EIO" },
	{ "a reply that fits no frame", false, HUGE, "EMSGSIZE" },
	{ "an end without a reply", false, END, "EPROTO" },
	{ "items and the end", true, STREAM, "first second third end" },
	{ "no items", true, END, "end" },
	{ "an item and a failure", true, FAIL, "first ENOSPC" },
	{ "a stream without an answer", true, NO_ANSWER, "EIO" },
	{ "an item that fits no frame", true, HUGE, "first EMSGSIZE" },
};

static void calls_come_to_their_end(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(call_cases); i++) {
		struct outcome outcome = { 0 };
		struct pair pair;

		pair_init(&pair);
		pair.server.behaviour = call_cases[i].behaviour;
		if (call_cases[i].streams)
			assert_int_equal(call_verify(&pair, &outcome, 0), 0);
		else
			assert_int_equal(call_describe(&pair, &outcome, 0), 0);
		assert_int_equal(outcome.ends, 0);
		assert_int_equal(rpc_calls(pair.caller.rpc), 1);
		pump(&pair);
		if (strcmp(str_text(&outcome.log), call_cases[i].log) != 0)
			fail_msg("%s: %s", call_cases[i].name, str_text(&outcome.log));
		assert_int_equal(outcome.ends, 1);
		assert_int_equal(rpc_calls(pair.caller.rpc), 0);
		assert_int_equal(pair.server.served, 1);
		str_fini(&outcome.log);
		pair_fini(&pair);
	}
}

static void failures_arrive_with_all_their_texts(void **state)
{
	struct outcome outcome = { 0 };
	struct pair pair;

	pair_init(&pair);
	pair.server.behaviour = FAIL;
	call_describe(&pair, &outcome, 0);
	pump(&pair);
	assert_int_equal(outcome.error.code, -ENOSPC);
	assert_string_equal(outcome.error.what, "install docker.io");
	assert_string_equal(outcome.error.where, "/var/lib/docker");
	assert_string_equal(outcome.error.why, "disk full");
	assert_string_equal(outcome.error.remedy, "Make room.");
	assert_string_equal(outcome.error.step, "unpack");
	str_fini(&outcome.log);
	pair_fini(&pair);
}

static void a_handler_without_an_answer_is_named(void **state)
{
	struct outcome outcome = { 0 };
	struct pair pair;

	pair_init(&pair);
	pair.server.behaviour = NO_ANSWER;
	call_describe(&pair, &outcome, 0);
	pump(&pair);
	assert_string_equal(outcome.error.why, "the handler has no answer");
	str_fini(&outcome.log);
	pair_fini(&pair);
}

static int send_nowhere(void *user, const uint8_t *frame, size_t length)
{
	return 0;
}

static void a_connection_need_not_know_what_is_unsent(void **state)
{
	struct outcome outcome = { 0 };
	struct pair pair;

	pair_init(&pair);
	pair.server.behaviour = KEEP;
	call_describe(&pair, &outcome, 0);
	rpc_free(pair.server.rpc);
	pair.server.rpc = rpc_new(&(struct rpc_config){
		.service = (ProtobufCService *)&pair.server.service,
		.send = send_nowhere,
		.user = &pair.server,
	});
	pump(&pair);
	assert_int_equal(rpc_request_unsent(pair.server.kept[0]), 0);
	pair_fini(&pair);
	outcome_expect(&outcome, "ECONNRESET");
}

static void inputs_arrive(void **state)
{
	Phoenix__VerifyRequest request = PHOENIX__VERIFY_REQUEST__INIT;
	struct outcome outcome = { 0 };
	struct pair pair;

	pair_init(&pair);
	pair.server.behaviour = END;
	request.operation = (char *)"operation-7";
	assert_int_equal(rpc_call(pair.caller.rpc, &phoenix__agent__descriptor, "Verify",
				  &request.base, 0, NOW_MS, &streamed, &outcome, NULL),
			 0);
	pump(&pair);
	assert_string_equal(str_text(&pair.server.log), "operation-7");
	outcome_expect(&outcome, "end");
	pair_fini(&pair);
}

static void both_sides_may_call(void **state)
{
	struct outcome forth = { 0 }, back = { 0 };
	struct pair pair;
	Phoenix__DescribeRequest request = PHOENIX__DESCRIBE_REQUEST__INIT;

	side_init(&pair.caller, true);
	side_init(&pair.server, true);
	call_describe(&pair, &forth, 0);
	rpc_call(pair.server.rpc, &phoenix__agent__descriptor, "Describe", &request.base, 0, NOW_MS,
		 &unary, &back, NULL);
	pump(&pair); /* both calls have the id 1 */
	outcome_expect(&forth, "debian");
	outcome_expect(&back, "debian");
	pair_fini(&pair);
}

static void health_finished(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	memcpy(user, reply, sizeof(Phoenix__HealthReply)); /* the numbers are all that is read */
}

static void handlers_see_timeout_and_unsent_bytes(void **state)
{
	static const struct rpc_handlers handlers = { .finished = health_finished };
	Phoenix__HealthRequest request = PHOENIX__HEALTH_REQUEST__INIT;
	Phoenix__HealthReply reply;
	struct pair pair;

	pair_init(&pair);
	pair.server.unsent = 4711;
	rpc_call(pair.caller.rpc, &phoenix__agent__descriptor, "Health", &request.base, 250, NOW_MS,
		 &handlers, &reply, NULL);
	pump(&pair);
	assert_int_equal(reply.uptime_ms, 250);
	assert_int_equal(reply.resident_bytes, 4711);
	pair_fini(&pair);
}

/* --- later answers --- */

static void answers_may_come_in_any_order(void **state)
{
	struct outcome outcomes[5] = { 0 };
	struct pair pair;

	pair_init(&pair);
	pair.server.behaviour = KEEP;
	for (size_t i = 0; i < ARRAY_LENGTH(outcomes); i++)
		call_describe(&pair, &outcomes[i], 0);
	pump(&pair);
	assert_int_equal(pair.server.kept_count, ARRAY_LENGTH(outcomes));
	for (size_t n = 0; n < ARRAY_LENGTH(outcomes); n++) {
		size_t i = (n * 3 + 2) % ARRAY_LENGTH(outcomes);

		end_with_failure(take_pointer(pair.server.kept[i]));
		pump(&pair);
		assert_int_equal(outcomes[i].ends, 1);
		assert_int_equal(rpc_calls(pair.caller.rpc), ARRAY_LENGTH(outcomes) - n - 1);
		outcome_expect(&outcomes[i], "ENOSPC");
	}
	pair_fini(&pair);
}

static void a_thousand_items_arrive_in_order(void **state)
{
	struct outcome outcome = { 0 };
	PH_AUTO_STR struct str expected = STR_INIT;
	struct pair pair;
	struct rpc_request *request;

	pair_init(&pair);
	pair.server.behaviour = KEEP;
	call_verify(&pair, &outcome, 0);
	pump(&pair);
	request = take_pointer(pair.server.kept[0]);
	for (int i = 0; i < 1000; i++) {
		char id[16];

		snprintf(id, sizeof(id), "%d", i);
		str_appendf(&expected, "%d ", i);
		send_item(pair.server.closure, request, id);
		if (i % 37 == 0)
			pump(&pair);
		assert_false(rpc_request_is_cancelled(request));
	}
	assert_int_equal(outcome.ends, 0);
	rpc_end(request);
	pump(&pair);
	str_append(&expected, "end");
	outcome_expect(&outcome, str_text(&expected));
	pair_fini(&pair);
}

/* --- cancel, deadlines, hang-ups --- */

static void a_cancelled_call_ends_at_once(void **state)
{
	struct outcome outcome = { 0 };
	struct pair pair;

	pair_init(&pair);
	pair.server.behaviour = KEEP;
	call_verify(&pair, &outcome, 0);
	pump(&pair);
	send_item(pair.server.closure, pair.server.kept[0], "on-its-way");
	rpc_cancel(outcome.call);
	assert_int_equal(outcome.ends, 1);
	assert_int_equal(rpc_calls(pair.caller.rpc), 0);
	pump(&pair); /* the item crosses the cancel */
	assert_string_equal(str_text(&pair.server.log), "cancelled ");
	assert_true(rpc_request_is_cancelled(pair.server.kept[0]));

	pair.server.frames = 0;
	send_item(pair.server.closure, pair.server.kept[0], "too-late");
	rpc_end(take_pointer(pair.server.kept[0]));
	assert_int_equal(pair.server.frames, 0);
	outcome_expect(&outcome, "ECANCELED");
	pair_fini(&pair);
}

static void a_cancel_may_overtake_the_handler(void **state)
{
	struct outcome outcome = { 0 };
	struct pair pair;

	pair_init(&pair);
	call_describe(&pair, &outcome, 0);
	rpc_cancel(outcome.call);
	pump(&pair); /* request, then cancel of what has been answered already */
	assert_int_equal(pair.server.served, 1);
	outcome_expect(&outcome, "ECANCELED");
	pair_fini(&pair);
}

static void finish_kept(void *user)
{
	struct side *side = user;

	str_append(&side->log, "cancelled ");
	end_with_failure(take_pointer(side->kept[0]));
}

static void a_handler_may_finish_when_it_is_cancelled(void **state)
{
	struct outcome outcome = { 0 };
	struct pair pair;

	pair_init(&pair);
	pair.server.behaviour = KEEP;
	call_describe(&pair, &outcome, 0);
	pump(&pair);
	rpc_request_on_cancel(pair.server.kept[0], finish_kept, &pair.server);
	rpc_cancel(outcome.call);
	pump(&pair);
	assert_string_equal(str_text(&pair.server.log), "cancelled ");
	outcome_expect(&outcome, "ECANCELED");
	pair_fini(&pair);
}

static void deadlines_end_calls_and_tell_the_peer(void **state)
{
	struct outcome soon = { 0 }, later = { 0 }, never = { 0 };
	struct pair pair;

	pair_init(&pair);
	pair.server.behaviour = KEEP;
	assert_int_equal(rpc_deadline(pair.caller.rpc), 0);
	call_describe(&pair, &never, 0);
	assert_int_equal(rpc_deadline(pair.caller.rpc), 0);
	call_describe(&pair, &later, 300);
	call_describe(&pair, &soon, 200);
	pump(&pair);
	assert_int_equal(rpc_deadline(pair.caller.rpc), NOW_MS + 200);
	rpc_tick(pair.caller.rpc, NOW_MS + 199);
	assert_int_equal(rpc_calls(pair.caller.rpc), 3);
	rpc_tick(pair.caller.rpc, NOW_MS + 200);
	assert_int_equal(soon.ends, 1);
	assert_int_equal(later.ends, 0);
	assert_int_equal(rpc_deadline(pair.caller.rpc), NOW_MS + 300);
	rpc_tick(pair.caller.rpc, UINT64_MAX);
	assert_int_equal(rpc_deadline(pair.caller.rpc), 0);
	pump(&pair);
	assert_string_equal(str_text(&pair.server.log), "cancelled cancelled ");
	assert_int_equal(rpc_calls(pair.caller.rpc), 1);
	outcome_expect(&soon, "ETIMEDOUT");
	outcome_expect(&later, "ETIMEDOUT");
	rpc_free(take_pointer(pair.caller.rpc));
	outcome_expect(&never, "ECONNRESET");
	pair_fini(&pair);
}

static void call_again(struct outcome *outcome)
{
	if (outcome->ends < 50)
		call_describe(outcome->pair, outcome, 1);
}

static void a_tick_does_not_end_calls_made_meanwhile(void **state)
{
	struct outcome outcome = { .finished_hook = call_again };
	struct pair pair;

	pair_init(&pair);
	call_describe(&pair, &outcome, 1);
	rpc_tick(pair.caller.rpc, NOW_MS + 100); /* each new call is overdue already */
	assert_int_equal(outcome.ends, 1);
	assert_int_equal(rpc_calls(pair.caller.rpc), 1);
	outcome.finished_hook = NULL;
	pair_fini(&pair);
	str_fini(&outcome.log);
}

static void a_hang_up_ends_everything(void **state)
{
	struct outcome first = { 0 }, second = { 0 };
	struct pair pair;

	pair_init(&pair);
	pair.server.behaviour = KEEP;
	call_describe(&pair, &first, 0);
	call_verify(&pair, &second, 100);
	pump(&pair);
	rpc_free(take_pointer(pair.caller.rpc));
	outcome_expect(&first, "ECONNRESET");
	outcome_expect(&second, "ECONNRESET");

	rpc_free(take_pointer(pair.server.rpc));
	assert_string_equal(str_text(&pair.server.log), "cancelled cancelled ");
	pair.server.frames = 0;
	assert_true(rpc_request_is_cancelled(pair.server.kept[1]));
	assert_int_equal(rpc_request_unsent(pair.server.kept[1]), 0);
	send_item(pair.server.closure, pair.server.kept[1], "too-late");
	rpc_end(take_pointer(pair.server.kept[1]));
	end_with_failure(take_pointer(pair.server.kept[0]));
	assert_int_equal(pair.server.frames, 0);
	pair_fini(&pair);
	rpc_free(NULL);
}

static void a_cancelled_request_is_told_once(void **state)
{
	struct outcome outcome = { 0 };
	struct pair pair;

	pair_init(&pair);
	pair.server.behaviour = KEEP;
	call_describe(&pair, &outcome, 0);
	pump(&pair);
	rpc_cancel(outcome.call);
	pump(&pair);
	rpc_free(take_pointer(pair.server.rpc));
	assert_string_equal(str_text(&pair.server.log), "cancelled ");
	outcome_expect(&outcome, "ECANCELED");
	pair_fini(&pair);
}

/* --- re-entrancy --- */

static void free_caller(struct outcome *outcome)
{
	rpc_free(take_pointer(outcome->pair->caller.rpc));
}

static void call_on_dead_connection(struct outcome *outcome)
{
	Phoenix__DescribeRequest request = PHOENIX__DESCRIBE_REQUEST__INIT;
	struct rpc *rpc = take_pointer(outcome->pair->caller.rpc);

	rpc_free(rpc);
	rpc_free(rpc); /* it is still there for us: we are inside of it */
	assert_int_equal(rpc_call(rpc, &phoenix__agent__descriptor, "Describe", &request.base, 0,
				  NOW_MS, &unary, outcome, NULL),
			 -ECONNRESET);
	assert_int_equal(rpc_receive(rpc, (const uint8_t *)"", 0, NULL), -ECONNRESET);
	rpc_tick(rpc, UINT64_MAX);
}

static void cancel_itself(struct outcome *outcome)
{
	rpc_cancel(outcome->call);
}

static void cancel_other(struct outcome *outcome)
{
	rpc_cancel(take_pointer(outcome->other));
}

static const struct hook_case {
	const char *name;
	void (*item_hook)(struct outcome *outcome);
	void (*finished_hook)(struct outcome *outcome);
	const char *log, *other;
} hook_cases[] = {
	{ "free in finished", NULL, free_caller, "first second third end", "ECONNRESET" },
	{ "free in an item", free_caller, NULL, "first ECONNRESET", "ECONNRESET" },
	{ "free twice in finished", NULL, call_on_dead_connection, "first second third end",
	  "ECONNRESET" },
	{ "cancel the call in its item", cancel_itself, NULL, "first ECANCELED", "" },
	{ "cancel the call in its finished", NULL, cancel_itself, "first second third end", "" },
	{ "cancel another one in finished", NULL, cancel_other, "first second third end",
	  "ECANCELED" },
};

static void handlers_may_do_anything(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(hook_cases); i++) {
		struct outcome outcome = { .item_hook = hook_cases[i].item_hook,
					   .finished_hook = hook_cases[i].finished_hook };
		struct outcome other = { 0 };
		struct pair pair;

		pair_init(&pair);
		pair.server.behaviour = KEEP;
		call_describe(&pair, &other, 0);
		pump(&pair);
		outcome.other = other.call;
		pair.server.behaviour = STREAM;
		call_verify(&pair, &outcome, 0);
		pump(&pair);
		if (strcmp(str_text(&outcome.log), hook_cases[i].log) != 0 ||
		    strcmp(str_text(&other.log), hook_cases[i].other) != 0)
			fail_msg("%s: \"%s\" and \"%s\"", hook_cases[i].name,
				 str_text(&outcome.log), str_text(&other.log));
		pair_fini(&pair);
		str_fini(&outcome.log);
		str_fini(&other.log);
	}
}

/* A call made while the connection dies by a deadline or a hang-up is refused, not lost. */
static void freeing_inside_tick_and_cancel_is_safe(void **state)
{
	struct outcome outcomes[3] = { 0 };
	struct pair pair;

	pair_init(&pair);
	for (size_t i = 0; i < ARRAY_LENGTH(outcomes); i++)
		call_describe(&pair, &outcomes[i], 10);
	outcomes[2].finished_hook = outcomes[1].finished_hook = free_caller;
	rpc_tick(pair.caller.rpc, NOW_MS + 10);
	assert_null(pair.caller.rpc);
	for (size_t i = 0; i < ARRAY_LENGTH(outcomes); i++) {
		assert_int_equal(outcomes[i].ends, 1);
		str_fini(&outcomes[i].log);
	}
	pair_fini(&pair);

	pair_init(&pair);
	outcomes[0] = (struct outcome){ .finished_hook = free_caller };
	call_describe(&pair, &outcomes[0], 0);
	rpc_cancel(outcomes[0].call);
	assert_null(pair.caller.rpc);
	outcome_expect(&outcomes[0], "ECANCELED");
	pair_fini(&pair);
}

/* Calls again once, from its own end. */
static void call_once_more(struct outcome *outcome)
{
	outcome->finished_hook = NULL;
	call_describe(outcome->pair, outcome, 0);
}

static void all_calls_can_be_given_up(void **state)
{
	struct outcome outcomes[4] = { 0 };
	struct pair pair;

	pair_init(&pair);
	pair.server.behaviour = KEEP;
	for (size_t i = 0; i < ARRAY_LENGTH(outcomes); i++)
		call_describe(&pair, &outcomes[i], 0);
	outcomes[2].finished_hook = call_once_more;
	rpc_cancel_all(pair.caller.rpc);
	assert_int_equal(rpc_calls(pair.caller.rpc), 1);
	for (size_t i = 0; i < ARRAY_LENGTH(outcomes); i++)
		outcome_expect(&outcomes[i], "ECANCELED");
	pump(&pair);
	assert_string_equal(str_text(&pair.server.log), "cancelled cancelled cancelled cancelled ");
	outcomes[2].finished_hook = free_caller; /* may be freed while all are given up */
	call_describe(&pair, &outcomes[0], 0);
	rpc_cancel_all(pair.caller.rpc);
	assert_null(pair.caller.rpc);
	pair_fini(&pair);
	str_fini(&outcomes[0].log);
	str_fini(&outcomes[2].log);
}

static void a_handler_may_free_its_side(void **state)
{
	for (size_t streams = 0; streams < 2; streams++) {
		struct outcome outcome = { 0 };
		struct pair pair;

		pair_init(&pair);
		pair.server.behaviour = FREE;
		if (streams)
			call_verify(&pair, &outcome, 0);
		else
			call_describe(&pair, &outcome, 0);
		pump(&pair);
		assert_null(pair.server.rpc);
		outcome_expect(&outcome, streams ? "first " : "");
		pair_fini(&pair);
		str_fini(&outcome.log);
	}
}

static void free_server(void *user)
{
	struct side *side = user;

	rpc_free(take_pointer(side->rpc));
	str_append(&side->log, "cancelled ");
}

static void a_cancelled_handler_may_free_its_side(void **state)
{
	struct outcome outcome = { 0 };
	struct pair pair;

	pair_init(&pair);
	pair.server.behaviour = KEEP;
	call_describe(&pair, &outcome, 0);
	pump(&pair);
	rpc_request_on_cancel(pair.server.kept[0], free_server, &pair.server);
	rpc_cancel(outcome.call);
	pump(&pair);
	assert_null(pair.server.rpc);
	assert_string_equal(str_text(&pair.server.log), "cancelled ");
	outcome_expect(&outcome, "ECANCELED");
	pair_fini(&pair);
}

/* --- failures on the wire --- */

static void codes_of_a_peer_become_errnos(void **state)
{
	static const struct {
		int32_t code;
		int expected;
	} cases[] = {
		{ -ENOENT, -ENOENT }, { -4095, -4095 },  { -4096, -EIO },   { 0, -EIO },
		{ ENOENT, -EIO },     { INT_MIN, -EIO }, { INT_MAX, -EIO }, { -1, -EPERM },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		Phoenix__Failure failure = PHOENIX__FAILURE__INIT;
		struct ph_error error = { 0 };

		failure.code = cases[i].code;
		rpc_failure_to_error(&failure, &error);
		assert_int_equal(error.code, cases[i].expected);
		assert_string_equal(error.why, "the peer gives no reason");
		assert_string_equal(error.what, "");
		assert_string_equal(error.step, "");
	}
}

static void errors_survive_the_way_there_and_back(void **state)
{
	Phoenix__Failure failure;
	struct ph_error error = { 0 }, back = { 0 };

	error_set(&error, -EACCES, "/srv", "Remount.", "denied");
	error_prefix(&error, "mount");
	error_step(&error, "storage");
	rpc_failure_from_error(&failure, &error);
	assert_ptr_equal(failure.base.descriptor, &phoenix__failure__descriptor);
	rpc_failure_to_error(&failure, &back);
	assert_memory_equal(&error, &back, sizeof(error));
}

static void texts_of_a_peer_are_made_printable(void **state)
{
	Phoenix__Failure failure = PHOENIX__FAILURE__INIT;
	struct ph_error error = { 0 };

	failure.code = -EIO;
	failure.what = failure.where = failure.why = failure.remedy = failure.step =
		(char *)"a\x1b[2J\xff%s";
	rpc_failure_to_error(&failure, &error);
	assert_string_equal(error.what, "a?[2J?%s");
	assert_string_equal(error.where, "a?[2J?%s");
	assert_string_equal(error.why, "a?[2J?%s");
	assert_string_equal(error.remedy, "a?[2J?%s");
	assert_string_equal(error.step, "a?[2J?%s");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_come_to_their_end),
		cmocka_unit_test(failures_arrive_with_all_their_texts),
		cmocka_unit_test(a_handler_without_an_answer_is_named),
		cmocka_unit_test(a_connection_need_not_know_what_is_unsent),
		cmocka_unit_test(inputs_arrive),
		cmocka_unit_test(both_sides_may_call),
		cmocka_unit_test(handlers_see_timeout_and_unsent_bytes),
		cmocka_unit_test(answers_may_come_in_any_order),
		cmocka_unit_test(a_thousand_items_arrive_in_order),
		cmocka_unit_test(a_cancelled_call_ends_at_once),
		cmocka_unit_test(a_cancel_may_overtake_the_handler),
		cmocka_unit_test(a_handler_may_finish_when_it_is_cancelled),
		cmocka_unit_test(deadlines_end_calls_and_tell_the_peer),
		cmocka_unit_test(a_tick_does_not_end_calls_made_meanwhile),
		cmocka_unit_test(a_hang_up_ends_everything),
		cmocka_unit_test(a_cancelled_request_is_told_once),
		cmocka_unit_test(handlers_may_do_anything),
		cmocka_unit_test(freeing_inside_tick_and_cancel_is_safe),
		cmocka_unit_test(all_calls_can_be_given_up),
		cmocka_unit_test(a_handler_may_free_its_side),
		cmocka_unit_test(a_cancelled_handler_may_free_its_side),
		cmocka_unit_test(codes_of_a_peer_become_errnos),
		cmocka_unit_test(errors_survive_the_way_there_and_back),
		cmocka_unit_test(texts_of_a_peer_are_made_printable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
