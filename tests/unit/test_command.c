/* Running programs: how they end, what is kept of their words, what they get to see. */
#include "agent/system/command.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/system/capture.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/str.h"
#include "tests/support/cmocka.h"
#include "tests/support/scratch.h"

#define SHELL(script)                                                                              \
	(const char *const[])                                                                      \
	{                                                                                          \
		"sh", "-c", script, NULL                                                           \
	}

struct ending_case {
	const char *name;
	const char *script;
	const char *input;
	int exit_code;
	int signal;
	const char *output;
	const char *errors;
};

static const struct ending_case endings[] = {
	{ "nothing", "exit 0", NULL, 0, 0, "", "" },
	{ "words on both", "echo out; echo err >&2; exit 3", NULL, 3, 0, "out\n", "err\n" },
	{ "a signal", "kill -TERM $$", NULL, -1, SIGTERM, "", "" },
	{ "no input is an empty input", "cat; echo end", NULL, 0, 0, "end\n", "" },
	{ "input", "tr a-z A-Z", "abc", 0, 0, "ABC", "" },
	{ "input that nobody reads", "exit 0", "abc", 0, 0, "", "" },
	{ "a clean environment", "env | cut -d= -f1 | sort | tr '\\n' ' '", NULL, 0, 0,
	  "DEBIAN_FRONTEND HOME LC_ALL PATH PWD ", "" },
	{ "no descriptors but stdio", "ls /proc/self/fd | tr '\\n' ' '", NULL, 0, 0, "0 1 2 3 ",
	  "" },
	{ "signals are at their defaults", "kill -PIPE $$", NULL, -1, SIGPIPE, "", "" },
	{ "a daemon that holds the pipes open", "sleep 60 & echo started", NULL, 0, 0, "started\n",
	  "" },
};

static void programs_end_as_they_do(void **state)
{
	signal(SIGPIPE, SIG_IGN);
	setenv("SECRET", "1", 1);
	for (size_t i = 0; i < ARRAY_LENGTH(endings); i++) {
		const struct ending_case *c = &endings[i];
		const struct command command = {
			.argv = SHELL(c->script),
			.input = c->input,
			.input_length = c->input ? strlen(c->input) : 0,
			.deadline_ms = 20000,
		};
		PH_AUTO_COMMAND_RESULT struct command_result ended = { 0 };
		int result = command_run(&command, &ended, NULL);

		if (result != 0 || ended.exit_code != c->exit_code || ended.signal != c->signal)
			fail_msg("%s: %d, exit %d, signal %d", c->name, result, ended.exit_code,
				 ended.signal);
		if (strcmp(ended.output, c->output) != 0 || strcmp(ended.errors, c->errors) != 0)
			fail_msg("%s: \"%s\" and \"%s\"", c->name, ended.output, ended.errors);
	}
	signal(SIGPIPE, SIG_DFL);
}

static void missing_programs_are_told(void **state)
{
	static const char *const names[] = { "no-such-program", "/no/such/program", "/etc/passwd" };
	static const int codes[] = { -ENOENT, -ENOENT, -EACCES };

	for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
		const struct command command = {
			.argv = (const char *const[]){ names[i], NULL },
		};
		PH_AUTO_COMMAND_RESULT struct command_result ended = { 0 };
		struct ph_error error = { 0 };

		assert_int_equal(command_run(&command, &ended, &error), codes[i]);
		assert_int_equal(error.code, codes[i]);
		assert_string_equal(error.where, names[i]);
	}
}

