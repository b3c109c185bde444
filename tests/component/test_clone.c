/*
 * Clones by each method this host has: ownership inside and outside, what must be kept, mounting
 * again, killing a creation anywhere, and that nothing remains.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/image/clone.h"
#include "controller/host/image/image.h"
#include "controller/host/tree/paths.h"
#include "controller/host/tree/subvolume.h"
#include "controller/host/tree/tree.h"
#include "tests/component/host_fixture.h"

#define BASE 300000
#define COUNT 65536
#define KILL_STRIDE 7 /* odd: before a system call and behind one in turn */
#define RESOLV "nameserver 10.213.0.1\n"

#define NEEDS_ROOT(state)                                                                          \
	do {                                                                                       \
		if (!*(state))                                                                     \
			skip();                                                                    \
	} while (0)

static const enum clone_method methods[] = { CLONE_OVERLAY, CLONE_SNAPSHOT, CLONE_REFLINK,
					     CLONE_COPY };

/* cap_net_raw+ep as revision 2, as setcap writes it. */
static const char capability[20] = "\x01\x00\x00\x02\x00\x20\x00\x00";
/* user::rw-, user:1000:r--, group::r--, mask::r--, other::--- as the kernel keeps it. */
static const unsigned char acl[] = {
	2, 0, 0, 0, 1,	  0, 6, 0, 255, 255, 255, 255, 2,   0,	 4,   0,   232, 3, 0, 0, 4,   0,
	4, 0, 255, 255, 255, 255, 16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
};

static const struct tar_entry image_entries[] = {
	{ 'f', "usr/bin/sudo", "setuid", 04755 },
	{ 'f', "usr/bin/ping", "caps", 0755, 0, 0, "security.capability", capability,
	  sizeof(capability) },
	{ 'h', "usr/bin/ping2", "usr/bin/ping" },
	{ 'f', "var/mail", "m", 02775, 8, 1000 },
	{ 'd', "var/deep", NULL, 01777, 33, 33 },
	{ 'f', "var/deep/acl", "a" },
	{ 's', "var/sparse" },
	{ 'l', "etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf", 0777 },
	{ 'l', "var/link", "/etc/passwd", 0777, 7, 7 },
	{ 0 },
};

static void make_image(const struct host_fixture *fixture, const char *name,
		       const struct tar_entry *entries)
{
	const struct image_import request = { .name = name, .spool_file = "a.tar" };
	struct image image;

	host_fixture_spool_system(fixture, "a.tar", entries);
	assert_int_equal(image_import(&fixture->config, &request, &image, NULL), IMAGE_CHANGED);
}

static struct clone_request request_for(const char *name, enum clone_method method)
{
	return (struct clone_request){ name, "web", BASE, COUNT, method, RESOLV };
}

/* Whether the host has the method; says so when it has not. */
static bool method_works(const struct host_fixture *fixture, enum clone_method method)
{
	struct clone_probe probe;
	const char *reason = probe.reasons[method];

	assert_int_equal(clone_probe(&fixture->config, &probe, NULL), 0);
	if (*reason)
		print_message("# SKIP: %s: %s\n", clone_method_name(method), reason);
	return !*reason;
}

static char *inside(const struct host_fixture *fixture, const char *name, const char *path)
{
	return ph_format("%s/state/containers/%s/rootfs/%s", fixture->base, name, path);
}

static struct stat stat_inside(const struct host_fixture *fixture, const char *path)
{
	PH_AUTO_FREE char *full = inside(fixture, "web1", path);
	struct stat status;

	if (lstat(full, &status) < 0)
		fail_msg("%s: %s", full, strerror(errno));
	return status;
}

static void assert_owner(const struct host_fixture *fixture, const char *path, uid_t uid, gid_t gid)
{
	struct stat status = stat_inside(fixture, path);

	assert_int_equal(status.st_uid, uid);
	assert_int_equal(status.st_gid, gid);
}

static void assert_text(const struct host_fixture *fixture, const char *path, const char *expected)
{
	PH_AUTO_FREE char *text = NULL;
	PH_AUTO_CLOSE int root = -1;

	assert_int_equal(clone_open_rootfs(&fixture->config, "web1", &root, NULL), 0);
	assert_int_equal(tree_read_small(root, path, 4096, &text, NULL, NULL), 0);
	assert_string_equal(text, expected);
}

