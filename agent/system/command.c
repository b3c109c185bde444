/*
 * One poll loop per program: its two or three pipes, its end, its deadline. The end of the program
 * ends the wait, not the end of its pipes: a daemon that it started may hold them open for ever.
 */
#include "agent/system/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/system/capture.h"
#include "agent/system/command_child.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/str.h"

#define STREAMS COMMAND_STREAMS
#define END_POLL_MS 20 /* how often the program's end is looked for where there is no pidfd */
#define PIDFD_POLL_MS 1000

struct stream {
	struct run *run;
	enum command_stream name;
	int fd; /* our end, -1 once it is at its end */
	struct capture capture;
};

struct run {
	const struct command *command;
	struct stream streams[STREAMS];
	pid_t pid;
	int pidfd; /* tells of its end; -1 on a kernel or under a filter without them */
	int wait_status;
	uint64_t started_ms;
};

/* --- the parent -------------------------------------------------------------------------------- */

static void stream_line(void *user, const char *line)
{
	struct stream *stream = user;
	const struct command *command = stream->run->command;

	command->line(command->user, stream->name, line);
}

/* Read what is there; closes at the end of the stream. */
static void stream_drain(struct stream *stream)
{
	char bytes[16 * 1024];
	ssize_t length;

	while (stream->fd >= 0) {
		length = read(stream->fd, bytes, sizeof(bytes));
		if (length > 0) {
			capture_feed(&stream->capture, bytes, (size_t)length);
			continue;
		}
		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0 && errno == EAGAIN)
			return;
		close(take_fd(&stream->fd));
	}
}

static void run_prepare(struct run *run, const struct command *command)
{
	size_t maximum = command->output_maximum ? command->output_maximum : COMMAND_OUTPUT_MAXIMUM;

	*run = (struct run){
		.command = command, .pid = -1, .pidfd = -1, .started_ms = clock_monotonic_ms()
	};
	for (size_t i = 0; i < STREAMS; i++) {
		struct stream *stream = &run->streams[i];

		stream->run = run;
		stream->name = (enum command_stream)i;
		stream->fd = -1;
		capture_init(&stream->capture, i == COMMAND_STATUS ? 2 : maximum,
			     command->line ? stream_line : NULL, stream);
	}
}

static void run_fini(struct run *run)
{
	cleanup_close(&run->pidfd);
	for (size_t i = 0; i < STREAMS; i++) {
		cleanup_close(&run->streams[i].fd);
		capture_fini(&run->streams[i].capture);
	}
}

