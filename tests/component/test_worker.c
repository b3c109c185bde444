/*
 * Workers: every way a forked child can end, and what it may not take along. The test process is a
 * subreaper, so that children of dead children come to it and can be waited for by pid.
 */
#include "common/worker.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/frame.h"
#include "common/memory.h"
#include "common/str.h"
#include "proto/model.pb-c.h"
#include "tests/support/cmocka.h"
#include "tests/support/loop.h"
#include "tests/support/scratch.h"

#define MESSAGES 5000
#define IN_PARALLEL 100

enum reaction {
	NOTHING,
	CANCEL,
	ABANDON,
};

struct outcome {
	struct worker *worker;
	int messages;
	int finished;
	bool in_order;
	uint32_t index; /* of the last message */
	uint64_t number;
	char text[4096];
	enum reaction reaction; /* to a message */
	struct ph_error error;
};

static void outcome_message(void *user, const ProtobufCMessage *message)
{
	const Phoenix__Progress *progress = (const Phoenix__Progress *)message;
	struct outcome *outcome = user;

	outcome->in_order = outcome->in_order && (int)progress->index == outcome->messages;
	outcome->messages++;
	outcome->index = progress->index;
	outcome->number = progress->duration_ms;
	text_copy(outcome->text, sizeof(outcome->text), progress->message);
	if (outcome->reaction == CANCEL)
		worker_cancel(outcome->worker);
	if (outcome->reaction == ABANDON)
		worker_abandon(outcome->worker);
}

static void outcome_finished(void *user, const struct ph_error *error)
{
	struct outcome *outcome = user;

	outcome->finished++;
	error_clear(&outcome->error);
	if (error)
		outcome->error = *error;
}

static int start(struct test_loop *test, worker_fn run, void *data, uint32_t deadline_ms,
		 struct outcome *outcome)
{
	struct worker_config config = {
		.run = run,
		.data = data,
		.deadline_ms = deadline_ms,
		.message_type = &phoenix__progress__descriptor,
		.message = outcome_message,
		.finished = outcome_finished,
		.user = outcome,
	};
	enum reaction reaction = outcome->reaction;

	memset(outcome, 0, sizeof(*outcome));
	outcome->reaction = reaction;
	outcome->in_order = true;
	return worker_start(&test->loop, &config, &outcome->worker);
}