/* Number of mounts below the fixture. */
static int mount_count(const struct host_fixture *fixture)
{
	PH_AUTO_FILE FILE *mounts = fopen("/proc/self/mountinfo", "re");
	char line[4096];
	int count = 0;

	assert_non_null(mounts);
	while (fgets(line, sizeof(line), mounts))
		count += strstr(line, fixture->base) != NULL;
	return count;
}

static void assert_nothing_left(const struct host_fixture *fixture)
{
	assert_int_equal(host_fixture_entries(fixture, "state/containers"), 0);
	assert_int_equal(host_fixture_entries(fixture, "state/data"), 0);
	assert_int_equal(mount_count(fixture), 0);
	host_fixture_assert_sentinel(fixture);
}

static void assert_ownership(const struct host_fixture *fixture)
{
	assert_owner(fixture, ".", BASE, BASE);
	assert_owner(fixture, "usr/bin/sh", BASE, BASE);
	assert_owner(fixture, "var/mail", BASE + 8, BASE + 1000);
	assert_owner(fixture, "var/link", BASE + 7, BASE + 7);
	assert_owner(fixture, "var/deep", BASE + 33, BASE + 33);
	assert_int_equal(stat_inside(fixture, "usr/bin/sudo").st_mode & 07777, 04755);
	assert_int_equal(stat_inside(fixture, "var/mail").st_mode & 07777, 02775);
	assert_int_equal(stat_inside(fixture, "var/deep").st_mode & 07777, 01777);
	assert_int_equal(stat_inside(fixture, "var/mail").st_mtime, 1000000000);
	assert_int_equal(stat_inside(fixture, "usr/bin/ping").st_ino,
			 stat_inside(fixture, "usr/bin/ping2").st_ino);
	assert_true(stat_inside(fixture, "var/sparse").st_blocks * 512 < 1024 * 1024);
}

/* The ACL's user moved with the range, as seen from the host. */
static void assert_acl(const struct host_fixture *fixture)
{
	PH_AUTO_FREE char *path = inside(fixture, "web1", "var/deep/acl");
	unsigned char value[64];
	uint32_t id;

	assert_int_equal(getxattr(path, "system.posix_acl_access", value, sizeof(value)),
			 sizeof(acl));
	memcpy(&id, value + 16, sizeof(id));
	assert_int_equal(id, BASE + 1000);
}

static void assert_data_root(const struct host_fixture *fixture)
{
	PH_AUTO_FREE char *path = host_fixture_path(fixture, "state/data/web1");
	struct statvfs system;
	struct stat status;

	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_uid, BASE);
	assert_int_equal(status.st_mode & 07777, 0711);
	assert_int_equal(statvfs(path, &system), 0);
	assert_true((system.f_flag & ST_NOSUID) && (system.f_flag & ST_NODEV));
}

/*
 * Run a function as a container would: in a user namespace with the range as its map, as its root.
 * Returns what the function returns (0..127).
 */
static int as_container(int (*act)(const char *rootfs), const char *rootfs)
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
	snprintf(map, sizeof(map), "0 %d %d", BASE, COUNT);
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

/* What a container's root does all day: make, change, chown, remove. */
static int live(const char *rootfs)
{
	struct stat status;
	int fd;

	if (chdir(rootfs) < 0)
		return 1;
	fd = open("etc/new", O_WRONLY | O_CREAT | O_EXCL, 0644);
	if (fd < 0 || write(fd, "x", 1) != 1 || fchown(fd, 33, 1000) < 0)
		return 2;
	if (stat("usr/bin/sh", &status) < 0 || status.st_uid != 0 || status.st_gid != 0)
		return 3;
	if (stat("var/mail", &status) < 0 || status.st_uid != 8 || status.st_gid != 1000)
		return 4;
	if (chown("usr/bin/sh", 5, 6) < 0 || chmod("usr/bin/sudo", 0700) < 0)
		return 5;
	if (unlink("var/mail") < 0 || mkdir("var/mail", 0755) < 0)
		return 6;
	fd = open("etc/os-release", O_WRONLY | O_TRUNC);
	if (fd < 0 || write(fd, "mine", 4) != 4)
		return 7;
	return 0;
}

