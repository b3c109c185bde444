#include "tests/component/clone_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "controller/host/image/image.h"
#include "controller/host/tree/paths.h"
#include "controller/host/tree/subvolume.h"
#include "controller/host/tree/tree.h"

const enum clone_method clone_fixture_methods[] = { CLONE_OVERLAY, CLONE_SNAPSHOT, CLONE_REFLINK,
						     CLONE_COPY };

/* cap_net_raw+ep as revision 2, as setcap writes it. */
const char clone_fixture_capability[20] = "\x01\x00\x00\x02\x00\x20\x00\x00";
/* user::rw-, user:1000:r--, group::r--, mask::r--, other::--- as the kernel keeps it. */
const unsigned char clone_fixture_acl[] = {
	2, 0, 0, 0, 1,	  0, 6, 0, 255, 255, 255, 255, 2,   0,	 4,   0,   232, 3, 0, 0, 4,   0,
	4, 0, 255, 255, 255, 255, 16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
};

const struct tar_entry clone_fixture_entries[] = {
	{ 'f', "usr/bin/sudo", "setuid", 04755 },
	{ 'f', "usr/bin/ping", "caps", 0755, 0, 0, "security.capability", clone_fixture_capability,
	  sizeof(clone_fixture_capability) },
	{ 'h', "usr/bin/ping2", "usr/bin/ping" },
	{ 'f', "var/mail", "m", 02775, 8, 1000 },
	{ 'd', "var/deep", NULL, 01777, 33, 33 },
	{ 'f', "var/deep/acl", "a" },
	{ 's', "var/sparse" },
	{ 'l', "etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf", 0777 },
	{ 'l', "var/link", "/etc/passwd", 0777, 7, 7 },
	{ 0 },
};

void clone_fixture_image(const struct host_fixture *fixture, const char *name,
		       const struct tar_entry *entries)
{
	const struct image_import request = { .name = name, .spool_file = "a.tar" };
	struct image image;

	host_fixture_spool_system(fixture, "a.tar", entries);
	assert_int_equal(image_import(&fixture->config, &request, &image, NULL), IMAGE_CHANGED);
}

struct clone_request clone_fixture_request(const char *name, enum clone_method method)
{
	return (struct clone_request){ name, "web", CLONE_FIXTURE_BASE, CLONE_FIXTURE_COUNT, method,
				       CLONE_FIXTURE_RESOLV };
}

bool clone_fixture_works(const struct host_fixture *fixture, enum clone_method method)
{
	struct clone_probe probe;
	const char *reason = probe.reasons[method];

	assert_int_equal(clone_probe(&fixture->config, &probe, NULL), 0);
	if (*reason)
		print_message("# SKIP: %s: %s\n", clone_method_name(method), reason);
	return !*reason;
}

char *clone_fixture_inside(const struct host_fixture *fixture, const char *name, const char *path)
{
	char root[PATHS_SIZE];

	if (clone_rootfs_path(&fixture->config, name, root, sizeof(root), NULL) < 0)
		return ph_format("%s/state/containers/%s/rootfs/%s", fixture->base, name, path);
	return ph_format("%s/%s", root, path);
}

int clone_fixture_mounts(const struct host_fixture *fixture)
{
	PH_AUTO_FILE FILE *mounts = fopen("/proc/self/mountinfo", "re");
	char line[4096];
	int count = 0;

	assert_non_null(mounts);
	while (fgets(line, sizeof(line), mounts))
		count += strstr(line, fixture->base) != NULL;
	return count;
}