/* Neither descriptors nor children may be left. */
static void end_clean(struct test_loop *test)
{
	assert_int_equal(test_loop_fini(test), 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

/* --- jobs --- */

static void tell(struct worker_output *output, uint32_t index, uint64_t number, const char *text)
{
	Phoenix__Progress progress = PHOENIX__PROGRESS__INIT;

	progress.index = index;
	progress.duration_ms = number;
	progress.message = (char *)text;
	worker_send(output, &progress.base);
}

/* For as long as a test may take: nothing stays on the machine when one fails half-way. */
static void wait_for_ever(void)
{
	alarm(TEST_LOOP_SECONDS);
	for (;;)
		pause();
}

static int job_success(struct worker_output *output, void *data, struct ph_error *error)
{
	for (uint32_t i = 0; i < MESSAGES; i++)
		tell(output, i, 0, "a line of progress");
	return 0;
}

static int job_silent(struct worker_output *output, void *data, struct ph_error *error)
{
	return 0;
}

static int job_failure(struct worker_output *output, void *data, struct ph_error *error)
{
	tell(output, 0, 0, "");
	error_set(error, -EROFS, "/srv/data", "mount it writable", "mkdir: read-only file system");
	error_step(error, "prepare");
	return error_prefix(error, "start web1");
}

static int job_bare_failure(struct worker_output *output, void *data, struct ph_error *error)
{
	return -ENOENT;
}

static int job_crash(struct worker_output *output, void *data, struct ph_error *error)
{
	tell(output, 0, 0, "");
	kill(getpid(), SIGSEGV);
	wait_for_ever();
	return 0;
}

static int job_early_exit(struct worker_output *output, void *data, struct ph_error *error)
{
	_exit(7);
}

static int job_rubbish(struct worker_output *output, void *data, struct ph_error *error)
{
	if (write(output->fd, "\0\0\0\2\xff\xff", 6) == 6)
		wait_for_ever();
	return 0;
}

static int job_oversized_frame(struct worker_output *output, void *data, struct ph_error *error)
{
	if (write(output->fd, "\xff\xff\xff\xff", 4) == 4)
		wait_for_ever();
	return 0;
}

static int job_oversized_message(struct worker_output *output, void *data, struct ph_error *error)
{
	PH_AUTO_FREE char *text = ph_alloc(FRAME_LIMIT + 1);

	memset(text, 'x', FRAME_LIMIT);
	tell(output, 0, 0, text);
	return 0;
}

static int job_hang(struct worker_output *output, void *data, struct ph_error *error)
{
	tell(output, 0, 0, "");
	wait_for_ever();
	return 0;
}

/* A helper that would outlive us and keeps the pipe open; its pid is told. */
static void leave_helper(struct worker_output *output)
{
	pid_t helper = fork();

	if (helper == 0) {
		signal(SIGTERM, SIG_IGN);
		wait_for_ever();
	}
	tell(output, 0, (uint64_t)helper, "");
}

static int job_hang_with_helper(struct worker_output *output, void *data, struct ph_error *error)
{
	leave_helper(output);
	wait_for_ever();
	return 0;
}

static int job_crash_with_helper(struct worker_output *output, void *data, struct ph_error *error)
{
	leave_helper(output);
	kill(getpid(), SIGBUS);
	return 0;
}

static int job_leave_helper(struct worker_output *output, void *data, struct ph_error *error)
{
	leave_helper(output);
	return 0;
}

static int job_number(struct worker_output *output, void *data, struct ph_error *error)
{
	tell(output, 0, *(uint64_t *)data, "");
	return 0;
}

/* --- how children end --- */

struct end_case {
	const char *name;
	worker_fn run;
	uint32_t deadline_ms;
	int code;
	const char *why; /* a part of it */
	int messages;
};

static const struct end_case end_cases[] = {
	{ "success without a word", job_silent, 30000, 0, "", 0 },
	{ "success after thousands of messages", job_success, 0, 0, "", MESSAGES },
	{ "failure without a text", job_bare_failure, 0, -ENOENT, "No such file", 0 },
	{ "crash", job_crash, 0, -ECHILD, "signal 11", 1 },
	{ "exit without a result", job_early_exit, 0, -ECHILD, "status 7", 0 },
	{ "rubbish", job_rubbish, 0, -EPROTO, "cannot be understood", 0 },
	{ "a frame over the limit", job_oversized_frame, 0, -EPROTO, "cannot be understood", 0 },
	{ "a message over the limit", job_oversized_message, 0, -EMSGSIZE, "larger than", 0 },
	{ "deadline", job_hang, 100, -ETIMEDOUT, "100 ms", 1 },
};

static void test_ends(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(end_cases); i++) {
		const struct end_case *end = &end_cases[i];
		struct outcome outcome = { 0 };
		struct test_loop test;

		print_message("# %s\n", end->name);
		test_loop_init(&test);
		assert_int_equal(start(&test, end->run, NULL, end->deadline_ms, &outcome), 0);
		assert_int_equal(outcome.finished, 0);
		test_loop_until(&test, &outcome.finished, 1);
		assert_int_equal(outcome.error.code, end->code);
		assert_non_null(strstr(outcome.error.why, end->why));
		assert_int_equal(outcome.messages, end->messages);
		assert_true(outcome.in_order);
		end_clean(&test);
		assert_int_equal(outcome.finished, 1);
	}
}

static void test_failure_is_carried_whole(void **state)
{
	struct outcome outcome = { 0 };
	struct test_loop test;

	test_loop_init(&test);
	assert_int_equal(start(&test, job_failure, NULL, 0, &outcome), 0);
	test_loop_until(&test, &outcome.finished, 1);
	assert_int_equal(outcome.error.code, -EROFS);
	assert_string_equal(outcome.error.what, "start web1");
	assert_string_equal(outcome.error.where, "/srv/data");
	assert_string_equal(outcome.error.why, "mkdir: read-only file system");
	assert_string_equal(outcome.error.remedy, "mount it writable");
	assert_string_equal(outcome.error.step, "prepare");
	end_clean(&test);
}

static void test_cancel(void **state)
{
	struct outcome at_once = { 0 }, in_message = { .reaction = CANCEL };
	struct test_loop test;

	test_loop_init(&test);
	assert_int_equal(start(&test, job_hang, NULL, 0, &at_once), 0);
	worker_cancel(at_once.worker);
	worker_cancel(at_once.worker);
	assert_int_equal(at_once.finished, 0);
	assert_int_equal(start(&test, job_hang, NULL, 30000, &in_message), 0);
	test_loop_until(&test, &at_once.finished, 1);
	test_loop_until(&test, &in_message.finished, 1);
	assert_int_equal(at_once.error.code, -ECANCELED);
	assert_int_equal(in_message.error.code, -ECANCELED);
	assert_int_equal(in_message.messages, 1);
	end_clean(&test);
}

/* Wait for a helper that has become our child, and say which signal ended it. */
static int signal_that_ended(uint64_t helper)
{
	int status = 0;

	assert_int_equal(waitpid((pid_t)helper, &status, 0), (pid_t)helper);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

struct helper_case {
	const char *name;
	worker_fn run;
	uint32_t deadline_ms;
	int code;
};

static const struct helper_case helper_cases[] = {
	{ "of a child past its deadline", job_hang_with_helper, 200, -ETIMEDOUT },
	{ "of a child that crashed", job_crash_with_helper, 0, -ECHILD },
};

static void test_helpers_die_with_the_child(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(helper_cases); i++) {
		const struct helper_case *helper = &helper_cases[i];
		struct outcome outcome = { 0 };
		struct test_loop test;

		print_message("# %s\n", helper->name);
		test_loop_init(&test);
		assert_int_equal(start(&test, helper->run, NULL, helper->deadline_ms, &outcome), 0);
		test_loop_until(&test, &outcome.finished, 1);
		assert_int_equal(outcome.error.code, helper->code);
		assert_int_equal(outcome.messages, 1);
		assert_int_equal(signal_that_ended(outcome.number), SIGKILL);
		end_clean(&test);
	}
}

/* The helper holds the pipe open: the end of the child is what counts, and the helper lives on. */
static void test_pipe_held_open_after_success(void **state)
{
	struct outcome outcome = { 0 };
	struct test_loop test;

	test_loop_init(&test);
	assert_int_equal(start(&test, job_leave_helper, NULL, 0, &outcome), 0);
	test_loop_until(&test, &outcome.finished, 1);
	assert_int_equal(outcome.error.code, 0);
	assert_int_equal(kill((pid_t)outcome.number, 0), 0);
	assert_int_equal(waitpid((pid_t)outcome.number, NULL, WNOHANG), 0);
	kill((pid_t)outcome.number, SIGKILL);
	assert_int_equal(signal_that_ended(outcome.number), SIGKILL);
	end_clean(&test);
}

/* --- what the child starts with --- */

static void describe_descriptors(struct str *text)
{
	PH_AUTO_DIR DIR *directory = opendir("/proc/self/fd");
	const struct dirent *entry;

	while (directory && (entry = readdir(directory)))
		if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(directory))
			str_appendf(text, "%s ", entry->d_name);
}

