#include "agent/health/bounded.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/health/processes.h"
#include "common/cleanup.h"
#include "common/clock.h"

#define CHILD_NAME "phoenix-look"

void *bounded_alloc(size_t size)
{
	void *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shared == MAP_FAILED)
		abort();
	return shared;
}

void bounded_free(void *shared, size_t size)
{
	if (shared)
		munmap(shared, size);
}

/* Whether the pipe is closed within the time: the child's end does that, whatever ended it. */
static bool closes_within(int end, uint32_t deadline_ms)
{
	uint64_t deadline = clock_monotonic_ms() + deadline_ms;
	struct pollfd pollfd = { .fd = end, .events = POLLIN };
	int r;

	do {
		uint64_t now = clock_monotonic_ms();

		r = poll(&pollfd, 1, now < deadline ? (int)(deadline - now) : 0);
	} while (r < 0 && errno == EINTR);
	return r > 0;
}

static bool ends_within(int end, uint32_t deadline_ms, const size_t *progress)
{
	size_t before, now = 0;

	do {
		before = now;
		if (closes_within(end, deadline_ms))
			return true;
		now = progress ? __atomic_load_n(progress, __ATOMIC_RELAXED) : before;
	} while (now != before);
	return false;
}

static int child_ended(pid_t child)
{
	int status;

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ECHILD;
}

int bounded_run(void (*look)(void *shared), void *shared, uint32_t deadline_ms,
		const size_t *progress)
{
	PH_AUTO_CLOSE int read_end = -1;
	int ends[2];
	pid_t child;

	if (processes_count(CHILD_NAME, 'D') >= BOUNDED_STUCK_MAXIMUM)
		return -EBUSY;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	read_end = ends[0];
	child = fork();
	if (child < 0) {
		int r = -errno;

		close(ends[1]);
		return r;
	}
	if (child == 0) {
		prctl(PR_SET_NAME, CHILD_NAME);
		look(shared);
		_exit(0);
	}
	close(ends[1]);
	if (ends_within(read_end, deadline_ms, progress))
		return child_ended(child);
	kill(child, SIGKILL); /* and left to whoever reaps orphans: waiting is what must not be */
	return -ETIMEDOUT;
}
