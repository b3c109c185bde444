/*
 * One attempt, one child: with a mount namespace, a scratch directory, a limit of time and a page
 * that it shares with its parent, where the verdict lands before anything can kill it.
 */
#include "tests/escape/escape.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void make_attempt(const struct attempt *attempt, enum access access,
			 struct verdict *verdict)
{
	struct attempt one = *attempt;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setpgid(0, 0);
	signal(SIGPIPE, SIG_IGN);
	place_prepare();
	one.accesses = access;
	one.run(&one, verdict);
	_exit(0);
}

static int64_t milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Wait for a child's end, at most the limit. Returns whether it ended by itself. */
static bool wait_for(pid_t child, int *status)
{
	int64_t end = milliseconds() + ATTEMPT_LIMIT;
	struct timespec pause = { .tv_nsec = 500000 };

	for (;;) {
		pid_t ended = waitpid(child, status, WNOHANG);

		if (ended == child)
			return true;
		if ((ended < 0 && errno != EINTR) || milliseconds() > end)
			return false;
		nanosleep(&pause, NULL);
	}
}

void run_attempt(const struct attempt *attempt, enum access access, struct verdict *verdict)
{
	struct verdict *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = 0;
	pid_t child;

	memset(verdict, 0, sizeof(*verdict));
	if (shared == MAP_FAILED) {
		verdict_broken(verdict, "mmap", errno);
		return;
	}
	verdict_broken(shared, "no verdict", 0);
	child = fork();
	if (child == 0)
		make_attempt(attempt, access, shared);
	if (child < 0) {
		verdict_broken(shared, "fork", errno);
	} else if (!wait_for(child, &status)) {
		shared->outcome = OUTCOME_HUNG;
		kill(-child, SIGKILL);
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
	} else if (WIFSIGNALED(status) && shared->outcome == OUTCOME_BROKEN) {
		snprintf(shared->detail, sizeof(shared->detail), "killed by signal %d",
			 WTERMSIG(status));
	}
	kill(-child, SIGKILL);
	*verdict = *shared;
	munmap(shared, sizeof(*shared));
}