static void describe_signals(struct str *text)
{
	PH_AUTO_FILE FILE *status = fopen("/proc/self/status", "r");
	char line[256];

	while (status && fgets(line, sizeof(line), status))
		if (text_has_prefix(line, "Sig"))
			str_append(text, line);
}

static int job_describe(struct worker_output *output, void *data, struct ph_error *error)
{
	PH_AUTO_STR struct str text = STR_INIT;
	const int *kept = data;
	struct stat null, in;
	char letter = '?';

	str_appendf(&text, "pipe %d fds ", output->fd);
	describe_descriptors(&text);
	if (stat("/dev/null", &null) == 0 && fstat(STDIN_FILENO, &in) == 0)
		str_appendf(&text, "null %d ", null.st_rdev == in.st_rdev);
	str_appendf(&text, "leader %d ", getsid(0) == getpid() && getpgrp() == getpid());
	if (pread(*kept, &letter, 1, 0) == 1)
		str_appendf(&text, "kept %c\n", letter);
	describe_signals(&text);
	tell(output, 0, 0, str_text(&text));
	return 0;
}

static void ignore_signal(int number)
{
}

/* Its run-time catches signals, and writes stdio's buffers at _exit(). */
static void skip_with_thread_sanitizer(void)
{
#ifdef __SANITIZE_THREAD__
	print_message("# SKIP: not with ThreadSanitizer, whose run-time is not what is tested\n");
	skip();
#endif
}

