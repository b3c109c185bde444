/* Budgets: nothing a peer sends takes more than was granted, and every shortage is survived. */
#include "common/budget.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "proto/agent.pb-c.h"
#include "proto/model.pb-c.h"
#include "tests/support/cmocka.h"

static const ProtobufCMessageDescriptor *const publish = &phoenix__publish_request__descriptor;

/* A PublishRequest of count empty events: two bytes each, about a hundred and fifty decoded. */
static uint8_t *empty_events(size_t count, size_t *ret_length)
{
	uint8_t *bytes = ph_alloc(2 * count);

	for (size_t i = 0; i < count; i++)
		bytes[2 * i] = 0x0a;
	*ret_length = 2 * count;
	return bytes;
}

/* A report with strings, sub-messages and repeated fields; free the bytes. */
static uint8_t *packed_report(size_t *ret_length)
{
	Phoenix__VerifyReport report = PHOENIX__VERIFY_REPORT__INIT;
	Phoenix__Check checks[20], *check_list[20];
	Phoenix__Pair facts[30], *fact_list[30];
	uint8_t *bytes;

	for (size_t i = 0; i < ARRAY_LENGTH(checks); i++) {
		phoenix__check__init(&checks[i]);
		checks[i].id = (char *)"storage.whiteout";
		checks[i].status = PHOENIX__CHECK__STATUS__FAIL;
		checks[i].remedy = (char *)"mount it elsewhere";
		check_list[i] = &checks[i];
	}
	for (size_t i = 0; i < ARRAY_LENGTH(facts); i++) {
		phoenix__pair__init(&facts[i]);
		facts[i].key = (char *)"kernel";
		facts[i].value = (char *)"6.1";
		fact_list[i] = &facts[i];
	}
	report.container = (char *)"web1";
	report.checks = check_list;
	report.n_checks = ARRAY_LENGTH(checks);
	report.facts = fact_list;
	report.n_facts = ARRAY_LENGTH(facts);
	bytes = ph_alloc(phoenix__verify_report__get_packed_size(&report));
	*ret_length = phoenix__verify_report__pack(&report, bytes);
	return bytes;
}

struct grant_case {
	const char *name;
	size_t events;
	size_t bytes, allocations;
	bool is_decoded;
};

static const struct grant_case grant_cases[] = {
	{ "no event needs one allocation", 0, 4096, 1, true },
	{ "no allocation granted", 0, 4096, 0, false },
	{ "no byte granted", 0, 0, 8, false },
	{ "ten events", 10, 16384, 20, true },
	{ "ten events, too few allocations", 10, 16384, 5, false },
	{ "ten events, too few bytes", 10, 1024, 20, false },
	{ "a thousand events in the default budget", 1000, BUDGET_BYTES, BUDGET_ALLOCATIONS, true },
	{ "64 kB of empty events", 32000, BUDGET_BYTES, BUDGET_ALLOCATIONS, false },
	{ "64 kB of empty events, bytes bite first", 32000, BUDGET_BYTES, SIZE_MAX, false },
	{ "64 kB of empty events, allocations bite first", 32000, SIZE_MAX, BUDGET_ALLOCATIONS,
	  false },
};

static void grants_hold(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(grant_cases); i++) {
		const struct grant_case *grant = &grant_cases[i];
		size_t length;
		uint8_t *bytes = empty_events(grant->events, &length);
		struct budget budget;
		ProtobufCMessage *message;

		budget_init(&budget, grant->bytes, grant->allocations);
		message = budget_unpack(&budget, publish, bytes, length);
		if (!message == grant->is_decoded)
			fail_msg("%s: %s", grant->name, message ? "decoded" : "refused");
		if (message)
			assert_int_equal(((Phoenix__PublishRequest *)message)->n_events,
					 grant->events);
		budget_fini(&budget);
		free(bytes);
	}
}

static void every_shortage_of_allocations_is_survived(void **state)
{
	size_t length, allocations = 0;
	uint8_t *bytes = packed_report(&length);
	ProtobufCMessage *message = NULL;

	for (; !message; allocations++) {
		struct budget budget;

		budget_init(&budget, BUDGET_BYTES, allocations);
		message = budget_unpack(&budget, &phoenix__verify_report__descriptor, bytes,
					length);
		if (message)
			assert_int_equal(((Phoenix__VerifyReport *)message)->n_facts, 30);
		budget_fini(&budget);
		assert_null(budget.blocks);
		assert_true(allocations < BUDGET_ALLOCATIONS);
	}
	assert_true(allocations > 100); /* messages and strings were counted one by one */
	free(bytes);
}

