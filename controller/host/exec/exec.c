/*
 * The input lies in a memfd, so nothing has to be fed while the program runs; its outputs and its
 * end (a pidfd) are waited for together. A program that puts a daemon into the background may leave
 * our pipes open in it: what counts is the end of the program itself, then what is in the pipes.
 */
#include "controller/host/exec/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"

#define DEADLINE_DEFAULT_MS 30000
#define OUTPUT_DEFAULT 65536
static const char *const directories[] = { "/usr/sbin", "/usr/bin", "/sbin", "/bin" };

/* Both sides of what is handed to the child. */
struct plumbing {
	int input;       /* memfd */
	int output[2];
	int errors[2];
	int failure[2];  /* the errno of an exec that failed; closes by itself when it worked */
};

int exec_find(const char *name, char path[EXEC_PATH_SIZE])
{
	if (name[0] == '/') {
		snprintf(path, EXEC_PATH_SIZE, "%s", name);
		return access(path, X_OK) < 0 ? -errno : 0;
	}
	for (size_t i = 0; i < ARRAY_LENGTH(directories); i++) {
		snprintf(path, EXEC_PATH_SIZE, "%s/%s", directories[i], name);
		if (access(path, X_OK) == 0)
			return 0;
	}
	return -ENOENT;
}

static void close_pair(int pair[2])
{
	cleanup_close(&pair[0]);
	cleanup_close(&pair[1]);
}

static void plumbing_close(struct plumbing *plumbing)
{
	cleanup_close(&plumbing->input);
	close_pair(plumbing->output);
	close_pair(plumbing->errors);
	close_pair(plumbing->failure);
}

static int plumbing_open(struct plumbing *plumbing, const char *input)
{
	size_t length = input ? strlen(input) : 0;

	*plumbing = (struct plumbing){ -1, { -1, -1 }, { -1, -1 }, { -1, -1 } };
	plumbing->input = memfd_create("phoenix-input", MFD_CLOEXEC);
	if (plumbing->input < 0)
		return -errno;
	while (length > 0) {
		ssize_t wrote = write(plumbing->input, input, length);

		if (wrote < 0)
			return -errno;
		input += wrote;
		length -= (size_t)wrote;
	}
	if (lseek(plumbing->input, 0, SEEK_SET) < 0 || pipe2(plumbing->output, O_CLOEXEC) < 0 ||
	    pipe2(plumbing->errors, O_CLOEXEC) < 0 || pipe2(plumbing->failure, O_CLOEXEC) < 0)
		return -errno;
	fcntl(plumbing->output[0], F_SETFL, O_NONBLOCK);
	fcntl(plumbing->errors[0], F_SETFL, O_NONBLOCK);
	return 0;
}