static void assert_container_can_live(const struct host_fixture *fixture)
{
	PH_AUTO_FREE char *rootfs = inside(fixture, "web1", "");
	PH_AUTO_FREE char *image = host_fixture_path(fixture, "state/images/web/rootfs/usr/bin/sh");
	PH_AUTO_FREE char *mail = host_fixture_path(fixture, "state/images/web/rootfs/var/mail");
	struct stat status;

	assert_int_equal(as_container(live, rootfs), 0);
	assert_owner(fixture, "etc/new", BASE + 33, BASE + 1000);
	assert_owner(fixture, "usr/bin/sh", BASE + 5, BASE + 6);
	assert_owner(fixture, "var/mail", BASE, BASE);
	assert_int_equal(stat(image, &status), 0); /* the image has noticed nothing */
	assert_int_equal(status.st_uid, 0);
	assert_int_equal(stat(mail, &status), 0);
	assert_true(S_ISREG(status.st_mode));
	assert_int_equal(status.st_uid, 8);
}

static int enter_directory(const char *path)
{
	return chdir(path) == 0 ? 0 : 1;
}

/* Neither another user of the host nor another container gets to the files. */
static void assert_walls(const struct host_fixture *fixture)
{
	PH_AUTO_FREE char *rootfs = inside(fixture, "web1", "");
	PH_AUTO_FREE char *snapshot =
		host_fixture_path(fixture, "state/containers/web1/snapshot");
	int status = 0;
	pid_t child = fork();

	if (child == 0)
		_exit(setgid(12345) < 0 || setuid(12345) < 0 || chdir(rootfs) == 0 ||
		      errno != EACCES);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(as_container(enter_directory, rootfs), 0);
	/* Nor its own root to a snapshot that has the ids of the host's root. */
	assert_int_equal(as_container(enter_directory, snapshot), 1);
}

static void add_acl(const struct host_fixture *fixture)
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
	assert_int_equal(setxattr(path, "system.posix_acl_access", acl, sizeof(acl), 0), 0);
	if (subvolume_is(image))
		assert_int_equal(subvolume_set_read_only(image, true), 0);
}

/* mounts: those that were there before. */
static void run_life(struct host_fixture *fixture, enum clone_method method, int mounts)
{
	const struct clone_request request = request_for("web1", method);
	struct ph_error error = { 0 };
	struct clone clone;

	if (clone_create(&fixture->config, &request, &clone, &error) != CLONE_CHANGED)
		fail_msg("%s: %s: %s", error.what, error.where, error.why);
	assert_int_equal(clone.method, method);
	assert_true(clone.complete);
	assert_ownership(fixture);
	assert_acl(fixture);
	assert_data_root(fixture);
	assert_text(fixture, "etc/hostname", "web1\n");
	assert_text(fixture, "etc/resolv.conf", RESOLV);
	assert_owner(fixture, "etc/resolv.conf", BASE, BASE);
	assert_container_can_live(fixture);
	assert_walls(fixture);
	assert_int_equal(clone_create(&fixture->config, &request, &clone, NULL), CLONE_UNCHANGED);

	assert_int_equal(clone_unmount(&fixture->config, "web1", NULL), CLONE_CHANGED);
	assert_int_equal(clone_unmount(&fixture->config, "web1", NULL), CLONE_UNCHANGED);
	assert_int_equal(mount_count(fixture), mounts);
	assert_int_equal(clone_mount(&fixture->config, "web1", NULL), CLONE_CHANGED);
	assert_int_equal(clone_mount(&fixture->config, "web1", NULL), CLONE_UNCHANGED);
	assert_int_equal(clone_create(&fixture->config, &request, &clone, NULL), CLONE_UNCHANGED);
	assert_text(fixture, "etc/os-release", "mine");
	assert_data_root(fixture);

	assert_int_equal(clone_destroy(&fixture->config, "web1", NULL), CLONE_CHANGED);
	assert_int_equal(clone_destroy(&fixture->config, "web1", NULL), CLONE_UNCHANGED);
	assert_int_equal(host_fixture_entries(fixture, "state/containers"), 0);
	assert_int_equal(host_fixture_entries(fixture, "state/data"), 0);
	assert_int_equal(mount_count(fixture), mounts);
	host_fixture_assert_sentinel(fixture);
}

static void lives(void **state)
{
	struct host_fixture *fixture = *state;

	NEEDS_ROOT(state);
	make_image(fixture, "web", image_entries);
	add_acl(fixture);
	for (size_t i = 0; i < ARRAY_LENGTH(methods); i++)
		if (method_works(fixture, methods[i]))
			run_life(fixture, methods[i], 0);
}