static void every_shortage_of_bytes_is_survived(void **state)
{
	size_t length, granted = 0;
	uint8_t *bytes = packed_report(&length);
	ProtobufCMessage *message = NULL;

	for (; !message; granted += 61) {
		struct budget budget;

		budget_init(&budget, granted, BUDGET_ALLOCATIONS);
		message = budget_unpack(&budget, &phoenix__verify_report__descriptor, bytes,
					length);
		assert_true(budget.bytes_left <= granted);
		budget_fini(&budget);
		assert_true(granted < BUDGET_BYTES);
	}
	free(bytes);
}

/* More members than protobuf-c's own stack holds take scratch tables. */
static void scratch_memory_is_given_back(void **state)
{
	size_t length, before;
	uint8_t *bytes = packed_report(&length);
	struct budget budget;
	void *table;

	budget_init(&budget, BUDGET_BYTES, BUDGET_ALLOCATIONS);
	assert_non_null(budget_unpack(&budget, &phoenix__verify_report__descriptor, bytes, length));
	before = budget.bytes_left;
	table = budget.allocator.alloc(&budget, 4096);
	assert_true(budget.bytes_left <= before - 4096);
	memset(table, 1, 4096);
	budget.allocator.free(&budget, table);
	assert_int_equal(budget.bytes_left, before);
	assert_true(budget.allocations_left < BUDGET_ALLOCATIONS);
	budget_fini(&budget);
	assert_null(budget.blocks);
	free(bytes);
}

/* What a peer must not get for nothing: chunks are charged whole, and as long as the message lives. */
static void small_allocations_are_charged(void **state)
{
	static const size_t granted = 64 * 1024;
	size_t taken = 0;
	struct budget budget;
	char *small;

	budget_init(&budget, granted, SIZE_MAX);
	for (; (small = budget.allocator.alloc(&budget, 33)); taken += 33) {
		assert_int_equal((uintptr_t)small % alignof(max_align_t), 0);
		memset(small, 0x55, 33);
		budget.allocator.free(&budget, small);
	}
	assert_true(taken <= granted);
	assert_true(taken > granted / 3); /* an arena, not a block each */
	while (budget.allocator.alloc(&budget, 1)) /* what was too little for 33 */
		;
	assert_null(budget.allocator.alloc(&budget, 33));
	budget_fini(&budget);
	assert_null(budget.blocks);
}

/* Neighbours in a chunk keep what is theirs. */
static void small_allocations_do_not_overlap(void **state)
{
	static const size_t sizes[] = { 0, 1, 15, 16, 17, 100, 448, 464, 465, 479, 480, 481, 1000, 3 };
	unsigned char *taken[8 * ARRAY_LENGTH(sizes)];
	struct budget budget;

	budget_init(&budget, BUDGET_BYTES, BUDGET_ALLOCATIONS);
	for (size_t i = 0; i < ARRAY_LENGTH(taken); i++) {
		taken[i] = budget.allocator.alloc(&budget, sizes[i % ARRAY_LENGTH(sizes)]);
		assert_non_null(taken[i]);
		memset(taken[i], (int)i, sizes[i % ARRAY_LENGTH(sizes)]);
	}
	for (size_t i = 0; i < ARRAY_LENGTH(taken); i++)
		for (size_t at = 0; at < sizes[i % ARRAY_LENGTH(sizes)]; at++)
			assert_int_equal(taken[i][at], i);
	budget_fini(&budget);
}

static void truncated_messages_are_survived(void **state)
{
	size_t length;
	uint8_t *bytes = packed_report(&length);

	for (size_t cut = 0; cut < length; cut++) {
		uint8_t *copy = malloc(cut ? cut : 1); /* exact, so that an overread is seen */
		struct budget budget;

		memcpy(copy, bytes, cut);
		budget_init(&budget, BUDGET_BYTES, BUDGET_ALLOCATIONS);
		budget_unpack(&budget, &phoenix__verify_report__descriptor, copy, cut);
		budget_fini(&budget);
		free(copy);
	}
	free(bytes);
}

static void an_impossible_size_is_refused(void **state)
{
	struct budget budget;

	budget_init(&budget, SIZE_MAX, SIZE_MAX);
	assert_null(budget.allocator.alloc(&budget, SIZE_MAX));
	assert_null(budget.allocator.alloc(&budget, SIZE_MAX - 16));
	budget.allocator.free(&budget, NULL);
	budget_fini(&budget);
	budget_fini(&budget);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grants_hold),
		cmocka_unit_test(every_shortage_of_allocations_is_survived),
		cmocka_unit_test(every_shortage_of_bytes_is_survived),
		cmocka_unit_test(scratch_memory_is_given_back),
		cmocka_unit_test(small_allocations_are_charged),
		cmocka_unit_test(small_allocations_do_not_overlap),
		cmocka_unit_test(truncated_messages_are_survived),
		cmocka_unit_test(an_impossible_size_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
