/*
 * What the event log promises when it is killed or the disk is full: no gap in the seqs, whatever a
 * flush acknowledged is there, and a full disk delays events but does not lose them.
 */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/memory.h"
#include "controller/events/events.h"
#include "tests/support/scratch.h"

#define KILL_ROUNDS 300
#define KILL_WITHIN_US 8000
#define RETENTION 2000
#define BATCH_MAXIMUM 64
#define SKIPPED 77

static int append(struct events *events, const char *message)
{
	Phoenix__Event event = PHOENIX__EVENT__INIT;

	event.type = (char *)"test.happened";
	event.container = (char *)"web1";
	event.message = (char *)message;
	return events_append(events, &event, NULL, NULL);
}

/* Append and flush batches of changing size for ever; acknowledge the last seq of each. */
static void append_for_ever(const char *path, int pipe_fd)
{
	struct events *events = NULL;

	if (events_open(path, RETENTION, &events, NULL) < 0)
		_exit(1);
	for (int batch = 1;; batch = batch % BATCH_MAXIMUM + 1) {
		uint64_t last;

		for (int i = 0; i < batch; i++)
			if (append(events, "killed at any point") < 0)
				_exit(2);
		if (events_flush(events, NULL) < 0)
			_exit(3);
		last = events_last(events);
		if (write(pipe_fd, &last, sizeof(last)) != sizeof(last))
			_exit(4);
	}
}

/* On a busy machine a child needs longer until it writes at all: the time grows until it does, and shrinks again. */
static unsigned int next_within(unsigned int within_us, bool has_written)
{
	if (has_written)
		return within_us * 3 / 4 > KILL_WITHIN_US ? within_us * 3 / 4 : KILL_WITHIN_US;
	return within_us < 50 * KILL_WITHIN_US ? within_us * 2 : within_us;
}

static uint64_t run_and_kill(const char *path, unsigned int *seed, unsigned int within_us,
			     uint64_t acknowledged)
{
	int fds[2], status;
	uint64_t last;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(fds[0]);
		append_for_ever(path, fds[1]);
	}
	close(fds[1]);
	usleep((useconds_t)((unsigned int)rand_r(seed) % within_us));
	assert_int_equal(kill(pid, SIGKILL), 0);
	while (read(fds[0], &last, sizeof(last)) == sizeof(last))
		acknowledged = last;
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status)); /* it did not fail by itself */
	return acknowledged;
}

/* Read all that is kept: every seq is there exactly once, in order, up to the last one. */
static uint64_t check_log(const char *path, uint64_t acknowledged)
{
	struct events *events = NULL;
	uint64_t expected, last;
	bool caught_up = false;

	assert_int_equal(events_open(path, RETENTION, &events, NULL), 0);
	last = events_last(events);
	expected = events_oldest(events);
	assert_in_range(last, acknowledged, acknowledged + BATCH_MAXIMUM);
	assert_true(last < RETENTION || last - expected + 1 >= RETENTION);
	while (!caught_up) {
		EVENTS_AUTO_BATCH struct events_batch batch = { 0 };

		assert_int_equal(events_read(events, expected, "", 500, &batch, NULL), 0);
		for (size_t i = 0; i < batch.count; i++)
			assert_int_equal(batch.events[i]->seq, expected++);
		caught_up = batch.caught_up;
	}
	assert_int_equal(expected, last + 1);
	events_close(events);
	return last;
}