int clone_fixture_as_container(int (*act)(const char *rootfs), const char *rootfs)
{
	int ready[2], mapped[2], status = 0;
	char map[64], path[64], byte = 0;
	pid_t child;

	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(mapped), 0);
	child = fork();
	if (child == 0) {
		if (unshare(CLONE_NEWUSER) < 0 || write(ready[1], &byte, 1) != 1 ||
		    read(mapped[0], &byte, 1) != 1 || setgid(0) < 0 || setuid(0) < 0)
			_exit(120);
		_exit(act(rootfs));
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	snprintf(map, sizeof(map), "0 %d %d", CLONE_FIXTURE_BASE, CLONE_FIXTURE_COUNT);
	for (int i = 0; i < 2; i++) {
		int fd;

		snprintf(path, sizeof(path), "/proc/%d/%s", child, i ? "gid_map" : "uid_map");
		fd = open(path, O_WRONLY);
		assert_int_equal(write(fd, map, strlen(map)), (ssize_t)strlen(map));
		close(fd);
	}
	assert_int_equal(write(mapped[1], &byte, 1), 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	for (int i = 0; i < 2; i++) {
		close(ready[i]);
		close(mapped[i]);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 127;
}

int clone_fixture_make_subvolumes(const char *rootfs)
{
	struct btrfs_ioctl_vol_args_v2 outer = { .name = "outer" }, inner = { .name = "inner" };
	uint64_t read_only = BTRFS_SUBVOL_RDONLY;
	int root = open(rootfs, O_RDONLY | O_DIRECTORY), dir;

	if (root < 0 || ioctl(root, BTRFS_IOC_SUBVOL_CREATE_V2, &outer) < 0)
		return 1;
	dir = openat(root, "outer", O_RDONLY | O_DIRECTORY);
	if (dir < 0 || ioctl(dir, BTRFS_IOC_SUBVOL_CREATE_V2, &inner) < 0)
		return 2;
	return ioctl(dir, BTRFS_IOC_SUBVOL_SETFLAGS, &read_only) < 0 ? 3 : 0;
}

void clone_fixture_add_acl(const struct host_fixture *fixture)
{
	PH_AUTO_FREE char *path =
		host_fixture_path(fixture, "state/images/web/rootfs/var/deep/acl");
	PH_AUTO_CLOSE int image = -1;

	assert_int_equal(image_open_rootfs(&fixture->config, "web", &image, NULL), 0);
	if (subvolume_is(image)) {
		assert_int_equal(truncate(path, 0), -1);
		assert_int_equal(errno, EROFS);
		assert_int_equal(subvolume_set_read_only(image, false), 0);
	}
	assert_int_equal(setxattr(path, "system.posix_acl_access", clone_fixture_acl,
				  sizeof(clone_fixture_acl), 0), 0);
	if (subvolume_is(image))
		assert_int_equal(subvolume_set_read_only(image, true), 0);
}

/*
 * Put the state directory on a small file system of its own kind; false when this host has no such
 * one. The caller unmounts it.
 */
static bool mount_state(const struct host_fixture *fixture, const char *type)
{
	PH_AUTO_FREE char *command = ph_format(
		"rm -f %1$s/disk && truncate -s 400M %1$s/disk && mkfs.%2$s -q %1$s/disk >/dev/null 2>&1 && "
		"mount -t %2$s -o loop %1$s/disk %1$s/state >/dev/null 2>&1", fixture->base, type);

	return system(command) == 0 && paths_ensure_all(&fixture->config, NULL) == 0;
}

bool clone_fixture_begin_on(const struct host_fixture *fixture, const char *type)
{
	if (!mount_state(fixture, type)) {
		print_message("# SKIP: no %s here (mkfs.%s, loop device)\n", type, type);
		return false;
	}
	clone_fixture_image(fixture, "web", clone_fixture_entries);
	clone_fixture_add_acl(fixture);
	return true;
}

void clone_fixture_end_on(const struct host_fixture *fixture)
{
	PH_AUTO_FREE char *where = host_fixture_path(fixture, "state");

	assert_int_equal(image_remove(&fixture->config, "web", NULL), IMAGE_CHANGED);
	assert_int_equal(host_fixture_entries(fixture, "state/images"), 0);
	assert_int_equal(host_fixture_entries(fixture, "state/containers"), 0);
	assert_int_equal(host_fixture_entries(fixture, "state/data"), 0);
	assert_int_equal(umount2(where, MNT_DETACH), 0);
}

void clone_fixture_foreign_file(const struct host_fixture *fixture)
{
	const struct tree_owner owner = { 0, 0, 0600 };
	PH_AUTO_FREE char *path = host_fixture_path(fixture, "state/containers");
	PH_AUTO_CLOSE int root = -1;

	assert_int_equal(tree_open_root(path, &root, NULL), 0);
	assert_true(tree_make_dirs(root, "web1", &owner, NULL) >= 0);
	assert_true(tree_write_file(root, "web1/placement", "x", 1, &owner, NULL) >= 0);
}

void clone_fixture_recover(const struct host_fixture *fixture, const struct clone_request *request,
		    bool again, int mounts)
{
	PH_AUTO_FREE char *kept = host_fixture_path(fixture, "state/containers/web1/placement");
	struct ph_error error = { 0 };

	if (again && clone_create(&fixture->config, request, NULL, &error) < 0)
		fail_msg("%s: %s (%s)", error.what, error.why, error.where);
	assert_true(!again || access(kept, F_OK) == 0);
	if (clone_destroy(&fixture->config, "web1", &error) < 0)
		fail_msg("%s: %s (%s)", error.what, error.why, error.where);
	assert_int_equal(host_fixture_entries(fixture, "state/data"), 0);
	assert_int_equal(clone_fixture_mounts(fixture), mounts);
}

/*
 * AddressSanitizer asks for it. Children are made by the hundred, each of them a copy of the page
 * tables: what was freed is not kept apart for long. Halves the time of the kills.
 */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=1";
}

bool clone_fixture_kill_at(const struct host_fixture *fixture, const struct clone_request *request,
			   int (*act)(const struct host_fixture *, const struct clone_request *),
			   unsigned int stop)
{
	pid_t child = fork();
	int status = 0;

	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(act(fixture, request) < 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	for (unsigned int i = 0; i < stop && WIFSTOPPED(status); i++) {
		int signal = WSTOPSIG(status) == SIGTRAP || WSTOPSIG(status) == SIGSTOP ?
				     0 : WSTOPSIG(status);

		assert_int_equal(ptrace(PTRACE_SYSCALL, child, NULL, (void *)(intptr_t)signal), 0);
		assert_int_equal(waitpid(child, &status, 0), child);
	}
	if (WIFSTOPPED(status)) {
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, &status, 0), child);
		return true;
	}
	assert_int_equal(status, 0);
	return false;
}

bool clone_fixture_is_incomplete(const struct host_fixture *fixture)
{
	struct clone clone;

	return clone_find(&fixture->config, "web1", &clone, NULL) == 0 && !clone.current.complete;
}
