/*
 * Programs run to their end: results, output bounds, deadline, environment, and what they inherit.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "controller/host/exec/exec.h"

struct exec_case {
	const char *name;
	const char *argv[6];
	const char *input;
	uint32_t deadline_ms;
	size_t maximum;
	int expected;
	int exit_code, signal;
	const char *output;
	const char *errors;
	bool truncated;
};

static const struct exec_case exec_cases[] = {
	{ "nothing to say", { "true" }, NULL, 0, 0, EXEC_DONE, 0, 0, "", "" },
	{ "a failure", { "false" }, NULL, 0, 0, EXEC_FAILED, 1, 0, "", "" },
	{ "absolute path", { "/bin/echo", "a", "b c" }, NULL, 0, 0, EXEC_DONE, 0, 0, "a b c\n", "" },
	{ "arguments are no shell", { "echo", "$(id); `id`" }, NULL, 0, 0, EXEC_DONE, 0, 0,
	  "$(id); `id`\n", "" },
	{ "input comes back", { "cat" }, "x\ny\n", 0, 0, EXEC_DONE, 0, 0, "x\ny\n", "" },
	{ "no input", { "cat" }, NULL, 0, 0, EXEC_DONE, 0, 0, "", "" },
	{ "both streams", { "sh", "-c", "echo out; echo err >&2; exit 7" }, NULL, 0, 0, EXEC_FAILED,
	  7, 0, "out\n", "err\n" },
	{ "a signal", { "sh", "-c", "kill -SEGV $$" }, NULL, 0, 0, EXEC_FAILED, -1, SIGSEGV, "",
	  "" },
	{ "too much output", { "sh", "-c", "yes | head -c 300000; echo end >&2" }, NULL, 0, 4,
	  EXEC_DONE, 0, 0, "y\ny\n", "end\n", true },
	{ "clean environment", { "env" }, NULL, 0, 0, EXEC_DONE, 0, 0,
	  "PATH=/usr/sbin:/usr/bin:/sbin:/bin\nLC_ALL=C.UTF-8\nHOME=/\n", "" },
	{ "working directory", { "pwd" }, NULL, 0, 0, EXEC_DONE, 0, 0, "/\n", "" },
	{ "descriptors (3 is ls's own)", { "ls", "/proc/self/fd" }, NULL, 0, 0, EXEC_DONE, 0, 0,
	  "0\n1\n2\n3\n", "" },
	{ "no such program", { "phoenix-no-such-program" }, NULL, 0, 0, -ENOENT },
	{ "no such path", { "/nowhere/true" }, NULL, 0, 0, -ENOENT },
	{ "not executable", { "/etc/passwd" }, NULL, 0, 0, -EACCES },
	{ "deadline", { "sleep", "30" }, NULL, 100, 0, -ETIMEDOUT },
	{ "deadline under output", { "yes" }, NULL, 100, 16, -ETIMEDOUT },
	{ "a daemon keeps the pipes", { "sh", "-c", "sleep 5 & echo started" }, NULL, 3000, 0,
	  EXEC_DONE, 0, 0, "started\n", "" },
};

static void run_exec_case(const struct exec_case *test)
{
	struct exec_request request = { test->argv, test->input, test->deadline_ms, test->maximum };
	EXEC_AUTO_RESULT struct exec_result result = EXEC_RESULT_INIT;
	struct ph_error error = { 0 };
	uint64_t begin = clock_monotonic_ms();
	int outcome = exec_run(&request, &result, &error);

	if (outcome != test->expected)
		fail_msg("%s: %d (%s)", test->name, outcome, error.why);
	assert_true(clock_monotonic_ms() - begin < 2500);
	assert_int_equal(error.code, outcome < 0 ? outcome : 0);
	if (outcome < 0)
		return;
	assert_int_equal(result.exit_code, test->exit_code);
	assert_int_equal(result.signal, test->signal);
	assert_string_equal(str_text(&result.output), test->output);
	assert_string_equal(str_text(&result.errors), test->truncated ? "end\n" : test->errors);
	assert_int_equal(result.truncated, test->truncated);
}

static void programs(void **state)
{
	setenv("PHOENIX_SECRET", "must not be inherited", 1);
	for (size_t i = 0; i < ARRAY_LENGTH(exec_cases); i++)
		run_exec_case(&exec_cases[i]);
}

static void checks(void **state)
{
	static const char *const good[] = { "echo", "x", NULL };
	static const char *const bad[] = { "sh", "-c", "echo >&2; echo cause >&2; echo more >&2; exit 3",
					   NULL };
	PH_AUTO_FREE char *output = NULL;
	struct ph_error error = { 0 };

	assert_int_equal(exec_check(good, NULL, &output, &error), 0);
	assert_string_equal(output, "x\n");
	assert_int_equal(exec_check(bad, NULL, NULL, &error), -EIO);
	assert_string_equal(error.why, "exit code 3: cause");
	assert_true(exec_is_installed("sh"));
	assert_false(exec_is_installed("phoenix-no-such-program"));
}

/* A program does not outlive the process that runs it. */
static void dies_with_its_caller(void **state)
{
	static const char *const argv[] = { "sleep", "60", NULL };
	const struct exec_request request = { .argv = argv, .deadline_ms = 60000 };
	struct exec_result result = EXEC_RESULT_INIT;
	char path[64], line[256];
	pid_t caller = fork();
	int program = 0;

	if (caller == 0)
		_exit(exec_run(&request, &result, NULL));
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", caller, caller);
	for (int i = 0; i < 2000 && program == 0; i++) {
		FILE *file = fopen(path, "re");

		if (file && fgets(line, sizeof(line), file))
			program = atoi(line);
		if (file)
			fclose(file);
		usleep(1000);
	}
	assert_true(program > 0);
	usleep(50000); /* let it get past its exec: that is the case of interest */
	kill(caller, SIGKILL);
	waitpid(caller, NULL, 0);
	snprintf(path, sizeof(path), "/proc/%d/exe", program);
	for (int i = 0; i < 2000 && readlink(path, line, sizeof(line)) > 0; i++)
		usleep(1000);
	assert_true(readlink(path, line, sizeof(line)) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(programs),
		cmocka_unit_test(checks),
		cmocka_unit_test(dies_with_its_caller),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
