/*
 * The new mount API, which AppArmor does not see (move_mount only from Linux 6.7 on): reconfiguring
 * what the host mounted, clearing attributes, idmapped mounts, and walking around the mount rules.
 */
#include "tests/escape/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void reconfigure(const struct attempt *attempt, struct verdict *verdict)
{
	int fd = api_fspick(AT_FDCWD, attempt->path, FSPICK_CLOEXEC | FSPICK_NO_AUTOMOUNT);

	if (fd < 0)
		verdict_refused(verdict, "fspick", errno);
	else
		verdict_of(verdict, "fsconfig",
			   api_fsconfig(fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0));
}

static void open_in_detached(const struct attempt *attempt, struct verdict *verdict)
{
	const char *step;
	int fd = api_detached(attempt->type, &step);

	if (fd < 0)
		verdict_refused(verdict, step, -fd);
	else
		verdict_of(verdict, "openat", openat(fd, attempt->path, O_WRONLY | O_CLOEXEC));
}

/* Clear the read-only attribute of what the host bound in, in place or on a copy, and write. */
static void clear_read_only(const struct attempt *attempt, struct verdict *verdict)
{
	int tree = AT_FDCWD, file;
	const char *path = EXHIBITS "/readonly";

	if (attempt->number) {
		tree = api_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
		path = "";
		if (tree < 0) {
			verdict_refused(verdict, "open_tree", errno);
			return;
		}
	}
	if (api_clear_attributes(tree, path, attempt->number ? AT_EMPTY_PATH : 0,
				 MOUNT_ATTR_RDONLY)) {
		verdict_refused(verdict, "mount_setattr", errno);
		return;
	}
	file = attempt->number ? openat(tree, "mine", O_WRONLY | O_CLOEXEC) :
				 open(EXHIBITS "/readonly/mine", O_WRONLY | O_CLOEXEC);
	if (file < 0)
		verdict_refused(verdict, "open", errno);
	else
		verdict_of(verdict, "write", write(file, "host\n", 5));
}

/* A copy of the root on which the host's ids look like ours. */
static void map_ids(const struct attempt *attempt, struct verdict *verdict)
{
	struct mount_attr change = { .attr_set = MOUNT_ATTR_IDMAP };
	char path[64];
	int ready[2], tree = api_open_tree(AT_FDCWD, "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	pid_t child;
	char byte;

	if (tree < 0) {
		verdict_refused(verdict, "open_tree", errno);
		return;
	}
	if (pipe(ready)) {
		verdict_broken(verdict, "pipe", errno);
		return;
	}
	child = fork();
	if (!child) {
		if (unshare(CLONE_NEWUSER) || write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	if (read(ready[0], &byte, 1) != 1) {
		verdict_broken(verdict, "unshare", errno);
		return;
	}
	for (int i = 0; i < 2; i++) {
		int map;

		snprintf(path, sizeof(path), "/proc/%d/%cid_map", child, "ug"[i]);
		map = open(path, O_WRONLY | O_CLOEXEC);
		if (map < 0 || write(map, "0 0 1000", 8) != 8)
			verdict_broken(verdict, "map", errno);
		close(map);
	}
	snprintf(path, sizeof(path), "/proc/%d/ns/user", child);
	change.userns_fd = (uint64_t)open(path, O_RDONLY | O_CLOEXEC);
	verdict_of(verdict, "mount_setattr", syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH,
						     &change, sizeof(change)));
}

/* Around the profile's mount rules: a type it refuses, at a place it refuses. */
static void attach_new(const struct attempt *attempt, struct verdict *verdict)
{
	const char *step;
	int fd = api_detached(attempt->type, &step);

	place_make(attempt->path);
	if (fd < 0)
		verdict_refused(verdict, step, -fd);
	else
		verdict_of(verdict, "move_mount",
			   api_move_mount(fd, "", AT_FDCWD, attempt->path,
					  MOVE_MOUNT_F_EMPTY_PATH));
}

/* A read-only part of procfs, copied to where no rule knows it. */
static void attach_copy(const struct attempt *attempt, struct verdict *verdict)
{
	int tree = api_open_tree(AT_FDCWD, attempt->path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
								   (unsigned)AT_RECURSIVE);

	place_make(ELSEWHERE "/x");
	if (tree < 0)
		verdict_refused(verdict, "open_tree", errno);
	else
		verdict_of(verdict, "move_mount",
			   api_move_mount(tree, "", AT_FDCWD, ELSEWHERE "/x",
					  MOVE_MOUNT_F_EMPTY_PATH));
}

/* The 32-bit gate of a 64-bit program: another table of numbers, the same policy. */
static void call_32(const struct attempt *attempt, struct verdict *verdict)
{
#ifdef __x86_64__
	/* Arguments have to lie where 32 bits reach. */
	char *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	char link[64], target[128] = "";
	long result;

	if (low == MAP_FAILED) {
		verdict_broken(verdict, "mmap", errno);
		return;
	}
	strcpy(low, attempt->type);
	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(attempt->number), "b"(low), "c"(0L)
			 : "memory", "r8", "r9", "r10", "r11");
	result = (int)result;
	if (result < 0) {
		verdict_refused(verdict, "int 0x80", (int)-result);
		return;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%ld", result);
	if (readlink(link, target, sizeof(target) - 1) < 0 || !strstr(target, "fscontext"))
		verdict_refused(verdict, "not the call", ENOSYS);
	else
		verdict_done(verdict, target);
#else
	verdict_refused(verdict, "int 0x80", ENOSYS);
#endif
}

#define DENIED .group = GROUP_DENIED
#define BOTH .walls = WALL_USERNS | WALL_SECCOMP
#define SECCOMP .walls = WALL_SECCOMP

static const struct attempt ROWS[] = {
	{ "reconfigure /sys", reconfigure, DENIED, BOTH, .path = "/sys" },
	{ "reconfigure /", reconfigure, DENIED, BOTH, .path = "/" },
	{ "securityfs' .remove in a detached mount", open_in_detached, DENIED, BOTH,
	  .type = "securityfs", .path = "apparmor/.remove" },
	{ "securityfs' .load in a detached mount", open_in_detached, DENIED, BOTH,
	  .type = "securityfs", .path = "apparmor/.load" },
	{ "a disk's node in a detached devtmpfs", open_in_detached, DENIED, BOTH,
	  .type = "devtmpfs", .path = "kmsg" },
	{ "host's read-only directory, mount_setattr", clear_read_only, DENIED, BOTH },
	{ "host's read-only directory, copied", clear_read_only, DENIED, BOTH, .number = 1 },
	{ "idmapped copy of the root", map_ids, DENIED, BOTH },
	{ "ramfs by move_mount", attach_new, DENIED, SECCOMP, .type = "ramfs",
	  .path = ELSEWHERE "/x" },
	{ "proc at another name by move_mount", attach_new, DENIED, SECCOMP, .type = "proc",
	  .path = ELSEWHERE "/p" },
	{ "sysfs at another name by move_mount", attach_new, DENIED, SECCOMP, .type = "sysfs",
	  .path = ELSEWHERE "/s" },
	{ "copy of /proc/sys elsewhere", attach_copy, DENIED, SECCOMP, .path = "/proc/sys" },
	{ "fsopen by the 32-bit gate", call_32, DENIED, SECCOMP, .type = "tmpfs", .number = 430,
	  .traits = TRAIT_OPTIONAL },
};

const struct theme MOUNT_API = THEME("mount-api", ROWS);
