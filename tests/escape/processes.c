/*
 * The host's processes, seen through the host's own procfs, which the suite binds in; and the
 * sealed memory file as which a helper of the host comes into a container.
 */
#include "tests/escape/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOST_INIT EXHIBITS "/proc/1/"

static void open_of_process(const struct attempt *attempt, struct verdict *verdict)
{
	char byte;
	int fd = open(attempt->path, (int)attempt->flags | O_CLOEXEC);

	if (fd < 0)
		verdict_refused(verdict, "open", errno);
	else if (attempt->number && read(fd, &byte, 1) != 1)
		verdict_refused(verdict, "read", errno ? errno : EACCES);
	else
		verdict_done(verdict, NULL);
}

static void enter_of_process(const struct attempt *attempt, struct verdict *verdict)
{
	int fd = open(attempt->path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		verdict_refused(verdict, "open", errno);
	else
		verdict_of(verdict, "setns", setns(fd, 0));
}

static void write_of_process(const struct attempt *attempt, struct verdict *verdict)
{
	int fd = open(attempt->path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		verdict_refused(verdict, "open", errno);
	else
		verdict_of(verdict, "write", write(fd, attempt->value, strlen(attempt->value)));
}

/* A directory of procfs is a descriptor of its process as well. */
static void signal_process(const struct attempt *attempt, struct verdict *verdict)
{
	int fd = open(attempt->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		verdict_refused(verdict, "open", errno);
	else
		verdict_of(verdict, "pidfd_send_signal",
			   syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
}

/* A copy of this program in memory, executed and waiting. Returns its pid. */
static pid_t start_copy(unsigned seals)
{
	char buffer[65536], *const arguments[] = { strdup("escape"), strdup("--init"), NULL },
			    *const environment[] = { NULL };
	int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), reopened;
	int copy = memfd_create("helper", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	char path[64];
	ssize_t size;
	pid_t child;

	while ((size = read(self, buffer, sizeof(buffer))) > 0)
		if (write(copy, buffer, (size_t)size) != size)
			return -1;
	close(self);
	fcntl(copy, F_ADD_SEALS, seals);
	/* Nothing that's open for writing can be executed. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", copy);
	reopened = open(path, O_RDONLY | O_CLOEXEC);
	close(copy);
	child = fork();
	if (!child) {
		fexecve(reopened, arguments, environment);
		_exit(1);
	}
	close(reopened);
	return child;
}

/* CVE-2019-5736: hold the running helper's image, write to it once it's no longer busy. */
static int overwrite_copy(pid_t helper)
{
	char path[64], reopen[64], target[64] = "";
	int image, fd = -1, status;
	ssize_t written = -1;

	snprintf(path, sizeof(path), "/proc/%d/exe", helper);
	for (int i = 0; i < 1000 && !strstr(target, "helper"); i++) {
		memset(target, 0, sizeof(target));
		if (readlink(path, target, sizeof(target) - 1) < 0)
			break;
		usleep(1000);
	}
	image = open(path, O_RDONLY | O_CLOEXEC);
	kill(helper, SIGKILL);
	waitpid(helper, &status, 0);
	if (image < 0 || !strstr(target, "helper"))
		return -ESRCH;
	snprintf(reopen, sizeof(reopen), "/proc/self/fd/%d", image);
	/* The dead process lets go of its image a moment later. */
	for (int i = 0; i < 500 && fd < 0; i++) {
		fd = open(reopen, O_WRONLY | O_CLOEXEC);
		if (fd >= 0 || errno != ETXTBSY)
			break;
		usleep(1000);
	}
	if (fd >= 0)
		written = write(fd, "evil", 4);
	return written == 4 ? 0 : -errno;
}

static void overwrite_helper(const struct attempt *attempt, struct verdict *verdict)
{
	int result = overwrite_copy(start_copy(0));

	if (result) {
		verdict_broken(verdict, "control: unsealed copy", -result);
		return;
	}
	result = overwrite_copy(
		start_copy(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE));
	if (result)
		verdict_refused(verdict, "write", -result);
	else
		verdict_done(verdict, "overwritten");
}

#define DENIED .group = GROUP_DENIED
#define U .walls = WALL_USERNS
#define UA .walls = WALL_USERNS | WALL_APPARMOR
#define FILE_OF(file) .path = HOST_INIT file

static const struct attempt ROWS[] = {
	{ "root of the host's init", open_of_process, DENIED, UA, FILE_OF("root/etc/hostname") },
	{ "working directory of the host's init", open_of_process, DENIED, UA, FILE_OF("cwd/etc"),
	  .flags = O_DIRECTORY },
	{ "environment of the host's init", open_of_process, DENIED, UA, FILE_OF("environ") },
	{ "memory of the host's init", open_of_process, DENIED, UA, FILE_OF("mem"),
	  .flags = O_RDWR },
	{ "maps of the host's init", open_of_process, DENIED, UA, FILE_OF("maps") },
	{ "descriptors of the host's init", open_of_process, DENIED, U, FILE_OF("fd"),
	  .flags = O_DIRECTORY },
	{ "auxiliary vector of the host's init", open_of_process, DENIED, UA, FILE_OF("auxv") },
	{ "stack of the host's init", open_of_process, DENIED, U, FILE_OF("stack"), .number = 1,
	  .traits = TRAIT_OPTIONAL },
	{ "clear_refs of the host's init", open_of_process, DENIED, U, FILE_OF("clear_refs"),
	  .flags = O_WRONLY, .traits = TRAIT_OPTIONAL },
	{ "oom_score_adj of the host's init", write_of_process, DENIED, U,
	  FILE_OF("oom_score_adj"), .value = "0" },
	{ "uid_map of the host's init", open_of_process, DENIED, U, FILE_OF("uid_map"),
	  .flags = O_WRONLY },
	{ "host's mount namespace", enter_of_process, DENIED, UA, FILE_OF("ns/mnt") },
	{ "host's pid namespace", enter_of_process, DENIED, UA, FILE_OF("ns/pid") },
	{ "host's network namespace", enter_of_process, DENIED, UA, FILE_OF("ns/net") },
	{ "host's ipc namespace", enter_of_process, DENIED, UA, FILE_OF("ns/ipc") },
	{ "host's uts namespace", enter_of_process, DENIED, UA, FILE_OF("ns/uts") },
	{ "host's cgroup namespace", enter_of_process, DENIED, UA, FILE_OF("ns/cgroup") },
	{ "signal to the host's init", signal_process, DENIED, .walls = WALL_NAMESPACE,
	  .path = EXHIBITS "/proc/1" },
	{ "host's sysctl through its procfs", open_of_process, DENIED, UA,
	  .path = EXHIBITS "/proc/sys/kernel/core_pattern", .flags = O_WRONLY },
	{ "host's sysrq through its procfs", open_of_process, DENIED, UA,
	  .path = EXHIBITS "/proc/sysrq-trigger", .flags = O_WRONLY },
	{ "another container's secret", open_of_process, DENIED, U,
	  .path = EXHIBITS "/neighbour/rootfs/etc/secret" },
	{ "another container's rootfs for writing", open_of_process, DENIED, U,
	  .path = EXHIBITS "/neighbour/rootfs/etc/open", .flags = O_WRONLY },
	{ "pushed helper's image, once it's idle", overwrite_helper, DENIED,
	  .traits = TRAIT_CONTROLLED, .why = "the seals of the memory file" },
};

const struct theme PROCESSES = THEME("processes", ROWS);