static void test_clean_start(void **state)
{
	PH_AUTO_STR struct str expected = STR_INIT;
	struct outcome outcome = { .in_order = true };
	struct scratch scratch;
	struct test_loop test;
	struct worker_config config = {
		.run = job_describe,
		.message_type = &phoenix__progress__descriptor,
		.keep_count = 1,
		.message = outcome_message,
		.finished = outcome_finished,
		.user = &outcome,
	};
	int others[20], kept, pipe_fd = -1;
	sigset_t blocked;

	skip_with_thread_sanitizer();
	test_loop_init(&test);
	scratch_init(&scratch);
	for (size_t i = 0; i < ARRAY_LENGTH(others); i++)
		others[i] = dup(STDIN_FILENO);
	kept = open(scratch_write(&scratch, "kept", "K", 1), O_RDONLY | O_CLOEXEC);
	config.keep_fds = &kept;
	config.data = &kept;
	signal(SIGUSR1, ignore_signal);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR2);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	assert_int_equal(worker_start(&test.loop, &config, &outcome.worker), 0);
	test_loop_until(&test, &outcome.finished, 1);
	sigprocmask(SIG_UNBLOCK, &blocked, NULL);
	signal(SIGUSR1, SIG_DFL);
	signal(SIGHUP, SIG_DFL);

	assert_int_equal(outcome.error.code, 0);
	assert_int_equal(sscanf(outcome.text, "pipe %d", &pipe_fd), 1);
	str_appendf(&expected, "pipe %d fds 0 1 2 %d %d null 1 leader 1 kept K\n", pipe_fd,
		    pipe_fd < kept ? pipe_fd : kept, pipe_fd < kept ? kept : pipe_fd);
	assert_int_equal(strncmp(outcome.text, str_text(&expected), expected.length), 0);
	assert_non_null(strstr(outcome.text, "SigBlk:\t0000000000000000\n"));
	assert_non_null(strstr(outcome.text, "SigIgn:\t0000000000001000\n")); /* SIGPIPE */
	assert_non_null(strstr(outcome.text, "SigCgt:\t0000000000000000\n"));
	for (size_t i = 0; i < ARRAY_LENGTH(others); i++)
		close(others[i]);
	close(kept);
	scratch_fini(&scratch);
	end_clean(&test);
}

/* Fork once more, as for running a program, and let that child use every descriptor of ours. */
static int job_fork(struct worker_output *output, void *data, struct ph_error *error)
{
	int pipes[8][2];
	uint64_t heard = 0;
	char letter;
	pid_t child;

	alarm(TEST_LOOP_SECONDS);
	for (size_t i = 0; i < ARRAY_LENGTH(pipes); i++)
		if (pipe2(pipes[i], O_CLOEXEC) < 0)
			return -errno;
	child = fork();
	if (child == 0) {
		for (size_t i = 0; i < ARRAY_LENGTH(pipes); i++)
			if (write(pipes[i][1], "x", 1) != 1)
				_exit(1);
		_exit(0);
	}
	for (size_t i = 0; i < ARRAY_LENGTH(pipes); i++) {
		close(pipes[i][1]);
		heard += read(pipes[i][0], &letter, 1) == 1;
	}
	waitpid(child, NULL, 0);
	tell(output, 0, heard, "");
	return 0;
}

static void test_forks_of_the_child_keep_its_descriptors(void **state)
{
	struct outcome outcome = { 0 };
	struct test_loop test;

	test_loop_init(&test);
	assert_int_equal(start(&test, job_fork, NULL, 30000, &outcome), 0);
	test_loop_until(&test, &outcome.finished, 1);
	assert_int_equal(outcome.error.code, 0);
	assert_int_equal(outcome.number, 8);
	end_clean(&test);
}

/* What the parent left for its own exit: buffered output and exit handlers. */
static void write_a_mark(void)
{
	static const char mark[] = "handler\n";

	if (write(STDOUT_FILENO, mark, sizeof(mark) - 1) < 0)
		_exit(1);
}

