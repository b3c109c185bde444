/* A side has no memory for what the other one sends: that is not the sender's fault, and is not called so. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/budget.h"
#include "tests/support/cmocka.h"
#include "tests/support/faults.h"
#include "tests/support/rpc_pair.h"

#define LARGE 700 /* bytes of text: more than a chunk gives */

static void fill(char text[LARGE])
{
	memset(text, 'x', LARGE - 1);
	text[LARGE - 1] = '\0';
}

static void call_with_large_input(struct pair *pair, struct outcome *outcome)
{
	Phoenix__VerifyRequest request = PHOENIX__VERIFY_REQUEST__INIT;
	char text[LARGE];

	fill(text);
	request.operation = text;
	assert_int_equal(rpc_call(pair->caller.rpc, &phoenix__agent__descriptor, "Verify",
				  &request.base, 0, NOW_MS, &streamed, outcome, NULL), 0);
}

/* Hand over the one frame that a side has sent, the at-th malloc of decoding it failing. */
static int receive_without(unsigned long at, struct side *from, struct side *to, struct ph_error *error)
{
	const uint8_t *bytes = (const uint8_t *)str_text(&from->sent);
	size_t length = from->sent.length;
	int r;

	faults_arm(FAULTS_MALLOC, at, 0);
	r = rpc_receive(to->rpc, bytes + 4, length - 4, error);
	faults_disarm();
	assert_int_equal(faults_failed(), 1);
	str_fini(&from->sent);
	return r;
}

/* Nobody can tell whose call it was: the connection ends, and not for a broken protocol. */
static void an_envelope(void **state)
{
	struct outcome outcome = { 0 };
	struct ph_error error = { 0 };
	struct pair pair;

	pair_init(&pair);
	call_with_large_input(&pair, &outcome);
	assert_int_equal(receive_without(1, &pair.caller, &pair.server, &error), -ENOMEM);
	assert_non_null(strstr(error.why, "no memory"));
	assert_int_equal(pair.server.served, 0);
	pair_fini(&pair);
	outcome_expect(&outcome, "ECONNRESET");
}

/* The caller is told to try again, and the next call is served. */
static void a_request(void **state)
{
	struct outcome outcome = { 0 }, next = { 0 };
	struct ph_error error = { 0 };
	struct pair pair;

	pair_init(&pair);
	pair.server.behaviour = END;
	call_with_large_input(&pair, &outcome);
	assert_int_equal(receive_without(2, &pair.caller, &pair.server, &error), 0);
	pump(&pair);
	assert_int_equal(pair.server.served, 0);
	assert_int_equal(outcome.error.code, -ENOMEM);
	assert_string_equal(outcome.error.remedy, "Try again.");
	outcome_expect(&outcome, "ENOMEM");
	call_with_large_input(&pair, &next);
	pump(&pair);
	outcome_expect(&next, "end");
	pair_fini(&pair);
}

static void an_answer(void **state)
{
	struct outcome outcome = { 0 };
	struct ph_error error = { 0 };
	struct pair pair;
	char text[LARGE];

	fill(text);
	pair_init(&pair);
	pair.server.behaviour = KEEP;
	call_verify(&pair, &outcome, 0);
	pump(&pair);
	send_item(pair.server.closure, pair.server.kept[0], text);
	assert_int_equal(receive_without(2, &pair.server, &pair.caller, &error), 0);
	outcome_expect(&outcome, "ENOMEM");
	pump(&pair);
	pair_fini(&pair);
}

/* What exceeds its grant is no matter of memory, also where memory was short before. */
static void a_budget_that_is_exceeded(void **state)
{
	Phoenix__VerifyRequest request = PHOENIX__VERIFY_REQUEST__INIT;
	struct budget budget;
	uint8_t bytes[2 * LARGE];
	char text[LARGE];
	size_t length;

	fill(text);
	request.operation = text;
	length = phoenix__verify_request__pack(&request, bytes);
	for (unsigned long at = 1; at <= 2; at++) {
		budget_init(&budget, at == 1 ? BUDGET_BYTES : BUDGET_FIRST + LARGE / 2, BUDGET_ALLOCATIONS);
		faults_arm(FAULTS_MALLOC, at, 0);
		assert_null(budget_unpack(&budget, &phoenix__verify_request__descriptor, bytes, length));
		faults_disarm();
		assert_int_equal(budget_lacks_memory(&budget), at == 1);
		budget_fini(&budget);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_envelope),
		cmocka_unit_test(a_request),
		cmocka_unit_test(an_answer),
		cmocka_unit_test(a_budget_that_is_exceeded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