/* A copy's file capability belongs to the container's root, not to the host's. */
static void copied_capability_is_shifted(void **state)
{
	struct host_fixture *fixture = *state;
	const struct clone_request request = request_for("web1", CLONE_COPY);
	PH_AUTO_FREE char *path = NULL;
	unsigned char value[32];
	uint32_t root;

	NEEDS_ROOT(state);
	make_image(fixture, "web", image_entries);
	assert_int_equal(clone_create(&fixture->config, &request, NULL, NULL), CLONE_CHANGED);
	path = inside(fixture, "web1", "usr/bin/ping");
	assert_int_equal(getxattr(path, "security.capability", value, sizeof(value)), 24);
	assert_int_equal(value[3], 3); /* revision */
	memcpy(&root, value + 20, sizeof(root));
	assert_int_equal(root, BASE);
	assert_memory_equal(value + 4, capability + 4, 16);
	assert_int_equal(clone_destroy(&fixture->config, "web1", NULL), CLONE_CHANGED);
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

/* Begin a test on a file system of its own kind, with the image; false: skipped. */
static bool begin_on(const struct host_fixture *fixture, const char *type)
{
	if (!mount_state(fixture, type)) {
		print_message("# SKIP: no %s here (mkfs.%s, loop device)\n", type, type);
		return false;
	}
	make_image(fixture, "web", image_entries);
	add_acl(fixture);
	return true;
}

static void end_on(const struct host_fixture *fixture)
{
	PH_AUTO_FREE char *where = host_fixture_path(fixture, "state");

	assert_int_equal(image_remove(&fixture->config, "web", NULL), IMAGE_CHANGED);
	assert_int_equal(host_fixture_entries(fixture, "state/images"), 0);
	assert_int_equal(host_fixture_entries(fixture, "state/containers"), 0);
	assert_int_equal(host_fixture_entries(fixture, "state/data"), 0);
	assert_int_equal(umount2(where, MNT_DETACH), 0);
}

/* The whole life by every method on file systems that share blocks. */
static void lives_where_blocks_are_shared(void **state)
{
	static const char *const types[] = { "xfs", "btrfs" };
	struct host_fixture *fixture = *state;

	NEEDS_ROOT(state);
	for (size_t i = 0; i < ARRAY_LENGTH(types); i++) {
		bool has_subvolumes = strcmp(types[i], "btrfs") == 0;

		if (!begin_on(fixture, types[i]))
			continue;
		for (size_t j = 0; j < ARRAY_LENGTH(methods); j++) {
			bool works = methods[j] != CLONE_SNAPSHOT || has_subvolumes;

			assert_int_equal(method_works(fixture, methods[j]), works);
			if (works)
				run_life(fixture, methods[j], 1);
		}
		end_on(fixture);
	}
}

/* In the tree that the container sees: its own subvolumes, one in another, closed to writing. */
static int make_subvolumes(const char *rootfs)
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

static void subvolumes_of_a_container_go_with_it(void **state)
{
	struct host_fixture *fixture = *state;
	PH_AUTO_FREE char *rootfs = NULL, *data = NULL;

	NEEDS_ROOT(state);
	if (!begin_on(fixture, "btrfs"))
		skip();
	rootfs = inside(fixture, "web1", "");
	data = host_fixture_path(fixture, "state/data/web1");
	for (size_t i = 0; i < ARRAY_LENGTH(methods); i++) {
		const struct clone_request request = request_for("web1", methods[i]);

		assert_int_equal(clone_create(&fixture->config, &request, NULL, NULL), CLONE_CHANGED);
		assert_int_equal(as_container(make_subvolumes, data), 0);
		if (methods[i] != CLONE_OVERLAY) /* has none */
			assert_int_equal(as_container(make_subvolumes, rootfs), 0);
		assert_int_equal(clone_destroy(&fixture->config, "web1", NULL), CLONE_CHANGED);
		assert_int_equal(host_fixture_entries(fixture, "state/containers"), 0);
	}
	end_on(fixture);
}

/* An image is not removed under its snapshots, and is its clones' no more when they are gone. */
static void image_outlives_its_snapshots(void **state)
{
	struct host_fixture *fixture = *state;
	const struct clone_request request = request_for("web1", CLONE_SNAPSHOT);
	struct ph_error error = { 0 };

	NEEDS_ROOT(state);
	if (!begin_on(fixture, "btrfs"))
		skip();
	assert_int_equal(clone_create(&fixture->config, &request, NULL, NULL), CLONE_CHANGED);
	assert_int_equal(image_remove(&fixture->config, "web", &error), -EBUSY);
	assert_non_null(strstr(error.why, "web1"));
	assert_int_equal(clone_destroy(&fixture->config, "web1", NULL), CLONE_CHANGED);
	end_on(fixture);
}

/* An image of before there were snapshots: others are made of it, and a snapshot is refused. */
static void image_without_a_subvolume(void **state)
{
	struct host_fixture *fixture = *state;
	struct clone_request request = request_for("web1", CLONE_SNAPSHOT);
	PH_AUTO_FREE char *command = NULL;
	struct ph_error error = { 0 };

	NEEDS_ROOT(state);
	if (!begin_on(fixture, "btrfs"))
		skip();
	command = ph_format("cd %s/state/images/web && cp -a rootfs plain && mv rootfs sub && "
			    "mv plain rootfs", fixture->base);
	assert_int_equal(system(command), 0);
	assert_int_equal(clone_create(&fixture->config, &request, NULL, &error), -EOPNOTSUPP);
	assert_non_null(strstr(error.why, "import it again"));
	request.method = CLONE_AUTO;
	assert_int_equal(clone_create(&fixture->config, &request, NULL, NULL), CLONE_CHANGED);
	assert_int_equal(clone_destroy(&fixture->config, "web1", NULL), CLONE_CHANGED);
	end_on(fixture);
}

/* What is asked for and cannot be had is not replaced by something else. */
static void impossible_methods_are_refused(void **state)
{
	static const struct {
		enum clone_method method;
		const char *reason;
	} cases[] = {
		{ CLONE_SNAPSHOT, "not on btrfs" },
		{ CLONE_REFLINK, "shares no blocks" },
	};
	struct host_fixture *fixture = *state;

	NEEDS_ROOT(state);
	if (!begin_on(fixture, "ext4"))
		skip();
	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		const struct clone_request request = request_for("web1", cases[i].method);
		struct ph_error error = { 0 };

		assert_int_equal(clone_create(&fixture->config, &request, NULL, &error), -EOPNOTSUPP);
		assert_non_null(strstr(error.why, cases[i].reason));
		assert_non_null(strstr(error.remedy, "clone: auto"));
		assert_int_equal(host_fixture_entries(fixture, "state/containers"), 0);
		assert_int_equal(host_fixture_entries(fixture, "state/data"), 0);
	}
	end_on(fixture);
}

