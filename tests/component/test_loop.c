/* The watch over the loop: what callbacks take is counted, what the loop waits is not. */
#include "common/loop.h"

#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/support/cmocka.h"

#define WORK_MS 60
#define WAIT_MS 1500
#define STALL_MS 50

struct seen {
	uint64_t longest_us, processor_us, waits;
	unsigned int count;
};

static void stalled(void *user, const struct loop_stall *stall)
{
	struct seen *seen = user;

	seen->count++;
	if (stall->took_us > seen->longest_us)
		seen->longest_us = stall->took_us;
	if (stall->processor_us > seen->processor_us)
		seen->processor_us = stall->processor_us;
	seen->waits += stall->waits;
}

static void work(uv_timer_t *timer)
{
	usleep(WORK_MS * 1000);
}

static void compute(uv_timer_t *timer)
{
	struct rusage usage;
	uint64_t begin_us;

	getrusage(RUSAGE_THREAD, &usage);
	begin_us = (uint64_t)usage.ru_utime.tv_sec * 1000000 + (uint64_t)usage.ru_utime.tv_usec;
	do
		getrusage(RUSAGE_THREAD, &usage);
	while ((uint64_t)usage.ru_utime.tv_sec * 1000000 + (uint64_t)usage.ru_utime.tv_usec <
	       begin_us + WORK_MS * 1000);
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

/* Whether it computed or waited is told apart, however busy the machine is. */
static void test_where_the_time_went(void **state)
{
	struct seen slept = { 0 }, computed = { 0 };
	struct loop_stall stall = { 586400, 12900, 3, 4 };
	char text[160];

	run(work, 1, &slept);
	assert_true(slept.waits >= 1);
	assert_true(slept.processor_us < slept.longest_us / 2);
	run(compute, 1, &computed);
	assert_true(computed.processor_us >= WORK_MS * 1000);
	loop_stall_format(&stall, text, sizeof(text));
	assert_string_equal(text, "nobody was served for 586 ms: 12 ms of them on a processor, "
				  "waited 3 times, preempted 4 times");
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
		cmocka_unit_test(test_where_the_time_went),
		cmocka_unit_test(test_waiting_is_not),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