static void deadlines_kill_the_whole_group(void **state)
{
	const struct command command = {
		.argv = SHELL("sleep 61 & echo $!; wait"),
		.deadline_ms = 300,
	};
	PH_AUTO_COMMAND_RESULT struct command_result ended = { 0 };
	struct ph_error error = { 0 };
	uint64_t started_ms = clock_monotonic_ms();
	pid_t child;

	assert_int_equal(command_run(&command, &ended, &error), -ETIMEDOUT);
	assert_in_range(clock_monotonic_ms() - started_ms, 300, 5000);
	assert_int_equal(ended.signal, SIGKILL);
	child = (pid_t)atoi(ended.output);
	assert_true(child > 1);
	for (int i = 0; i < 100 && kill(child, 0) == 0; i++) {
		char path[64];
		char line[256] = "";
		FILE *file;

		/* Dead, but not reaped yet, is dead. */
		snprintf(path, sizeof(path), "/proc/%d/stat", (int)child);
		file = fopen(path, "r");
		if (!file || !fgets(line, sizeof(line), file) || strstr(line, ") Z"))
			i = 100;
		if (file)
			fclose(file);
		usleep(20000);
		if (i == 99)
			fail_msg("the grandchild lives");
	}
}

static uint64_t processor_us(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void waiting_costs_nothing(void **state)
{
	const struct command command = { .argv = SHELL("exec >&- 2>&-; sleep 1"),
					 .with_status = true };
	PH_AUTO_COMMAND_RESULT struct command_result ended = { 0 };
	uint64_t before = processor_us();

	assert_int_equal(command_run(&command, &ended, NULL), 0);
	assert_in_range(processor_us() - before, 0, 200000);
	assert_in_range(ended.duration_ms, 1000, 1900);
}

static int descriptor_count(void)
{
	PH_AUTO_DIR DIR *directory = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(directory))
		count++;
	return count;
}

static void no_descriptor_is_left(void **state)
{
	int before = descriptor_count();

	for (int i = 0; i < 4; i++) {
		const struct command command = {
			.argv = i % 2 ? SHELL("exit 1") : (const char *const[]){ "no-such", NULL },
			.with_status = i > 1,
		};
		PH_AUTO_COMMAND_RESULT struct command_result ended = { 0 };

		command_run(&command, &ended, NULL);
		assert_int_equal(descriptor_count(), before);
	}
}

static void line_note(void *user, enum command_stream stream, const char *line)
{
	str_appendf(user, "%d:%s|", (int)stream, line);
}

static void lines_are_handed_over(void **state)
{
	PH_AUTO_STR struct str lines = STR_INIT;
	const struct command command = {
		.argv = SHELL(
			"echo a; sleep 0.1; echo b >&2; sleep 0.1; echo c >&3; sleep 0.1; printf d"),
		.with_status = true,
		.line = line_note,
		.user = &lines,
	};
	PH_AUTO_COMMAND_RESULT struct command_result ended = { 0 };

	assert_int_equal(command_run(&command, &ended, NULL), 0);
	assert_string_equal(str_text(&lines), "0:a|1:b|2:c|0:d|");
}

static void failures_carry_their_last_words(void **state)
{
	const struct command command = {
		.argv = SHELL("echo out; echo first >&2; echo 'the reason' >&2; echo >&2; exit 7"),
	};
	struct ph_error error = { 0 };

	assert_int_equal(command_succeed(&command, NULL, &error), -EIO);
	assert_string_equal(error.why, "it exited with 7: the reason");
	assert_string_equal(error.what, "run sh");
}

static void children_die_with_their_caller(void **state)
{
	for (int outlive = 0; outlive < 2; outlive++) {
		struct scratch scratch;
		PH_AUTO_FREE char *script = NULL;
		pid_t caller;

		scratch_init(&scratch);
		script = ph_format("echo > %s/begun; sleep 1; echo > %s/ended", scratch.path,
				   scratch.path);
		caller = fork();
		if (caller == 0) {
			const struct command command = { .argv = SHELL(script),
							 .outlive = outlive };
			struct command_result ended;

			command_run(&command, &ended, NULL);
			_exit(0);
		}
		while (access(scratch_file(&scratch, "begun"), F_OK) < 0)
			usleep(10000);
		kill(caller, SIGKILL);
		waitpid(caller, NULL, 0);
		usleep(1500000);
		assert_int_equal(access(scratch_file(&scratch, "ended"), F_OK), outlive ? 0 : -1);
		scratch_fini(&scratch);
	}
}