static void flushed_events_survive_kill(void **state)
{
	struct scratch scratch;
	char path[320];
	unsigned int seed = 20261123, within_us = KILL_WITHIN_US;
	uint64_t last = 0, started = clock_monotonic_ms(), writing = 0;

	scratch_init(&scratch);
	strcpy(path, scratch_file(&scratch, "events.db"));
	for (int round = 0; round < KILL_ROUNDS; round++) {
		uint64_t before = last;

		last = check_log(path, run_and_kill(path, &seed, within_us, last));
		writing += last > before;
		within_us = next_within(within_us, last > before);
	}
	print_message("# %d kills, %" PRIu64 " events, %" PRIu64 " rounds with events, %" PRIu64
		      " ms\n",
		      KILL_ROUNDS, last, writing, clock_monotonic_ms() - started);
	assert_true(writing > KILL_ROUNDS / 4); /* else nothing was tested */
	assert_true(last > 2 * RETENTION);      /* so that the trimming was killed as well */
	scratch_fini(&scratch);
}

/* Fill the disk by another file, append, make room: everything is there, in order. */
static int outlast_full_disk(const char *directory)
{
	EVENTS_AUTO_BATCH struct events_batch batch = { 0 };
	struct ph_error error = { 0 };
	struct events *events = NULL;
	char path[320], filler[320];
	static char block[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/events.db", directory);
	snprintf(filler, sizeof(filler), "%s/filler", directory);
	if (events_open(path, 0, &events, NULL) < 0 || append(events, "before") < 0 ||
	    events_flush(events, NULL) < 0)
		return 10;
	file = fopen(filler, "w");
	while (fwrite(block, 1, sizeof(block), file) == sizeof(block))
		;
	fclose(file);
	for (int i = 0; i < 1000; i++)
		if (append(events, "while the disk is full") < 0)
			return 11;
	if (events_flush(events, &error) != -ENOSPC || strcmp(error.where, path) != 0)
		return 12;
	if (events_last(events) != 1 || events_pending(events) != 1000)
		return 13;
	unlink(filler);
	if (append(events, "after") < 0 || events_flush(events, NULL) < 0)
		return 14;
	if (events_read(events, 1, "", 2000, &batch, NULL) < 0 || batch.count != 1002)
		return 15;
	for (size_t i = 0; i < batch.count; i++)
		if (batch.events[i]->seq != i + 1)
			return 16;
	events_close(events);
	return 0;
}

static void full_disk_child(const char *directory)
{
	if (geteuid() != 0 && unshare(CLONE_NEWUSER) < 0)
		_exit(SKIPPED);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", directory, "tmpfs", 0, "size=4m") < 0)
		_exit(SKIPPED);
	_exit(outlast_full_disk(directory));
}

static void a_full_disk_loses_nothing(void **state)
{
	struct scratch scratch;
	int status;
	pid_t pid;

	scratch_init(&scratch);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		full_disk_child(scratch.path);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	scratch_fini(&scratch);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == SKIPPED) {
		print_message("# no mount namespace here\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Figures for the reader of the test's output; a benchmark's job is to judge them. */
static void speed_is_printed(void **state)
{
	const uint64_t count = 200000;
	struct scratch scratch;
	struct events *events = NULL;
	uint64_t started, took;

	scratch_init(&scratch);
	assert_int_equal(events_open(scratch_file(&scratch, "events.db"), 0, &events, NULL), 0);
	started = clock_monotonic_us();
	for (uint64_t i = 0; i < count; i++) {
		assert_int_equal(append(events, "a message of the usual length, more or less"), 0);
		if (events_pending(events) == EVENTS_BATCH)
			assert_int_equal(events_flush(events, NULL), 0);
	}
	assert_int_equal(events_flush(events, NULL), 0);
	took = clock_monotonic_us() - started;
	assert_int_equal(events_last(events), count);
	print_message("# %" PRIu64 " events in batches of %d: %" PRIu64 " ms, %" PRIu64 "/s\n",
		      count, EVENTS_BATCH, took / 1000, count * 1000000 / took);
	events_close(events);
	scratch_fini(&scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flushed_events_survive_kill),
		cmocka_unit_test(a_full_disk_loses_nothing),
		cmocka_unit_test(speed_is_printed),
	};

	return cmocka_run_group_tests_name("events_crash", tests, NULL, NULL);
}
