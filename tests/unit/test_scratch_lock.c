/*
 * One verify at a time on a data-root: the next waits for one that is still there, such as that of an
 * agent that was killed, but not for ever.
 */
#include "tests/support/cmocka.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/storage/scratch.h"
#include "common/clock.h"

#define LONG_MS 20000
#define HELD_US 200000

static const struct lock_case {
	const char *name;
	bool is_held;
	bool ends; /* after HELD_US */
	uint32_t patience_ms;
	int expected; /* 0: it is had */
	uint64_t least_ms, most_ms;
} cases[] = {
	{ "nobody has it", false, false, 0, 0, 0, LONG_MS / 2 },
	{ "somebody has it, no patience", true, false, 0, -EBUSY, 0, LONG_MS / 2 },
	{ "somebody has it for longer", true, false, 100, -EBUSY, 100, LONG_MS / 2 },
	{ "somebody ends in time", true, true, LONG_MS, 0, 1, LONG_MS / 2 },
};

/* A process that holds the lock when this returns, until it ends or is killed. */
static pid_t hold(const char *directory, bool ends)
{
	int ready[2];
	char byte;
	pid_t child;

	assert_int_equal(pipe(ready), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct ph_error error;

		if (scratch_lock(directory, 0, &error) < 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		if (!ends)
			pause();
		usleep(HELD_US);
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return child;
}

static void a_lock_is_waited_for_within_the_patience(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct lock_case *row = &cases[i];
		char directory[] = "/tmp/phoenix-lock-XXXXXX";
		struct ph_error error = { 0 };
		pid_t holder = 0;
		uint64_t began, took;
		int lock;

		assert_non_null(mkdtemp(directory));
		if (row->is_held)
			holder = hold(directory, row->ends);
		began = clock_monotonic_ms();
		lock = scratch_lock(directory, row->patience_ms, &error);
		took = clock_monotonic_ms() - began;
		if ((lock < 0 ? lock : 0) != row->expected || took < row->least_ms ||
		    took > row->most_ms)
			fail_msg("%s: %d after %lu ms", row->name, lock, (unsigned long)took);
		if (lock < 0)
			assert_non_null(strstr(error.remedy, "wait until it has ended"));
		if (lock >= 0)
			close(lock);
		if (holder > 0) {
			kill(holder, SIGKILL);
			waitpid(holder, NULL, 0);
		}
		rmdir(directory);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lock_is_waited_for_within_the_patience),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
