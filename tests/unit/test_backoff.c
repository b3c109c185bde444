/* How long an agent waits between dials: each wait of a run of failures, with least and most of the jitter. */
#include "agent/backoff.h"

#include "common/cleanup.h"
#include "tests/support/cmocka.h"

struct wait_case {
	bool is_refused;
	uint32_t least, most;
};

static const struct wait_case waits[] = {
	/* the controller is away */
	{ false, 20, 30 },
	{ false, 40, 60 },
	{ false, 80, 120 },
	{ false, 160, 240 },
	{ false, 320, 480 },
	{ false, 640, 960 },
	{ false, 1000, 1500 },
	{ false, 1000, 1500 },
	/* somebody without the key is there, time and again */
	{ true, 1000, 1500 },
	{ true, 2000, 3000 },
	{ true, 4000, 6000 },
	{ true, 8000, 12000 },
	{ true, 16000, 24000 },
	{ true, 32000, 48000 },
	{ true, 60000, 90000 },
	{ true, 60000, 90000 },
	/* he is away: that is another thing */
	{ false, 1000, 1500 },
	{ true, 60000, 90000 },
};

static void test_waits(void **state)
{
	struct backoff least = { 0 }, most = { 0 };

	for (size_t i = 0; i < ARRAY_LENGTH(waits); i++) {
		assert_int_equal(backoff_next(&least, waits[i].is_refused, 0), waits[i].least);
		assert_int_equal(backoff_next(&most, waits[i].is_refused, UINT16_MAX), waits[i].most);
	}
}

static void test_session_ends_a_run(void **state)
{
	struct backoff backoff = { 0 };

	for (size_t i = 0; i < 20; i++)
		backoff_next(&backoff, i % 2, 0);
	backoff_reset(&backoff);
	assert_int_equal(backoff_next(&backoff, false, 0), BACKOFF_FIRST_MS);
	assert_int_equal(backoff_next(&backoff, true, 0), BACKOFF_REFUSED_FIRST_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_session_ends_a_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
