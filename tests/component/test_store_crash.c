/*
 * What the store promises when it is killed or the disk is full. A child commits and acknowledges
 * through a pipe; it is killed at a random point; whatever was acknowledged must be there, whole
 * transactions only, and the file must be sound.
 */
#include <errno.h>
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

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "controller/store/store.h"
#include "tests/support/scratch.h"

#define KILL_ROUNDS 300
#define KILL_WITHIN_US 8000
#define SKIPPED 77

/*
 * Commit for ever: "count" and one of ten "item" keys carry the same number, so a torn transaction
 * would show; every number is acknowledged after its commit.
 */
static void commit_for_ever(const char *path, int pipe_fd)
{
	STORE_AUTO_ENTRY struct store_entry entry = { 0 };
	struct store *store = NULL;
	uint64_t number = 0;

	if (store_open(path, &store, NULL) < 0)
		_exit(1);
	if (store_get(store, "count", &entry, NULL) == 0)
		memcpy(&number, entry.value, sizeof(number));
	for (;;) {
		char key[16];

		number++;
		snprintf(key, sizeof(key), "item/%d", (int)(number % 10));
		struct store_operation operations[] = {
			{ STORE_PUT, key, &number, sizeof(number) },
			{ STORE_PUT, "count", &number, sizeof(number) },
		};
		if (store_commit(store, NULL, 0, operations, 2, NULL, NULL) != 0)
			_exit(2);
		if (write(pipe_fd, &number, sizeof(number)) != sizeof(number))
			_exit(3);
	}
}

/* On a busy machine a child needs longer until it writes at all: the time grows until it does, and shrinks again. */
static unsigned int next_within(unsigned int within_us, bool has_written)
{
	if (has_written)
		return within_us * 3 / 4 > KILL_WITHIN_US ? within_us * 3 / 4 : KILL_WITHIN_US;
	return within_us < 50 * KILL_WITHIN_US ? within_us * 2 : within_us;
}

/* Start the child, kill it after a while, and return the last number it acknowledged. */
static uint64_t run_and_kill(const char *path, unsigned int *seed, unsigned int within_us,
			     uint64_t acknowledged)
{
	int fds[2], status;
	pid_t pid;
	uint64_t number;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(fds[0]);
		commit_for_ever(path, fds[1]);
	}
	close(fds[1]);
	usleep((useconds_t)((unsigned int)rand_r(seed) % within_us));
	assert_int_equal(kill(pid, SIGKILL), 0);
	while (read(fds[0], &number, sizeof(number)) == sizeof(number))
		acknowledged = number;
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status)); /* it did not fail by itself */
	return acknowledged;
}

/* Nothing acknowledged is missing, at most one commit per kill is ahead of it, none is torn. */
static uint64_t check_store(const char *path, uint64_t acknowledged, unsigned int kills)
{
	STORE_AUTO_ENTRY struct store_entry count = { 0 }, item = { 0 };
	struct store *store = NULL;
	uint64_t number = 0, item_number = 0;
	char key[16];

	assert_int_equal(store_open(path, &store, NULL), 0); /* checks the file's integrity */
	if (store_get(store, "count", &count, NULL) == 0) {
		memcpy(&number, count.value, sizeof(number));
		snprintf(key, sizeof(key), "item/%d", (int)(number % 10));
		assert_int_equal(store_get(store, key, &item, NULL), 0);
		memcpy(&item_number, item.value, sizeof(item_number));
		assert_int_equal(item.mod_revision, count.mod_revision);
	}
	assert_int_equal(number, item_number);
	assert_int_equal(store_revision(store), number);
	assert_in_range(number, acknowledged, acknowledged + kills);
	store_close(store);
	return number;
}

static void acknowledged_commits_survive_kill(void **state)
{
	struct scratch scratch;
	char path[320];
	unsigned int seed = 20261123, within_us = KILL_WITHIN_US;
	uint64_t number = 0, started = clock_monotonic_ms(), committing = 0;

	scratch_init(&scratch);
	strcpy(path, scratch_file(&scratch, "state.db"));
	for (int round = 0; round < KILL_ROUNDS; round++) {
		uint64_t before = number;

		number = run_and_kill(path, &seed, within_us, number);
		/* every other round the next child itself recovers what was left behind */
		if (round % 2)
			number = check_store(path, number, 2);
		committing += number > before;
		within_us = next_within(within_us, number > before);
	}
	number = check_store(path, number, 0);
	print_message("# %d kills, %llu commits, %llu rounds with commits, %llu ms\n", KILL_ROUNDS,
		      (unsigned long long)number, (unsigned long long)committing,
		      (unsigned long long)(clock_monotonic_ms() - started));
	assert_true(committing > KILL_ROUNDS / 4); /* else nothing was tested */
	scratch_fini(&scratch);
}

/* Put until the disk is full; then check that nothing but the refused put is affected. */
static int fill_disk(const char *path)
{
	PH_AUTO_FREE char *value = ph_alloc(STORE_VALUE_MAXIMUM);
	struct ph_error error = { 0 };
	struct store *store = NULL;
	uint64_t revision = 0;
	int ret, count = 0;

	if (store_open(path, &store, NULL) < 0)
		return 10;
	do {
		char key[16];

		snprintf(key, sizeof(key), "key/%d", count++);
		ret = store_put(store, key, value, STORE_VALUE_MAXIMUM, &revision, &error);
	} while (ret == 0 && count < 1000);
	if (ret != -ENOSPC || strcmp(error.where, path) != 0)
		return 11;
	if (!strstr(error.why, "disk is full") || !strstr(error.remedy, "free space"))
		return 12;
	if (store_revision(store) != (uint64_t)count - 1 || count < 3)
		return 13;
	store_close(store);
	return store_open(path, &store, NULL) == 0 && store_revision(store) == (uint64_t)count - 1 ?
		       0 :
		       14;
}

/* In a mount namespace of its own, on a file system of 4 MiB. */
static void fill_disk_child(const char *directory)
{
	char path[320];

	if (geteuid() != 0 && unshare(CLONE_NEWUSER) < 0)
		_exit(SKIPPED);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", directory, "tmpfs", 0, "size=4m") < 0)
		_exit(SKIPPED);
	snprintf(path, sizeof(path), "%s/state.db", directory);
	_exit(fill_disk(path));
}

static void full_disk_is_an_error_and_no_loss(void **state)
{
	struct scratch scratch;
	int status;
	pid_t pid;

	scratch_init(&scratch);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		fill_disk_child(scratch.path);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	scratch_fini(&scratch);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == SKIPPED) {
		print_message("# no mount namespace here\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(acknowledged_commits_survive_kill),
		cmocka_unit_test(full_disk_is_an_error_and_no_loss),
	};

	return cmocka_run_group_tests_name("store_crash", tests, NULL, NULL);
}
