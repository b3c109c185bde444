/*
 * Control groups: the limits of the container, the host's groups, and whether the limits hold when
 * they are run against.
 */
#include "tests/escape/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether the current directory is the group that holds the container: below it, a container in the
 * container has a group of its own, which was delegated with its limits and frees from none. */
static bool is_container_group(void)
{
	struct stat here, wanted;

	return !stat(".", &here) && !stat(CONTAINER_GROUP, &wanted) && here.st_ino == wanted.st_ino;
}

/* A limit of the container: by a mount of one's own, whose root is the container's group or one
 * below it, else by the host's view. */
static void write_own_limit(const struct attempt *attempt, struct verdict *verdict)
{
	const char *step = "open";
	int fd;

	place_make(SCRATCH "/sys/fs/cgroup");
	if (mount("cgroup2", SCRATCH "/sys/fs/cgroup", "cgroup2", 0, NULL) ||
	    chdir(SCRATCH "/sys/fs/cgroup") || !is_container_group()) {
		step = "open by the host's view";
		if (chdir(CONTAINER_GROUP)) {
			verdict_refused(verdict, "the container's group", errno);
			return;
		}
	}
	fd = open(attempt->path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		verdict_refused(verdict, step, errno);
	else
		verdict_of(verdict, "write", write(fd, attempt->value, strlen(attempt->value)));
}

static void write_host_group(const struct attempt *attempt, struct verdict *verdict)
{
	int fd = open(attempt->path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		verdict_refused(verdict, "open", errno);
	else
		verdict_of(verdict, "write", write(fd, attempt->value, strlen(attempt->value)));
}

static void *wait_for_ever(void *unused)
{
	for (;;)
		pause();
	return unused;
}

/* Threads count as processes do. */
static void use_up_processes(const struct attempt *attempt, struct verdict *verdict)
{
	pthread_attr_t attributes;
	pthread_t thread;
	char detail[64];
	long count = 0;
	int result = 0;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 65536);
	while (count < attempt->number && !result) {
		result = pthread_create(&thread, &attributes, wait_for_ever, NULL);
		count += !result;
	}
	snprintf(detail, sizeof(detail), "%ld threads", count);
	if (result)
		verdict_refused(verdict, "clone", result);
	else
		verdict_done(verdict, detail);
	snprintf(verdict->detail, sizeof(verdict->detail), "%s", detail);
}

/* Written down before it happens: whoever goes over the limit is killed. */
static void use_up_memory(const struct attempt *attempt, struct verdict *verdict)
{
	size_t size = (size_t)attempt->number << 20;
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED) {
		verdict_refused(verdict, "mmap", errno);
		return;
	}
	verdict_refused(verdict, "killed at the limit", ENOMEM);
	if (madvise(memory, size, 23 /* MADV_POPULATE_WRITE */))
		verdict_refused(verdict, "populate", errno);
	else
		verdict_done(verdict, "all of it");
}

#define DENIED .group = GROUP_DENIED
#define U .walls = WALL_USERNS
/* The limit holds because the user namespace keeps its file from the container's root. */
#define LIMIT .walls = WALL_USERNS

static const struct attempt ROWS[] = {
	{ "own memory.max", write_own_limit, DENIED, U, .path = "memory.max", .value = "max" },
	{ "own pids.max", write_own_limit, DENIED, U, .path = "pids.max", .value = "max" },
	{ "own cpu.max", write_own_limit, DENIED, U, .path = "cpu.max", .value = "max" },
	{ "own cgroup.freeze", write_own_limit, DENIED, U, .path = "cgroup.freeze",
	  .value = "0" },
	{ "leave for the host's root group", write_host_group, DENIED, U,
	  .path = EXHIBITS "/cgroup/cgroup.procs", .value = "0" },
	{ "leave for a service's group", write_host_group, DENIED, U,
	  .path = EXHIBITS "/cgroup/escape-service/cgroup.procs", .value = "0" },
	{ "freeze a group of the host", write_host_group, DENIED, U,
	  .path = EXHIBITS "/cgroup/escape-service/cgroup.freeze", .value = "1" },
	{ "kill a group of the host", write_host_group, DENIED, U,
	  .path = EXHIBITS "/cgroup/escape-service/cgroup.kill", .value = "1" },
	{ "more processes than pids.max", use_up_processes, DENIED, LIMIT, .number = 140 },
	{ "more memory than memory.max", use_up_memory, DENIED, LIMIT, .number = 192 },
};

const struct theme CGROUPS = THEME("cgroups", ROWS);