/* The child: nothing of ours but three descriptors reaches the program. */
static void __attribute__((noreturn))
become(const char *path, char *const *argv, const struct plumbing *plumbing, pid_t parent)
{
	static const char *const environment[] = {
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=/", NULL
	};
	sigset_t none;
	int failure;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	umask(022);
	if (dup2(plumbing->input, 0) == 0 && dup2(plumbing->output[1], 1) == 1 &&
	    dup2(plumbing->errors[1], 2) == 2 && chdir("/") == 0 &&
	    close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
		execve(path, argv, (char *const *)environment);
	failure = errno;
	if (write(plumbing->failure[1], &failure, sizeof(failure)) < 0)
		_exit(126);
	_exit(127);
}

/* Take what is in a pipe now. Returns false at its end. */
static bool drain(int fd, struct str *text, size_t maximum, bool *truncated)
{
	char buffer[8192];

	for (;;) {
		ssize_t got = read(fd, buffer, sizeof(buffer));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 && errno == EAGAIN;
		if (text->length + (size_t)got > maximum) {
			*truncated = true;
			got = (ssize_t)(maximum - text->length);
		}
		str_append_bytes(text, buffer, (size_t)got);
	}
}

/* Collect output until the program has ended: 0 or -ETIMEDOUT. */
static int attend(const struct exec_request *request, int pidfd, const struct plumbing *plumbing,
		  struct exec_result *result)
{
	uint32_t deadline = request->deadline_ms ? request->deadline_ms : DEADLINE_DEFAULT_MS;
	size_t maximum = request->output_maximum ? request->output_maximum : OUTPUT_DEFAULT;
	uint64_t end = clock_monotonic_ms() + deadline;
	struct pollfd waits[3] = {
		{ .fd = pidfd, .events = POLLIN },
		{ .fd = plumbing->output[0], .events = POLLIN },
		{ .fd = plumbing->errors[0], .events = POLLIN },
	};

	for (;;) {
		uint64_t now = clock_monotonic_ms();

		if (now >= end)
			return -ETIMEDOUT;
		if (poll(waits, ARRAY_LENGTH(waits), (int)(end - now)) < 0 && errno != EINTR)
			return -errno;
		if (!drain(plumbing->output[0], &result->output, maximum, &result->truncated))
			waits[1].fd = -1;
		if (!drain(plumbing->errors[0], &result->errors, maximum, &result->truncated))
			waits[2].fd = -1;
		if (waits[0].revents)
			break;
	}
	drain(plumbing->output[0], &result->output, maximum, &result->truncated);
	drain(plumbing->errors[0], &result->errors, maximum, &result->truncated);
	return 0;
}

/* Wait for the child and note how it ended. */
static void reap(pid_t child, struct exec_result *result)
{
	int status = 0;

	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	result->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	result->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static int run_child(const struct exec_request *request, const char *path,
		     struct plumbing *plumbing, struct exec_result *result)
{
	pid_t parent = getpid();
	pid_t child = fork();
	PH_AUTO_CLOSE int pidfd = -1;
	int failure = 0, outcome;

	if (child < 0)
		return -errno;
	if (child == 0)
		become(path, (char *const *)request->argv, plumbing, parent);
	cleanup_close(&plumbing->output[1]);
	cleanup_close(&plumbing->errors[1]);
	cleanup_close(&plumbing->failure[1]);
	plumbing->output[1] = plumbing->errors[1] = plumbing->failure[1] = -1;
	pidfd = pidfd_open(child, 0);
	outcome = pidfd < 0 ? -errno : attend(request, pidfd, plumbing, result);
	if (outcome < 0)
		kill(child, SIGKILL);
	reap(child, result);
	if (outcome == 0 && read(plumbing->failure[0], &failure, sizeof(failure)) > 0)
		outcome = -failure;
	return outcome;
}

int exec_run(const struct exec_request *request, struct exec_result *ret_result,
	     struct ph_error *error)
{
	EXEC_AUTO_RESULT struct exec_result result = EXEC_RESULT_INIT;
	__attribute__((cleanup(plumbing_close))) struct plumbing plumbing;
	const char *name = request->argv[0];
	char path[EXEC_PATH_SIZE];
	int code = plumbing_open(&plumbing, request->input);

	if (code == 0)
		code = exec_find(name, path);
	if (code == -ENOENT)
		return error_set(error, code, name, "install the package that has this program",
				 "the program is not installed");
	if (code == 0)
		code = run_child(request, path, &plumbing, &result);
	if (code == -ETIMEDOUT)
		return error_set(error, code, name, NULL, "killed after %u ms without an end",
				 request->deadline_ms ? request->deadline_ms : DEADLINE_DEFAULT_MS);
	if (code < 0)
		return error_errno(error, code, name, NULL, "run program");
	*ret_result = result;
	result = EXEC_RESULT_INIT;
	return ret_result->exit_code == 0 ? EXEC_DONE : EXEC_FAILED;
}

/* The first line: programs say the cause first, then what they think of it. Cut off in place. */
static const char *first_line(struct str *text)
{
	char *line = text->data ? text->data + strspn(text->data, "\n") : NULL;

	if (!line || !*line)
		return "no reason given";
	line[strcspn(line, "\n")] = '\0';
	return line;
}

int exec_check(const char *const *argv, const char *input, char **ret_output,
	       struct ph_error *error)
{
	struct exec_request request = { .argv = argv, .input = input,
					.output_maximum = EXEC_OUTPUT_MAXIMUM };
	EXEC_AUTO_RESULT struct exec_result result = EXEC_RESULT_INIT;
	int code = exec_run(&request, &result, error);

	if (code < 0)
		return code;
	if (code == EXEC_FAILED && result.signal)
		return error_set(error, -EIO, argv[0], NULL, "ended by signal %d", result.signal);
	if (code == EXEC_FAILED)
		return error_set(error, -EIO, argv[0], NULL, "exit code %d: %s", result.exit_code,
				 first_line(&result.errors));
	if (result.truncated)
		return error_set(error, -EFBIG, argv[0], NULL, "more output than %d bytes",
				 EXEC_OUTPUT_MAXIMUM);
	if (ret_output)
		*ret_output = str_take(&result.output);
	return 0;
}

bool exec_is_installed(const char *name)
{
	char path[EXEC_PATH_SIZE];

	return exec_find(name, path) == 0;
}

void exec_result_fini(struct exec_result *result)
{
	str_fini(&result->output);
	str_fini(&result->errors);
}