/* A sealed-off copy of the input bytes as a file: no deadlock with a program that does not read. */
static int input_open(const struct command *command)
{
	PH_AUTO_CLOSE int fd = -1;
	size_t done = 0;

	if (command->input_fd > 0)
		return fcntl(command->input_fd, F_DUPFD_CLOEXEC, 0);
	if (!command->input)
		return open("/dev/null", O_RDONLY | O_CLOEXEC);
	fd = memfd_create("input", MFD_CLOEXEC);
	while (fd >= 0 && done < command->input_length) {
		ssize_t length = write(fd, (const char *)command->input + done,
				       command->input_length - done);

		if (length < 0)
			return -1;
		done += (size_t)length;
	}
	if (fd < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return -1;
	return take_fd(&fd);
}

static int pipes_open(struct run *run, struct command_child *child)
{
	int ends[2];

	for (size_t i = 0; i < STREAMS; i++) {
		if (i == COMMAND_STATUS && !run->command->with_status)
			continue;
		if (pipe2(ends, O_CLOEXEC) < 0)
			return -errno;
		run->streams[i].fd = ends[0];
		child->ends[i] = ends[1];
		if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
			return -errno;
	}
	return 0;
}

/* Wait until exec has succeeded (the pipe closes) or failed (the pipe holds an errno). */
static int exec_await(int failure)
{
	int code = 0;
	ssize_t length;

	do {
		length = read(failure, &code, sizeof(code));
	} while (length < 0 && errno == EINTR);
	return length == sizeof(code) ? -code : 0;
}

static int run_fork(struct run *run, struct command_child *child, int failure)
{
	pid_t parent = getpid();
	int result;

	run->pid = fork();
	if (run->pid < 0)
		return -errno;
	if (run->pid == 0)
		command_child_run(child, parent);
	command_child_fini(child);
	result = exec_await(failure);
	if (result < 0)
		waitpid(run->pid, NULL, 0);
	else
		run->pidfd = (int)syscall(SYS_pidfd_open, run->pid, 0);
	return result;
}

static int run_start(struct run *run)
{
	struct command_child child;
	PH_AUTO_CLOSE int failure = -1;
	int ends[2], result;

	result = command_child_init(&child, run->command);
	if (result == 0)
		result = pipes_open(run, &child);
	if (result == 0 && pipe2(ends, O_CLOEXEC) < 0)
		result = -errno;
	if (result == 0) {
		failure = ends[0];
		child.failure = ends[1];
		child.input = input_open(run->command);
		result = child.input < 0 ? -errno : run_fork(run, &child, failure);
	}
	command_child_fini(&child);
	return result;
}

/* Milliseconds to wait at most; 0 when the deadline has passed. */
static int poll_time(const struct run *run)
{
	uint64_t passed = clock_monotonic_ms() - run->started_ms;
	uint32_t deadline = run->command->deadline_ms;
	int longest = run->pidfd < 0 ? END_POLL_MS : PIDFD_POLL_MS;

	if (deadline == 0 || passed + (uint64_t)longest <= deadline)
		return longest;
	return passed >= deadline ? 0 : (int)(deadline - passed);
}

static void streams_wait(struct run *run, int timeout_ms)
{
	struct pollfd polled[STREAMS + 1];

	for (size_t i = 0; i < STREAMS; i++)
		polled[i] = (struct pollfd){ .fd = run->streams[i].fd, .events = POLLIN };
	polled[STREAMS] = (struct pollfd){ .fd = run->pidfd, .events = POLLIN };
	if (poll(polled, ARRAY_LENGTH(polled), timeout_ms) <= 0)
		return;
	for (size_t i = 0; i < STREAMS; i++)
		if (polled[i].revents)
			stream_drain(&run->streams[i]);
}

/* Returns 0 when the program has ended, -ETIMEDOUT after killing it. */
static int run_wait(struct run *run)
{
	int result = 0;

	for (;;) {
		pid_t ended = waitpid(run->pid, &run->wait_status, WNOHANG);
		int timeout_ms = poll_time(run);

		if (ended == run->pid || (ended < 0 && errno == ECHILD))
			break;
		if (timeout_ms == 0) {
			kill(-run->pid, SIGKILL);
			waitpid(run->pid, &run->wait_status, 0);
			result = -ETIMEDOUT;
			break;
		}
		streams_wait(run, timeout_ms);
	}
	for (size_t i = 0; i < STREAMS; i++) {
		stream_drain(&run->streams[i]);
		capture_end(&run->streams[i].capture);
	}
	return result;
}

static void result_take(struct run *run, struct command_result *result)
{
	int status = run->wait_status;

	result->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	result->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	result->output = capture_take(&run->streams[COMMAND_OUTPUT].capture,
				      &result->output_length);
	result->errors = capture_take(&run->streams[COMMAND_ERRORS].capture,
				      &result->errors_length);
	result->duration_ms = clock_monotonic_ms() - run->started_ms;
}

static int start_error(const struct command *command, int code, struct ph_error *error)
{
	if (code == -ENOENT)
		error_set(error, code, command->argv[0], "install the package that provides it",
			  "there is no such program in %s",
			  command->path ? command->path : COMMAND_PATH);
	else
		error_errno(error, code, command->argv[0], NULL, "start the program");
	error_prefix(error, "run %s", command->argv[0]);
	return code;
}

int command_run(const struct command *command, struct command_result *ret_result,
		struct ph_error *error)
{
	struct run run;
	int result;

	*ret_result = (struct command_result){ .exit_code = -1 };
	run_prepare(&run, command);
	result = run_start(&run);
	if (result < 0) {
		run_fini(&run);
		return start_error(command, result, error);
	}
	result = run_wait(&run);
	result_take(&run, ret_result);
	run_fini(&run);
	if (result < 0) {
		error_set(error, result, command->argv[0], NULL,
			  "it had not ended after %u ms and was killed", command->deadline_ms);
		error_prefix(error, "run %s", command->argv[0]);
	}
	return result;
}

int command_succeed(const struct command *command, struct command_result *ret_result,
		    struct ph_error *error)
{
	PH_AUTO_COMMAND_RESULT struct command_result own = { 0 };
	PH_AUTO_FREE char *reason = NULL;
	char ending[48];
	int result = command_run(command, &own, error);

	if (result == 0 && own.exit_code != 0) {
		reason = command_last_line(own.errors);
		if (!reason[0]) {
			free(reason);
			reason = command_last_line(own.output);
		}
		result = error_set(error, -EIO, command->argv[0], NULL, "it %s%s%s",
				   command_result_format(&own, ending), reason[0] ? ": " : "",
				   reason);
		error_prefix(error, "run %s", command->argv[0]);
	}
	if (ret_result) {
		*ret_result = own;
		own = (struct command_result){ 0 };
	}
	return result;
}

static int daemon_fork(struct command_child *child, int failure)
{
	pid_t middle = fork();

	if (middle < 0)
		return -errno;
	if (middle == 0)
		command_child_detach(child);
	command_child_fini(child);
	waitpid(middle, NULL, 0);
	return exec_await(failure);
}

int command_detach(const struct command *command, const char *log_path, struct ph_error *error)
{
	struct command_child child;
	PH_AUTO_CLOSE int failure = -1;
	int ends[2], result;

	result = command_child_init(&child, command);
	child.input = open("/dev/null", O_RDONLY | O_CLOEXEC);
	child.ends[COMMAND_OUTPUT] = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
					  0600);
	if (result == 0 && child.ends[COMMAND_OUTPUT] < 0) {
		result = error_errno(error, -errno, log_path, NULL, "open the log file");
		command_child_fini(&child);
		return result;
	}
	child.ends[COMMAND_ERRORS] = fcntl(child.ends[COMMAND_OUTPUT], F_DUPFD_CLOEXEC, 0);
	if (result == 0 && pipe2(ends, O_CLOEXEC) < 0)
		result = -errno;
	if (result == 0) {
		failure = ends[0];
		child.failure = ends[1];
		result = daemon_fork(&child, failure);
	}
	command_child_fini(&child);
	return result < 0 ? start_error(command, result, error) : 0;
}

void command_result_fini(struct command_result *result)
{
	free(take_pointer(result->output));
	free(take_pointer(result->errors));
}

char *command_result_format(const struct command_result *result, char text[48])
{
	if (result->signal)
		snprintf(text, 48, "was killed by signal %d", result->signal);
	else
		snprintf(text, 48, "exited with %d", result->exit_code);
	return text;
}

char *command_last_line(const char *text)
{
	size_t end = text ? strlen(text) : 0, begin;

	while (end > 0 && strchr("\n\r \t", text[end - 1]))
		end--;
	for (begin = end; begin > 0 && text[begin - 1] != '\n' && text[begin - 1] != '\r';)
		begin--;
	return ph_strndup(text ? text + begin : "", end - begin);
}
