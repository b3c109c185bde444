/*
 * File systems that would show a container the kernel's insides or the host's disk, and what the
 * profile keeps to Docker's data-root. Each type by mount(2), in a nested user namespace and by the
 * new mount API; with and without the flags that parser 3.0 lets through by mistake.
 */
#include "tests/escape/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <unistd.h>

static void mount_type(const struct attempt *attempt, struct verdict *verdict)
{
	const char *step;
	int result;

	if (attempt->accesses == ACCESS_DETACHED) {
		result = api_detached(attempt->type, &step);
		if (result < 0)
			verdict_refused(verdict, step, -result);
		else
			verdict_done(verdict, "detached");
		return;
	}
	result = attempt->accesses == ACCESS_NESTED ? nested_enter() : 0;
	if (result)
		verdict_refused(verdict, "nested", -result);
	else
		act_mount(attempt, verdict);
}

/* The host calls release_agent as its root when a group becomes empty (CVE-2022-0492). */
static void set_release_agent(const struct attempt *attempt, struct verdict *verdict)
{
	int fd = open("/proc/1/ns/cgroup", O_RDONLY | O_CLOEXEC);

	/* A hierarchy is made in the first cgroup namespace only: go as near to it as can be. */
	if (fd >= 0)
		setns(fd, CLONE_NEWCGROUP);
	place_make(attempt->path);
	if (mount("escape", attempt->path, "cgroup", 0, "none,name=escape")) {
		verdict_refused(verdict, "mount", errno);
		return;
	}
	fd = chdir(attempt->path) ? -1 : open("release_agent", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		verdict_refused(verdict, "open", errno);
	else
		verdict_of(verdict, "write", write(fd, "/bin/false", 10));
}

/* The host's disk, by a node that's there or by one made for it. */
static void mount_disk(const struct attempt *attempt, struct verdict *verdict)
{
	struct stat status;
	const char *node = EXHIBITS "/devices/root";

	place_make(attempt->path);
	if (attempt->number) {
		if (stat(node, &status) ||
		    mknod(SCRATCH "/disk", S_IFBLK | 0600, status.st_rdev)) {
			verdict_refused(verdict, "mknod", errno);
			return;
		}
		node = SCRATCH "/disk";
	}
	verdict_of(verdict, "mount", mount(node, attempt->path, "ext4", attempt->flags, NULL));
}

/* What the host bound in read-only stays so: as far as it can be undone, ids are left. */
static void write_read_only(const struct attempt *attempt, struct verdict *verdict)
{
	int fd;

	if (attempt->number && umount2(EXHIBITS "/readonly", MNT_DETACH)) {
		verdict_refused(verdict, "umount", errno);
		return;
	}
	if (!attempt->number &&
	    mount(NULL, EXHIBITS "/readonly", NULL, MS_REMOUNT | MS_BIND | attempt->flags, NULL)) {
		verdict_refused(verdict, "remount", errno);
		return;
	}
	fd = open(attempt->path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		verdict_refused(verdict, "open", errno);
	else
		verdict_of(verdict, "write", write(fd, "host\n", 5));
}

int act_beyond_profile(void)
{
	char place[] = "/tmp/escape-XXXXXX";

	place_make(ELSEWHERE "/beyond");
	if (!mount("escape", ELSEWHERE "/beyond", "ramfs", 0, NULL)) {
		umount2(ELSEWHERE "/beyond", MNT_DETACH);
		return 0;
	}
	if (errno != ENOENT || !mkdtemp(place))
		return -errno;
	return mount("escape", place, "ramfs", 0, NULL) ? -errno : 0;
}

#define DENIED .group = GROUP_DENIED
#define BY_ALL .walls = WALL_USERNS | WALL_APPARMOR, \
	       .accesses = ACCESS_USUAL | ACCESS_NESTED | ACCESS_DETACHED, .traits = TRAIT_UNSEEN
#define BY_MOUNT .walls = WALL_USERNS | WALL_APPARMOR
#define MAYBE_BY_MOUNT BY_MOUNT, .traits = TRAIT_OPTIONAL
#define BY_PROFILE .walls = WALL_APPARMOR

static const struct attempt ROWS[] = {
	{ "debugfs", mount_type, DENIED, BY_ALL | TRAIT_OPTIONAL, .type = "debugfs",
	  .path = ELSEWHERE "/x" },
	{ "tracefs", mount_type, DENIED, BY_ALL | TRAIT_OPTIONAL, .type = "tracefs",
	  .path = ELSEWHERE "/x" },
	{ "securityfs", mount_type, DENIED, BY_ALL, .type = "securityfs", .path = ELSEWHERE "/x" },
	{ "configfs", mount_type, DENIED, BY_ALL | TRAIT_OPTIONAL, .type = "configfs",
	  .path = ELSEWHERE "/x" },
	{ "pstore", mount_type, DENIED, BY_ALL | TRAIT_OPTIONAL, .type = "pstore",
	  .path = ELSEWHERE "/x" },
	{ "devtmpfs", mount_type, DENIED, BY_ALL, .type = "devtmpfs", .path = ELSEWHERE "/x" },
	{ "efivarfs", mount_type, DENIED, BY_ALL | TRAIT_OPTIONAL, .type = "efivarfs",
	  .path = ELSEWHERE "/x" },
	{ "hugetlbfs", mount_type, DENIED, BY_ALL | TRAIT_OPTIONAL, .type = "hugetlbfs",
	  .path = ELSEWHERE "/x" },
	{ "rpc_pipefs", mount_type, DENIED, .walls = WALL_APPARMOR, .traits = TRAIT_OPTIONAL,
	  .type = "rpc_pipefs", .path = ELSEWHERE "/x" },
	{ "debugfs nosuid,nodev,noexec", mount_type, DENIED, MAYBE_BY_MOUNT, .type = "debugfs",
	  .path = ELSEWHERE "/x", .flags = MS_NOSUID | MS_NODEV | MS_NOEXEC },
	{ "debugfs read-only", mount_type, DENIED, MAYBE_BY_MOUNT, .type = "debugfs",
	  .path = ELSEWHERE "/x", .flags = MS_RDONLY },
	{ "debugfs under the data-root", mount_type, DENIED, MAYBE_BY_MOUNT, .type = "debugfs",
	  .path = SCRATCH "/x/sys" },
	{ "tracefs nosuid", mount_type, DENIED, MAYBE_BY_MOUNT, .type = "tracefs",
	  .path = ELSEWHERE "/x", .flags = MS_NOSUID },
	{ "securityfs read-only", mount_type, DENIED, BY_MOUNT, .type = "securityfs",
	  .path = SCRATCH "/x", .flags = MS_RDONLY },
	{ "devtmpfs nosuid,noexec", mount_type, DENIED, BY_MOUNT, .type = "devtmpfs",
	  .path = SCRATCH "/x/dev", .flags = MS_NOSUID | MS_NOEXEC },
	{ "cgroup v1 and its release_agent", set_release_agent, DENIED, BY_MOUNT,
	  .path = SCRATCH "/x/sys/fs/cgroup" },
	{ "the host's disk", mount_disk, DENIED, BY_MOUNT, .path = ELSEWHERE "/x" },
	{ "the host's disk by a node of one's own", mount_disk, DENIED, BY_MOUNT,
	  .path = ELSEWHERE "/x", .number = 1 },
	{ "host's read-only directory, remounted", write_read_only, DENIED, .walls = WALL_USERNS,
	  .path = EXHIBITS "/readonly/mine" },
	{ "host's read-only directory, nosuid remount", write_read_only, DENIED,
	  .walls = WALL_USERNS, .path = EXHIBITS "/readonly/mine", .flags = MS_NOSUID },

	/* Refused by the profile alone: the user namespace has nothing against them. */
	{ "ramfs", act_mount, DENIED, BY_PROFILE, .type = "ramfs", .path = ELSEWHERE "/x" },
	{ "ramfs nosuid", act_mount, DENIED, BY_PROFILE, .type = "ramfs", .path = ELSEWHERE "/x",
	  .flags = MS_NOSUID },
	{ "ramfs read-only", act_mount, DENIED, BY_PROFILE, .type = "ramfs",
	  .path = ELSEWHERE "/x", .flags = MS_RDONLY },
	{ "proc at another name", act_mount, DENIED, BY_PROFILE, .type = "proc",
	  .path = ELSEWHERE "/p" },
	{ "proc at another name, nosuid", act_mount, DENIED, BY_PROFILE, .type = "proc",
	  .path = ELSEWHERE "/p", .flags = MS_NOSUID | MS_NODEV | MS_NOEXEC },
	{ "sysfs at another name", act_mount, DENIED, BY_PROFILE, .type = "sysfs",
	  .path = ELSEWHERE "/s", .flags = MS_RDONLY },
	{ "fuse outside the data-root", act_mount_fuse, DENIED, BY_PROFILE, .type = "fuse",
	  .path = ELSEWHERE "/x" },
	{ "fuse outside the data-root, nodev", act_mount_fuse, DENIED, BY_PROFILE,
	  .type = "fuse.fuse-overlayfs", .path = ELSEWHERE "/x", .flags = MS_NODEV },
	{ "fuse.evil under the data-root", act_mount_fuse, DENIED, BY_PROFILE,
	  .type = "fuse.evil", .path = SCRATCH "/x", .flags = MS_NOSUID },
	{ "overlay outside the data-root", act_mount_overlay, DENIED, BY_PROFILE,
	  .path = ELSEWHERE "/x", .flags = MS_NOSUID },
	{ "overlay beside the data-root", act_mount_overlay, DENIED, BY_PROFILE,
	  .path = "/var/lib/docker-evil", .flags = MS_NODEV },
	{ "overlay outside the data-root, no flags", act_mount_overlay, DENIED, BY_PROFILE,
	  .path = ELSEWHERE "/x" },
	{ "pivot_root outside the data-root", act_pivot, DENIED, BY_PROFILE,
	  .path = ELSEWHERE "/x" },
};

const struct theme MOUNTS = THEME("mounts", ROWS);
