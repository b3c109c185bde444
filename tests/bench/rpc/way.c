/* What the ways of calling share. */
#include "tests/bench/rpc/way.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

const struct way_condition way_conditions[WAY_CONDITIONS] = {
	{ "AgentConnected", "AsExpected", "looked at", 1763935200123 },
	{ "DockerResponding", "AsExpected", "looked at", 1763935200123 },
	{ "StorageSound", "AsExpected", "looked at", 1763935200123 },
	{ "Confined", "AsExpected", "looked at", 1763935200123 },
};

_Noreturn void way_die(const char *what)
{
	fprintf(stderr, "bench-rpc: %s: %s\n", what, strerror(errno));
	exit(1);
}

uint64_t way_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int way_fork(void (*serve)(int fd))
{
	int fds[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		way_die("socketpair");
	pid = fork();
	if (pid < 0)
		way_die("fork");
	if (pid > 0) {
		close(fds[1]);
		return fds[0];
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(fds[0]);
	serve(fds[1]);
	_exit(0);
}