/* Images on one file system, containers on another: found by trying, before anything is made. */
static void images_elsewhere(void **state)
{
	struct host_fixture *fixture = *state;
	PH_AUTO_FREE char *containers = NULL;
	struct clone_request request = request_for("web1", CLONE_AUTO);
	struct clone_probe probe;
	struct clone clone;

	NEEDS_ROOT(state);
	if (!begin_on(fixture, "btrfs"))
		skip();
	containers = host_fixture_path(fixture, "state/containers");
	assert_int_equal(mount("tmpfs", containers, "tmpfs", 0, "size=8m,mode=711"), 0);
	assert_int_equal(clone_probe(&fixture->config, &probe, NULL), 0);
	assert_non_null(strstr(probe.reasons[CLONE_SNAPSHOT], "different file systems"));
	assert_true(probe.reasons[CLONE_REFLINK][0]);
	assert_int_equal(clone_create(&fixture->config, &request, &clone, NULL), CLONE_CHANGED);
	assert_int_equal(clone.method, probe.method);
	assert_int_equal(clone_destroy(&fixture->config, "web1", NULL), CLONE_CHANGED);
	assert_int_equal(umount(containers), 0);
	end_on(fixture);
}

static void two_ranges_share_an_image(void **state)
{
	struct host_fixture *fixture = *state;
	struct clone_request first = request_for("web1", CLONE_AUTO);
	struct clone_request second = request_for("web2", CLONE_AUTO);
	PH_AUTO_FREE struct clone *clones = NULL;
	PH_AUTO_FREE char *path = NULL;
	struct stat status;
	size_t count;

	NEEDS_ROOT(state);
	make_image(fixture, "web", image_entries);
	second.id_base = 500000;
	assert_int_equal(clone_create(&fixture->config, &second, NULL, NULL), CLONE_CHANGED);
	assert_int_equal(clone_create(&fixture->config, &first, NULL, NULL), CLONE_CHANGED);
	path = inside(fixture, "web2", "var/mail");
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_uid, 500008);
	assert_owner(fixture, "var/mail", BASE + 8, BASE + 1000);
	assert_int_equal(clone_list(&fixture->config, &clones, &count, NULL), 0);
	assert_int_equal(count, 2);
	assert_string_equal(clones[0].name, "web1");
	assert_int_equal(clones[1].id_base, 500000);
	assert_int_equal(clone_destroy(&fixture->config, "web2", NULL), CLONE_CHANGED);
	assert_owner(fixture, "var/mail", BASE + 8, BASE + 1000);
	assert_int_equal(clone_destroy(&fixture->config, "web1", NULL), CLONE_CHANGED);
	assert_nothing_left(fixture);
}