/* A parent of its own, so that its exit can be watched: each line may appear once. */
static void test_exit_work_is_not_done_twice(void **state)
{
	char said[256] = "";
	size_t used = 0;
	ssize_t got;
	int output[2];
	pid_t parent;

	skip_with_thread_sanitizer();
	assert_int_equal(pipe2(output, O_CLOEXEC), 0);
	parent = fork();
	if (parent == 0) {
		struct outcome outcome = { 0 };
		struct test_loop test;

		dup2(output[1], STDOUT_FILENO);
		atexit(write_a_mark);
		printf("buffered\n");
		test_loop_init(&test);
		if (start(&test, job_silent, NULL, 0, &outcome) == 0)
			test_loop_fini(&test);
		fflush(stdout);
		write_a_mark();
		_exit(outcome.finished == 1 ? 0 : 1);
	}
	close(output[1]);
	while ((got = read(output[0], said + used, sizeof(said) - 1 - used)) > 0)
		used += (size_t)got;
	close(output[0]);
	assert_int_equal(waitpid(parent, NULL, 0), parent);
	assert_string_equal(said, "buffered\nhandler\n");
}

/* --- parents that go away --- */

static int job_outlive(struct worker_output *output, void *data, struct ph_error *error)
{
	pid_t parent = getppid();
	int fd;

	tell(output, 0, (uint64_t)getpid(), "");
	while (getppid() == parent)
		usleep(1000);
	for (uint32_t i = 0; i < MESSAGES; i++)
		tell(output, i, 0, "nobody hears this");
	fd = open(data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : 0;
}

/* Be a parent: start the worker, tell its pid, and serve the loop until killed. */
static void be_parent(int report, const char *effect)
{
	struct outcome outcome = { 0 };
	struct test_loop test;
	pid_t child;

	test_loop_init(&test);
	if (start(&test, job_outlive, (void *)effect, 60000, &outcome) < 0)
		_exit(1);
	test_loop_until(&test, &outcome.messages, 1);
	child = (pid_t)outcome.number;
	if (write(report, &child, sizeof(child)) != sizeof(child))
		_exit(1);
	test_loop_until(&test, &outcome.finished, 1);
	_exit(1);
}

static void test_child_outlives_a_killed_parent(void **state)
{
	pid_t parent, child = 0;
	struct scratch scratch;
	char effect[320];
	int report[2], status;

	scratch_init(&scratch);
	text_copy(effect, sizeof(effect), scratch_file(&scratch, "effect"));
	assert_int_equal(pipe2(report, O_CLOEXEC), 0);
	parent = fork();
	if (parent == 0)
		be_parent(report[1], effect);
	assert_int_equal(read(report[0], &child, sizeof(child)), sizeof(child));
	assert_int_equal(access(effect, F_OK), -1);
	kill(parent, SIGKILL);
	assert_int_equal(signal_that_ended((uint64_t)parent), SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(access(effect, F_OK), 0);
	close(report[0]);
	close(report[1]);
	scratch_fini(&scratch);
}

static void test_abandon(void **state)
{
	struct outcome at_once = { 0 }, in_message = { .reaction = ABANDON };
	struct test_loop test;

	test_loop_init(&test);
	assert_int_equal(start(&test, job_silent, NULL, 30000, &at_once), 0);
	worker_abandon(at_once.worker);
	assert_int_equal(start(&test, job_success, NULL, 30000, &in_message), 0);
	assert_int_equal(test_loop_fini(&test), 0);
	assert_int_equal(at_once.finished, 0);
	assert_int_equal(in_message.finished, 0);
	assert_int_equal(in_message.messages, 1);
	/* Both did their work and ended in peace. */
	for (int i = 0; i < 2; i++) {
		int status = -1;

		assert_true(waitpid(-1, &status, 0) > 0);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
}

/* --- many, few and stuck --- */

static void test_many_in_parallel(void **state)
{
	static struct outcome outcomes[IN_PARALLEL];
	uint64_t numbers[IN_PARALLEL];
	struct test_loop test;

	test_loop_init(&test);
	for (size_t i = 0; i < IN_PARALLEL; i++) {
		numbers[i] = 1000 + i;
		assert_int_equal(start(&test, job_number, &numbers[i], 30000, &outcomes[i]), 0);
	}
	end_clean(&test);
	for (size_t i = 0; i < IN_PARALLEL; i++) {
		assert_int_equal(outcomes[i].finished, 1);
		assert_int_equal(outcomes[i].error.code, 0);
		assert_int_equal(outcomes[i].messages, 1);
		assert_int_equal(outcomes[i].number, numbers[i]);
	}
}

/* With ever more descriptors allowed: until there are enough nothing starts and nothing is left. */
static void test_no_descriptors(void **state)
{
	struct rlimit before, limit;
	struct outcome outcome = { 0 };
	struct test_loop test;
	int first, refused, r = -EMFILE;

	test_loop_init(&test);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	first = dup(STDIN_FILENO);
	close(first);
	for (refused = 0; r == -EMFILE && refused < 32; refused++) {
		limit = before;
		limit.rlim_cur = (rlim_t)(first + refused);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
		r = start(&test, job_silent, NULL, 0, &outcome);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	}
	assert_int_equal(r, 0);
	assert_in_range(refused, 3, 31);
	end_clean(&test);
	assert_int_equal(outcome.finished, 1);
	assert_int_equal(outcome.error.code, 0);
}

/*
 * Stop in the middle of dying, as a process does that waits for a dead file system: a tracer that
 * does not answer holds it at its exit. The tracer's pid is told, 0 when tracing is not allowed.
 */
static int job_undead(struct worker_output *output, void *data, struct ph_error *error)
{
	int ready[2];
	char seized = 0;
	pid_t tracer;

	if (pipe(ready) < 0)
		return -errno;
	tracer = fork();
	if (tracer == 0) {
		setsid();
		seized = ptrace(PTRACE_SEIZE, getppid(), NULL, PTRACE_O_TRACEEXIT) == 0;
		if (write(ready[1], &seized, 1) == 1)
			wait_for_ever();
	}
	if (read(ready[0], &seized, 1) != 1)
		return -EIO;
	if (!seized)
		kill(tracer, SIGKILL);
	tell(output, (uint32_t)getpid(), seized ? (uint64_t)tracer : 0, "");
	if (!seized)
		return -EPERM;
	wait_for_ever();
	return 0;
}

static void count_tick(uv_timer_t *timer)
{
	(*(int *)timer->data)++;
}

static void test_stuck_child_is_given_up(void **state)
{
	struct outcome outcome = { 0 };
	uint64_t begun = clock_monotonic_ms();
	struct test_loop test;
	uv_timer_t ticker;
	int ticks = 0;

	test_loop_init(&test);
	assert_int_equal(start(&test, job_undead, NULL, 500, &outcome), 0);
	test_loop_until(&test, &outcome.messages, 1);
	test_loop_until(&test, &outcome.finished, 1);
	if (outcome.number == 0) {
		test_loop_fini(&test);
		while (waitpid(-1, NULL, 0) > 0)
			;
		skip();
	}
	assert_int_equal(outcome.error.code, -ETIMEDOUT);
	assert_non_null(strstr(outcome.error.what, "stuck in the kernel"));
	assert_in_range(clock_monotonic_ms() - begun, 5400, 30000);
	/* It is still there; once it can die it is reaped. */
	assert_int_equal(kill((pid_t)outcome.index, 0), 0);
	kill((pid_t)outcome.number, SIGKILL);
	uv_timer_init(&test.loop, &ticker);
	ticker.data = &ticks;
	uv_timer_start(&ticker, count_tick, 10, 10);
	while (kill((pid_t)outcome.index, 0) == 0)
		test_loop_until(&test, &ticks, ticks + 1);
	uv_close((uv_handle_t *)&ticker, NULL);
	assert_int_equal(signal_that_ended(outcome.number), SIGKILL);
	end_clean(&test);
	assert_int_equal(outcome.finished, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_failure_is_carried_whole),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_helpers_die_with_the_child),
		cmocka_unit_test(test_pipe_held_open_after_success),
		cmocka_unit_test(test_clean_start),
		cmocka_unit_test(test_forks_of_the_child_keep_its_descriptors),
		cmocka_unit_test(test_exit_work_is_not_done_twice),
		cmocka_unit_test(test_child_outlives_a_killed_parent),
		cmocka_unit_test(test_abandon),
		cmocka_unit_test(test_many_in_parallel),
		cmocka_unit_test(test_no_descriptors),
		cmocka_unit_test(test_stuck_child_is_given_up),
	};

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
