/*
 * A nested user namespace with everything below it: the way to capabilities that look whole, and to
 * instances of procfs and sysfs that the kernel lets its owner mount.
 */
#include "tests/escape/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int write_map(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int result = 0;

	if (fd < 0)
		return -errno;
	if (dprintf(fd, "%s", text) < 0)
		result = -errno;
	close(fd);
	return result;
}

int nested_enter(void)
{
	uid_t user = geteuid();
	gid_t group = getegid();
	char map[64];
	int result, status;
	pid_t child;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC))
		return -errno;
	write_map("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", user);
	result = write_map("/proc/self/uid_map", map);
	if (result)
		return result;
	snprintf(map, sizeof(map), "0 %u 1", group);
	result = write_map("/proc/self/gid_map", map);
	if (result)
		return result;
	/* The pid namespace begins with the next child; the verdict is in shared memory. */
	child = fork();
	if (child < 0)
		return -errno;
	if (child > 0) {
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
		_exit(0);
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	return 0;
}