static const struct {
	const char *name;
	struct clone_request request;
	int expected;
} refused_requests[] = {
	{ "no image", { "web1", "none", BASE, COUNT }, -ENOENT },
	{ "image name", { "web1", "../web", BASE, COUNT }, -EINVAL },
	{ "name", { "../web1", "web", BASE, COUNT }, -EINVAL },
	{ "name with a dot", { ".web1", "web", BASE, COUNT }, -EINVAL },
	{ "host ids", { "web1", "web", 0, COUNT }, -EINVAL },
	{ "low ids", { "web1", "web", 1000, COUNT }, -EINVAL },
	{ "few ids", { "web1", "web", BASE, 1000 }, -EINVAL },
	{ "ids beyond the end", { "web1", "web", 4294930000U, COUNT + 1 }, -EINVAL },
	{ "image with high ids", { "web1", "high", BASE, COUNT }, -EOVERFLOW },
};

static void refusals(void **state)
{
	struct host_fixture *fixture = *state;
	static const struct tar_entry high[] = { { 'f', "x", "x", 0644, 70000, 0 }, { 0 } };
	struct clone_request other = request_for("web1", CLONE_COPY);

	NEEDS_ROOT(state);
	make_image(fixture, "web", image_entries);
	make_image(fixture, "high", high);
	for (size_t i = 0; i < ARRAY_LENGTH(refused_requests); i++) {
		int result = clone_create(&fixture->config, &refused_requests[i].request, NULL, NULL);

		if (result != refused_requests[i].expected)
			fail_msg("%s: %d", refused_requests[i].name, result);
		assert_nothing_left(fixture);
	}
	assert_int_equal(clone_create(&fixture->config, &other, NULL, NULL), CLONE_CHANGED);
	other.id_base += COUNT;
	assert_int_equal(clone_create(&fixture->config, &other, NULL, NULL), -EEXIST);
	other = request_for("web1", CLONE_COPY);
	other.image = "high";
	assert_int_equal(clone_create(&fixture->config, &other, NULL, NULL), -EEXIST);
	assert_int_equal(clone_mount(&fixture->config, "web2", NULL), -ENOENT);
	assert_int_equal(clone_destroy(&fixture->config, "../web1", NULL), -EINVAL);
	assert_int_equal(clone_destroy(&fixture->config, "web1", NULL), CLONE_CHANGED);
}

/* Images that make a creation fail late, each in its own way. */
static const struct {
	const char *name;
	struct tar_entry entries[3];
	int expected;
} hostile_images[] = {
	{ "hostname is a directory", { { 'd', "etc/hostname" } }, -EEXIST },
	{ "hosts is a directory with contents", { { 'd', "etc/hosts" }, { 'f', "etc/hosts/x", "" } },
	  -EEXIST },
};

static void hostile_images_leave_nothing(void **state)
{
	struct host_fixture *fixture = *state;
	PH_AUTO_FREE char *etc = NULL, *old = NULL;

	NEEDS_ROOT(state);
	for (size_t i = 0; i < ARRAY_LENGTH(hostile_images); i++) {
		make_image(fixture, "web", hostile_images[i].entries);
		for (size_t j = 0; j < ARRAY_LENGTH(methods); j++) {
			const struct clone_request request = request_for("web1", methods[j]);

			if (!method_works(fixture, methods[j]))
				continue;
			assert_int_equal(clone_create(&fixture->config, &request, NULL, NULL),
					 hostile_images[i].expected);
			assert_nothing_left(fixture);
		}
	}
	/* etc is a symlink to the host: refused, the host untouched. */
	etc = host_fixture_path(fixture, "state/images/web/rootfs/etc");
	old = host_fixture_path(fixture, "state/images/web/rootfs/etc.old");
	assert_int_equal(rename(etc, old), 0);
	assert_int_equal(symlink(fixture->base, etc), 0);
	for (size_t j = 0; j < ARRAY_LENGTH(methods); j++) {
		const struct clone_request request = request_for("web1", methods[j]);
		PH_AUTO_FREE char *evil = host_fixture_path(fixture, "hostname");

		if (!method_works(fixture, methods[j]))
			continue;
		assert_int_equal(clone_create(&fixture->config, &request, NULL, NULL), -ELOOP);
		assert_true(access(evil, F_OK) < 0);
		assert_nothing_left(fixture);
	}
}

