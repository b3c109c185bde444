/* The watch over the loop: what callbacks take is counted, what the loop waits is not. */
#include "common/loop.h"

#include <unistd.h>

#include "tests/support/cmocka.h"

#define WORK_MS 60
#define WAIT_MS 1500
#define STALL_MS 50

struct seen {
	uint64_t longest_us;
	unsigned int count;
};

static void stalled(void *user, uint64_t microseconds)
{
	struct seen *seen = user;

	seen->count++;
	if (microseconds > seen->longest_us)
		seen->longest_us = microseconds;
}

static void work(uv_timer_t *timer)
{
	usleep(WORK_MS * 1000);
}

static void nothing(uv_timer_t *timer)
{
}

/* Run a timer's callback after a while, with the watch on; what was seen. */
static uint64_t run(uv_timer_cb fired, uint64_t after_ms, struct seen *seen)
{
	struct loop_watch *watch;
	uint64_t longest_us, stalls;
	uv_timer_t timer;
	uv_loop_t loop;

	assert_int_equal(uv_loop_init(&loop), 0);
	watch = loop_watch_new(&loop, STALL_MS, stalled, seen);
	uv_timer_init(&loop, &timer);
	uv_timer_start(&timer, fired, after_ms, 1); /* again, for an iteration that follows it */
	for (int i = 0; i < 4; i++)
		uv_run(&loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(&loop, UV_RUN_DEFAULT); /* ends, although the watch is there */
	longest_us = loop_watch_longest_us(watch);
	stalls = loop_watch_stalls(watch);
	assert_int_equal(stalls, seen->count);
	loop_watch_close(watch);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	return longest_us;
}

static void test_work_is_counted(void **state)
{
	struct seen seen = { 0 };
	uint64_t longest_us = run(work, 1, &seen);

	assert_true(longest_us >= WORK_MS * 1000);
	assert_true(seen.count >= 1);
	assert_int_equal(seen.longest_us, longest_us);
}

static void test_waiting_is_not(void **state)
{
	struct seen seen = { 0 };

	assert_true(run(nothing, WAIT_MS, &seen) < WAIT_MS * 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_work_is_counted),
		cmocka_unit_test(test_waiting_is_not),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
