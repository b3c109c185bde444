/* Buckets: a table of what is taken when, and what is left of it. */
#include "common/rate.h"

#include <stdlib.h>

#include "common/cleanup.h"
#include "tests/support/cmocka.h"

struct take {
	uint64_t at_ms;
	uint32_t count, taken;
};

struct take_case {
	const char *name;
	uint32_t amount, period_ms, burst;
	struct take takes[6]; /* up to the first without count */
};

#define START 1000

static const struct take_case take_cases[] = {
	{ "a burst, then nothing", 10, 1000, 5, { { 1000, 3, 3 }, { 1000, 3, 2 }, { 1000, 1, 0 } } },
	{ "it fills at its rate",
	  10,
	  1000,
	  5,
	  { { 1000, 5, 5 }, { 1099, 1, 0 }, { 1100, 1, 1 }, { 1200, 5, 1 }, { 1500, 5, 3 } } },
	{ "and no further than the burst", 10, 1000, 5, { { 1000, 5, 5 }, { 99000, 99, 5 } } },
	{ "less than one a second",
	  6,
	  60000,
	  1,
	  { { 1000, 1, 1 }, { 10999, 1, 0 }, { 11000, 1, 1 }, { 11001, 1, 0 } } },
	{ "parts are kept",
	  3,
	  1000,
	  9,
	  { { 1000, 9, 9 }, { 1111, 1, 0 }, { 1222, 1, 0 }, { 1334, 1, 1 } } },
	{ "a clock that goes back gives nothing",
	  10,
	  1000,
	  5,
	  { { 1000, 5, 5 }, { 10, 5, 0 }, { 110, 5, 1 } } },
	{ "years pass",
	  UINT32_MAX,
	  1,
	  UINT32_MAX,
	  { { 1000, UINT32_MAX, UINT32_MAX }, { UINT64_MAX, UINT32_MAX, UINT32_MAX } } },
};

static void takes_what_there_is(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(take_cases); i++) {
		const struct take_case *each = &take_cases[i];
		struct rate rate;

		print_message("# %s\n", each->name);
		rate_init(&rate, each->amount, each->period_ms, each->burst, START);
		for (size_t j = 0; j < ARRAY_LENGTH(each->takes) && each->takes[j].count; j++)
			assert_int_equal(rate_take_some(&rate, each->takes[j].count,
							each->takes[j].at_ms),
					 each->takes[j].taken);
	}
}

static void debt_has_to_be_waited_for(void **state)
{
	struct rate rate;

	rate_init(&rate, 100, 1000, 10, START);
	assert_int_equal(rate_spend(&rate, 10, START), 0);
	assert_int_equal(rate_spend(&rate, 1, START), 10);
	assert_int_equal(rate_spend(&rate, 20, START + 5), 205);
	assert_false(rate_take(&rate, START + 209));
	assert_false(rate_take(&rate, START + 210)); /* out of debt is not yet one more */
	assert_true(rate_take(&rate, START + 220));
}

/* Whatever the times, no more than burst + time x rate is ever taken. */
static void never_above_the_rate(void **state)
{
	unsigned int seed = 28;

	for (int round = 0; round < 200; round++) {
		uint32_t amount = 1 + (uint32_t)rand_r(&seed) % 1000;
		uint32_t period = 1 + (uint32_t)rand_r(&seed) % 60000;
		uint32_t burst = 1 + (uint32_t)rand_r(&seed) % 1000;
		uint64_t now = START, taken = 0;
		struct rate rate;

		rate_init(&rate, amount, period, burst, now);
		for (int i = 0; i < 500; i++) {
			now += (uint64_t)rand_r(&seed) % 100;
			taken += rate_take_some(&rate, (uint32_t)rand_r(&seed) % 50, now);
			assert_true(taken * period <=
				    (uint64_t)burst * period + (now - START) * amount);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_there_is),
		cmocka_unit_test(debt_has_to_be_waited_for),
		cmocka_unit_test(never_above_the_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