static void full_disk_leaves_nothing(void **state)
{
	struct host_fixture *fixture = *state;
	static const struct tar_entry big[] = { { 'f', "big", "=8000000" }, { 0 } };
	const struct clone_request request = request_for("web1", CLONE_COPY);
	PH_AUTO_FREE char *containers = NULL;
	PH_AUTO_FREE char *filled = NULL;
	struct ph_error error = { 0 };
	int fd;

	NEEDS_ROOT(state);
	make_image(fixture, "web", big);
	containers = host_fixture_path(fixture, "state/containers");
	assert_int_equal(mount("tmpfs", containers, "tmpfs", 0, "size=4m,mode=711"), 0);
	filled = host_fixture_path(fixture, "state/containers/.keep");
	fd = open(filled, O_WRONLY | O_CREAT, 0600);
	close(fd);
	assert_int_equal(clone_create(&fixture->config, &request, NULL, &error), -ENOSPC);
	assert_non_null(strstr(error.remedy, "free space"));
	assert_int_equal(host_fixture_entries(fixture, "state/containers"), 1);
	assert_int_equal(host_fixture_entries(fixture, "state/data"), 0);
	assert_int_equal(umount(containers), 0);
}

static void put_foreign_file(const struct host_fixture *fixture)
{
	const struct tree_owner owner = { 0, 0, 0600 };
	PH_AUTO_FREE char *path = host_fixture_path(fixture, "state/containers");
	PH_AUTO_CLOSE int root = -1;

	assert_int_equal(tree_open_root(path, &root, NULL), 0);
	assert_true(tree_make_dirs(root, "web1", &owner, NULL) >= 0);
	assert_true(tree_write_file(root, "web1/placement", "x", 1, &owner, NULL) >= 0);
}

/* What a killed creation left is completed by another one, unless that is left out, and removed. */
static void recover(const struct host_fixture *fixture, const struct clone_request *request,
		    bool again, int mounts)
{
	PH_AUTO_FREE char *kept = host_fixture_path(fixture, "state/containers/web1/placement");
	struct ph_error error = { 0 };

	if (again && clone_create(&fixture->config, request, NULL, &error) < 0)
		fail_msg("%s: %s (%s)", error.what, error.why, error.where);
	assert_true(!again || access(kept, F_OK) == 0);
	assert_true(clone_destroy(&fixture->config, "web1", NULL) >= 0);
	assert_int_equal(host_fixture_entries(fixture, "state/data"), 0);
	assert_int_equal(mount_count(fixture), mounts);
}

static bool is_incomplete(const struct host_fixture *fixture)
{
	struct clone clone;

	return clone_find(&fixture->config, "web1", &clone, NULL) == 0 && !clone.complete;
}

/* kill -9 of a creation at any moment: doing it again completes it, destroying leaves nothing. */
static void killed_creations(void **state)
{
	struct host_fixture *fixture = *state;
	unsigned int incomplete = 0;
	struct clone_probe probe;

	NEEDS_ROOT(state);
	make_image(fixture, "web", image_entries);
	for (unsigned int round = 0; round < 60; round++) {
		const struct clone_request request =
			request_for("web1", round % 2 ? CLONE_COPY : CLONE_AUTO);
		pid_t child;

		put_foreign_file(fixture); /* as the verbs keep theirs there */
		child = fork();
		if (child == 0)
			_exit(clone_create(&fixture->config, &request, NULL, NULL) != 0);
		usleep(round * 300);
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, NULL, 0), child);
		incomplete += is_incomplete(fixture);
		recover(fixture, &request, round % 3 != 0, 0);
	}
	assert_int_equal(clone_probe(&fixture->config, &probe, NULL), 0); /* clears a killed one */
	assert_nothing_left(fixture);
	print_message("# %u of 60 kills met a clone that was not complete\n", incomplete);
	assert_true(incomplete > 0);
}

/* Kill a creation when it has come to the given stop, before or behind a system call of its own;
 * false: it had ended before. */
