/*
 * Everything that may fail for want of memory is done before the fork; between fork and exec there are
 * system calls only.
 */
#include "agent/system/command_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"

/* What a program may need to know of the agent's own surroundings: proxies, and Go's run-time switch. */
static const char *const inherited[COMMAND_INHERITED] = {
	"http_proxy",
	"https_proxy",
	"no_proxy",
	"GODEBUG",
};

static void environment_fill(struct command_child *child)
{
	const struct command *command = child->command;
	size_t count = 0, last = COMMAND_ENVIRONMENT_MAXIMUM - 1;

	snprintf(child->path_variable, sizeof(child->path_variable), "PATH=%s",
		 command->path ? command->path : COMMAND_PATH);
	child->environment[count++] = child->path_variable;
	child->environment[count++] = "HOME=/root";
	child->environment[count++] = "LC_ALL=C.UTF-8";
	child->environment[count++] = "DEBIAN_FRONTEND=noninteractive";
	for (size_t i = 0; i < ARRAY_LENGTH(inherited); i++) {
		const char *value = getenv(inherited[i]);

		if (!value)
			continue;
		if ((size_t)snprintf(child->inherited[i], sizeof(child->inherited[i]), "%s=%s",
				     inherited[i], value) < sizeof(child->inherited[i]))
			child->environment[count++] = child->inherited[i];
	}
	for (size_t i = 0; command->environment && command->environment[i] && count < last; i++)
		child->environment[count++] = command->environment[i];
	child->environment[count] = NULL;
}

/* Find argv[0] as a shell would. */
static int program_find(struct command_child *child)
{
	const char *name = child->command->argv[0];
	const char *path = child->command->path ? child->command->path : COMMAND_PATH;

	if (strchr(name, '/'))
		return text_copy(child->program, sizeof(child->program), name) ? 0 : -ENAMETOOLONG;
	while (*path) {
		size_t length = strcspn(path, ":");
		PH_AUTO_FREE char *seen = ph_format("%.*s/%s", (int)length, path, name);
		struct stat status;

		if (length > 0 && stat(seen, &status) == 0 && S_ISREG(status.st_mode) &&
		    (status.st_mode & 0111))
			return text_copy(child->program, sizeof(child->program), seen) ?
				       0 :
				       -ENAMETOOLONG;
		path += length + (path[length] == ':');
	}
	return -ENOENT;
}

int command_child_init(struct command_child *child, const struct command *command)
{
	*child = (struct command_child){
		.command = command, .input = -1, .failure = -1, .ends = { -1, -1, -1 }
	};
	environment_fill(child);
	return program_find(child);
}

/* Close once: the numbers are soon used again. */
static void end_close(int *fd)
{
	cleanup_close(fd);
	*fd = -1;
}

void command_child_fini(struct command_child *child)
{
	end_close(&child->input);
	end_close(&child->failure);
	for (size_t i = 0; i < COMMAND_STREAMS; i++)
		end_close(&child->ends[i]);
}

static void child_fail(const struct command_child *child)
{
	int code = errno;

	(void)!write(child->failure, &code, sizeof(code));
	_exit(127);
}

static void signals_reset(void)
{
	sigset_t none;

	for (int signal_number = 1; signal_number < NSIG; signal_number++)
		signal(signal_number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Move a descriptor out of the way of 0..COMMAND_STATUS_FD. */
static int moved_up(int fd)
{
	return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, COMMAND_STATUS_FD + 1);
}

static void descriptors_place(struct command_child *child)
{
	int input = moved_up(child->input);
	int ends[COMMAND_STREAMS];

	for (size_t i = 0; i < COMMAND_STREAMS; i++)
		ends[i] = moved_up(child->ends[i]);
	child->failure = moved_up(child->failure);
	if (dup2(input, 0) < 0 || dup2(ends[COMMAND_OUTPUT], 1) < 0 ||
	    dup2(ends[COMMAND_ERRORS], 2) < 0)
		child_fail(child);
	if (ends[COMMAND_STATUS] < 0)
		close(COMMAND_STATUS_FD);
	else if (dup2(ends[COMMAND_STATUS], COMMAND_STATUS_FD) < 0)
		child_fail(child);
	/* Everything above stays open until exec: failure is among it. */
	if (close_range(COMMAND_STATUS_FD + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		for (int fd = COMMAND_STATUS_FD + 1; fd < 1024; fd++)
			fcntl(fd, F_SETFD, FD_CLOEXEC);
}

_Noreturn void command_child_run(struct command_child *child, pid_t parent)
{
	const struct command *command = child->command;

	setsid();
	signals_reset();
	descriptors_place(child);
	if (!command->outlive) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(127);
	}
	umask(022);
	execve(child->program, (char *const *)command->argv, (char *const *)child->environment);
	child_fail(child);
	_exit(127);
}

static void limit_raise(int resource)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(resource, &limit);
	}
}

/* Init, or whoever reaps for it, becomes the daemon's parent. */
_Noreturn void command_child_detach(struct command_child *child)
{
	pid_t daemon;

	setsid();
	daemon = fork();
	if (daemon < 0)
		child_fail(child);
	if (daemon > 0)
		_exit(0);
	signals_reset();
	descriptors_place(child);
	limit_raise(RLIMIT_NOFILE);
	limit_raise(RLIMIT_NPROC);
	umask(022);
	if (chdir("/") == 0)
		execve(child->program, (char *const *)child->command->argv,
		       (char *const *)child->environment);
	child_fail(child);
	_exit(127);
}