static void daemons_are_nobodys_children(void **state)
{
	struct scratch scratch;
	PH_AUTO_FREE char *log = NULL, *script = NULL;
	struct ph_error error = { 0 };
	struct command command = { 0 };

	scratch_init(&scratch);
	log = ph_strdup(scratch_file(&scratch, "log"));
	script = ph_format("echo out; echo err >&2; ulimit -Sn; ulimit -Hn; echo > %s/done",
			   scratch.path);
	command.argv = SHELL(script);
	assert_int_equal(command_detach(&command, log, &error), 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	for (int i = 0; i < 500 && access(scratch_file(&scratch, "done"), F_OK) < 0; i++)
		usleep(10000);
	FILE *file = fopen(log, "r");
	char words[4][64] = { "" };

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%63s %63s %63s %63s", words[0], words[1], words[2],
				words[3]),
			 4);
	fclose(file);
	assert_string_equal(words[0], "out");
	assert_string_equal(words[1], "err");
	assert_string_equal(words[2], words[3]);

	command.argv = (const char *const[]){ "no-such-daemon", NULL };
	assert_int_equal(command_detach(&command, log, &error), -ENOENT);
	scratch_fini(&scratch);
}

static void captures_keep_head_and_tail(void **state)
{
	static const struct {
		size_t maximum;
		const char *text;
		const char *kept;
	} cases[] = {
		{ 10, "", "" },
		{ 10, "0123456789", "0123456789" },
		{ 10, "0123456789A", "01234\n[... 1 bytes ...]\n6789A" },
		{ 10, "0123456789ABCDEFGHIJ", "01234\n[... 10 bytes ...]\nFGHIJ" },
		{ 3, "abcdef", "a\n[... 3 bytes ...]\nef" },
		{ 0, "abc", "a\n[... 1 bytes ...]\nc" },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
		for (size_t step = 1; step < 8; step++) {
			struct capture capture;
			PH_AUTO_FREE char *kept = NULL;
			size_t length = 0, total = strlen(cases[i].text);

			capture_init(&capture, cases[i].maximum, NULL, NULL);
			for (size_t at = 0; at < total; at += step)
				capture_feed(&capture, cases[i].text + at,
					     total - at < step ? total - at : step);
			capture_end(&capture);
			kept = capture_take(&capture, &length);
			assert_string_equal(kept, cases[i].kept);
			assert_int_equal(length, strlen(kept));
		}
}

static void capture_line(void *user, const char *line)
{
	str_appendf(user, "<%zu:%.8s>", strlen(line), line);
}

static void captures_cut_lines(void **state)
{
	PH_AUTO_STR struct str lines = STR_INIT, text = STR_INIT;
	struct capture capture;

	str_append(&text, "a\n\nb\r\nc\rd\n");
	for (size_t i = 0; i < COMMAND_LINE_MAXIMUM + 5; i++)
		str_append(&text, "x");
	capture_init(&capture, 8, capture_line, &lines);
	capture_feed(&capture, text.data, text.length);
	capture_end(&capture);
	capture_fini(&capture);
	assert_string_equal(str_text(&lines),
			    "<1:a><0:><1:b><0:><1:c><1:d><4096:xxxxxxxx><5:xxxxx>");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(programs_end_as_they_do),
		cmocka_unit_test(missing_programs_are_told),
		cmocka_unit_test(deadlines_kill_the_whole_group),
		cmocka_unit_test(waiting_costs_nothing),
		cmocka_unit_test(no_descriptor_is_left),
		cmocka_unit_test(lines_are_handed_over),
		cmocka_unit_test(failures_carry_their_last_words),
		cmocka_unit_test(children_die_with_their_caller),
		cmocka_unit_test(daemons_are_nobodys_children),
		cmocka_unit_test(captures_keep_head_and_tail),
		cmocka_unit_test(captures_cut_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