static bool kill_at(const struct host_fixture *fixture, const struct clone_request *request,
		    unsigned int stop)
{
	pid_t child = fork();
	int status = 0;

	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(clone_create(&fixture->config, request, NULL, NULL) != 0);
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

/* The same at every few system calls of a snapshot. */
static void snapshots_killed_step_by_step(void **state)
{
	struct host_fixture *fixture = *state;
	const struct clone_request request = request_for("web1", CLONE_SNAPSHOT);
	unsigned int stop = 0, kills = 0, incomplete = 0;

	NEEDS_ROOT(state);
	if (!begin_on(fixture, "btrfs"))
		skip();
	for (put_foreign_file(fixture); kill_at(fixture, &request, stop); put_foreign_file(fixture)) {
		incomplete += is_incomplete(fixture);
		recover(fixture, &request, kills++ % 3 != 0, 1);
		stop += KILL_STRIDE;
	}
	recover(fixture, &request, true, 1);
	print_message("# %u kills, %u met a clone that was not complete\n", kills, incomplete);
	assert_true(incomplete > 10);
	end_on(fixture);
}

static void foreign_directory_is_kept(void **state)
{
	struct host_fixture *fixture = *state;
	const struct clone_request request = request_for("web1", CLONE_COPY);
	PH_AUTO_FREE char *dir = NULL, *rootfs = NULL;

	NEEDS_ROOT(state);
	make_image(fixture, "web", image_entries);
	dir = host_fixture_path(fixture, "state/containers/web1");
	rootfs = host_fixture_path(fixture, "state/containers/web1/rootfs");
	assert_int_equal(mkdir(dir, 0755), 0);
	assert_int_equal(mkdir(rootfs, 0755), 0);
	assert_int_equal(clone_create(&fixture->config, &request, NULL, NULL), -EEXIST);
	assert_int_equal(access(rootfs, F_OK), 0);
}

/* On a host whose mounts are shared, ours are private all the same. */
static void mounts_are_private(void **state)
{
	struct host_fixture *fixture = *state;
	const struct clone_request request = request_for("web1", CLONE_AUTO);
	PH_AUTO_FILE FILE *mounts = NULL;
	char line[4096];

	NEEDS_ROOT(state);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL), 0);
	make_image(fixture, "web", image_entries);
	assert_int_equal(clone_create(&fixture->config, &request, NULL, NULL), CLONE_CHANGED);
	mounts = fopen("/proc/self/mountinfo", "re");
	while (fgets(line, sizeof(line), mounts))
		if (strstr(line, fixture->base))
			assert_null(strstr(line, "shared:"));
	assert_int_equal(clone_destroy(&fixture->config, "web1", NULL), CLONE_CHANGED);
	assert_nothing_left(fixture);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
}

static void probe_leaves_nothing(void **state)
{
	struct host_fixture *fixture = *state;
	struct clone_probe probe;

	NEEDS_ROOT(state);
	assert_int_equal(clone_probe(&fixture->config, &probe, NULL), 0);
	assert_int_equal(probe.method == CLONE_OVERLAY, probe.reasons[CLONE_OVERLAY][0] == '\0');
	print_message("# this host: %s\n", clone_method_name(probe.method));
	for (size_t i = 0; i < ARRAY_LENGTH(methods); i++)
		print_message("# %s: %s\n", clone_method_name(methods[i]), probe.reasons[methods[i]]);
	assert_int_equal(host_fixture_entries(fixture, "state/images"), 0);
	assert_nothing_left(fixture);
}

#define TEST(function)                                                                             \
	cmocka_unit_test_setup_teardown(function, host_fixture_setup, host_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(probe_leaves_nothing),
		TEST(lives),
		TEST(lives_where_blocks_are_shared),
		TEST(subvolumes_of_a_container_go_with_it),
		TEST(image_outlives_its_snapshots),
		TEST(image_without_a_subvolume),
		TEST(impossible_methods_are_refused),
		TEST(images_elsewhere),
		TEST(copied_capability_is_shifted),
		TEST(two_ranges_share_an_image),
		TEST(refusals),
		TEST(hostile_images_leave_nothing),
		TEST(full_disk_leaves_nothing),
		TEST(killed_creations),
		TEST(snapshots_killed_step_by_step),
		TEST(foreign_directory_is_kept),
		TEST(mounts_are_private),
	};

	if (!host_fixture_enter())
		print_message("# SKIP: clones need root\n");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
