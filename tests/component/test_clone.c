/*
 * Clones by each method this host has: ownership inside and outside, what must be kept, mounting
 * again, killing a creation anywhere, and that nothing remains.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
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
#include "controller/host/tree/tree.h"
#include "tests/component/clone_fixture.h"

#define BASE CLONE_FIXTURE_BASE
#define COUNT CLONE_FIXTURE_COUNT
#define RESOLV CLONE_FIXTURE_RESOLV

static struct stat stat_inside(const struct host_fixture *fixture, const char *path)
{
	PH_AUTO_FREE char *full = clone_fixture_inside(fixture, "web1", path);
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

static void assert_nothing_left(const struct host_fixture *fixture)
{
	assert_int_equal(host_fixture_entries(fixture, "state/containers"), 0);
	assert_int_equal(host_fixture_entries(fixture, "state/data"), 0);
	assert_int_equal(clone_fixture_mounts(fixture), 0);
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
	PH_AUTO_FREE char *path = clone_fixture_inside(fixture, "web1", "var/deep/acl");
	unsigned char value[64];
	uint32_t id;

	assert_int_equal(getxattr(path, "system.posix_acl_access", value, sizeof(value)),
			 sizeof(clone_fixture_acl));
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
	PH_AUTO_FREE char *rootfs = clone_fixture_inside(fixture, "web1", "");
	PH_AUTO_FREE char *image = host_fixture_path(fixture, "state/images/web/rootfs/usr/bin/sh");
	PH_AUTO_FREE char *mail = host_fixture_path(fixture, "state/images/web/rootfs/var/mail");
	struct stat status;

	assert_int_equal(clone_fixture_as_container(live, rootfs), 0);
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
	PH_AUTO_FREE char *rootfs = clone_fixture_inside(fixture, "web1", "");
	PH_AUTO_FREE char *snapshot =
		host_fixture_path(fixture, "state/containers/web1/snapshot");
	int status = 0;
	pid_t child = fork();

	if (child == 0)
		_exit(setgid(12345) < 0 || setuid(12345) < 0 || chdir(rootfs) == 0 ||
		      errno != EACCES);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(clone_fixture_as_container(enter_directory, rootfs), 0);
	/* Nor its own root to a snapshot that has the ids of the host's root. */
	assert_int_equal(clone_fixture_as_container(enter_directory, snapshot), 1);
}

/* mounts: those that were there before. */
static void run_life(struct host_fixture *fixture, enum clone_method method, int mounts)
{
	const struct clone_request request = clone_fixture_request("web1", method);
	struct ph_error error = { 0 };
	struct clone clone;

	if (clone_create(&fixture->config, &request, &clone, &error) != CLONE_CHANGED)
		fail_msg("%s: %s: %s", error.what, error.where, error.why);
	assert_int_equal(clone.current.method, method);
	assert_true(clone.current.complete);
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
	assert_int_equal(clone_fixture_mounts(fixture), mounts);
	assert_int_equal(clone_mount(&fixture->config, "web1", NULL), CLONE_CHANGED);
	assert_int_equal(clone_mount(&fixture->config, "web1", NULL), CLONE_UNCHANGED);
	assert_int_equal(clone_create(&fixture->config, &request, &clone, NULL), CLONE_UNCHANGED);
	assert_text(fixture, "etc/os-release", "mine");
	assert_data_root(fixture);

	assert_int_equal(clone_destroy(&fixture->config, "web1", NULL), CLONE_CHANGED);
	assert_int_equal(clone_destroy(&fixture->config, "web1", NULL), CLONE_UNCHANGED);
	assert_int_equal(host_fixture_entries(fixture, "state/containers"), 0);
	assert_int_equal(host_fixture_entries(fixture, "state/data"), 0);
	assert_int_equal(clone_fixture_mounts(fixture), mounts);
	host_fixture_assert_sentinel(fixture);
}

static void lives(void **state)
{
	struct host_fixture *fixture = *state;

	NEEDS_ROOT(state);
	clone_fixture_image(fixture, "web", clone_fixture_entries);
	clone_fixture_add_acl(fixture);
	for (size_t i = 0; i < ARRAY_LENGTH(clone_fixture_methods); i++)
		if (clone_fixture_works(fixture, clone_fixture_methods[i]))
			run_life(fixture, clone_fixture_methods[i], 0);
}

/* A copy's file capability belongs to the container's root, not to the host's. */
static void copied_capability_is_shifted(void **state)
{
	struct host_fixture *fixture = *state;
	const struct clone_request request = clone_fixture_request("web1", CLONE_COPY);
	PH_AUTO_FREE char *path = NULL;
	unsigned char value[32];
	uint32_t root;

	NEEDS_ROOT(state);
	clone_fixture_image(fixture, "web", clone_fixture_entries);
	assert_int_equal(clone_create(&fixture->config, &request, NULL, NULL), CLONE_CHANGED);
	path = clone_fixture_inside(fixture, "web1", "usr/bin/ping");
	assert_int_equal(getxattr(path, "security.capability", value, sizeof(value)), 24);
	assert_int_equal(value[3], 3); /* revision */
	memcpy(&root, value + 20, sizeof(root));
	assert_int_equal(root, BASE);
	assert_memory_equal(value + 4, clone_fixture_capability + 4, 16);
	assert_int_equal(clone_destroy(&fixture->config, "web1", NULL), CLONE_CHANGED);
}

/* The whole life by every method on file systems that share blocks. */
static void lives_where_blocks_are_shared(void **state)
{
	static const char *const types[] = { "xfs", "btrfs" };
	struct host_fixture *fixture = *state;

	NEEDS_ROOT(state);
	for (size_t i = 0; i < ARRAY_LENGTH(types); i++) {
		bool has_subvolumes = strcmp(types[i], "btrfs") == 0;

		if (!clone_fixture_begin_on(fixture, types[i]))
			continue;
		for (size_t j = 0; j < ARRAY_LENGTH(clone_fixture_methods); j++) {
			bool works = clone_fixture_methods[j] != CLONE_SNAPSHOT || has_subvolumes;

			assert_int_equal(clone_fixture_works(fixture, clone_fixture_methods[j]), works);
			if (works)
				run_life(fixture, clone_fixture_methods[j], 1);
		}
		clone_fixture_end_on(fixture);
	}
}

static void two_ranges_share_an_image(void **state)
{
	struct host_fixture *fixture = *state;
	struct clone_request first = clone_fixture_request("web1", CLONE_AUTO);
	struct clone_request second = clone_fixture_request("web2", CLONE_AUTO);
	PH_AUTO_FREE struct clone *clones = NULL;
	PH_AUTO_FREE char *path = NULL;
	struct stat status;
	size_t count;

	NEEDS_ROOT(state);
	clone_fixture_image(fixture, "web", clone_fixture_entries);
	second.id_base = 500000;
	assert_int_equal(clone_create(&fixture->config, &second, NULL, NULL), CLONE_CHANGED);
	assert_int_equal(clone_create(&fixture->config, &first, NULL, NULL), CLONE_CHANGED);
	path = clone_fixture_inside(fixture, "web2", "var/mail");
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
	struct clone_request other = clone_fixture_request("web1", CLONE_COPY);

	NEEDS_ROOT(state);
	clone_fixture_image(fixture, "web", clone_fixture_entries);
	clone_fixture_image(fixture, "high", high);
	for (size_t i = 0; i < ARRAY_LENGTH(refused_requests); i++) {
		int result = clone_create(&fixture->config, &refused_requests[i].request, NULL, NULL);

		if (result != refused_requests[i].expected)
			fail_msg("%s: %d", refused_requests[i].name, result);
		assert_nothing_left(fixture);
	}
	assert_int_equal(clone_create(&fixture->config, &other, NULL, NULL), CLONE_CHANGED);
	other.id_base += COUNT;
	assert_int_equal(clone_create(&fixture->config, &other, NULL, NULL), -EEXIST);
	other = clone_fixture_request("web1", CLONE_COPY);
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
		clone_fixture_image(fixture, "web", hostile_images[i].entries);
		for (size_t j = 0; j < ARRAY_LENGTH(clone_fixture_methods); j++) {
			const struct clone_request request = clone_fixture_request("web1", clone_fixture_methods[j]);

			if (!clone_fixture_works(fixture, clone_fixture_methods[j]))
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
	for (size_t j = 0; j < ARRAY_LENGTH(clone_fixture_methods); j++) {
		const struct clone_request request = clone_fixture_request("web1", clone_fixture_methods[j]);
		PH_AUTO_FREE char *evil = host_fixture_path(fixture, "hostname");

		if (!clone_fixture_works(fixture, clone_fixture_methods[j]))
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
	const struct clone_request request = clone_fixture_request("web1", CLONE_COPY);
	PH_AUTO_FREE char *containers = NULL;
	PH_AUTO_FREE char *filled = NULL;
	struct ph_error error = { 0 };
	int fd;

	NEEDS_ROOT(state);
	clone_fixture_image(fixture, "web", big);
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

/* kill -9 of a creation at any moment: doing it again completes it, destroying leaves nothing. */
static void killed_creations(void **state)
{
	struct host_fixture *fixture = *state;
	unsigned int incomplete = 0;
	struct clone_probe probe;

	NEEDS_ROOT(state);
	clone_fixture_image(fixture, "web", clone_fixture_entries);
	for (unsigned int round = 0; round < 60; round++) {
		const struct clone_request request =
			clone_fixture_request("web1", round % 2 ? CLONE_COPY : CLONE_AUTO);
		pid_t child;

		clone_fixture_foreign_file(fixture); /* as the verbs keep theirs there */
		child = fork();
		if (child == 0)
			_exit(clone_create(&fixture->config, &request, NULL, NULL) != 0);
		usleep(round * 300);
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, NULL, 0), child);
		incomplete += clone_fixture_is_incomplete(fixture);
		clone_fixture_recover(fixture, &request, round % 3 != 0, 0);
	}
	assert_int_equal(clone_probe(&fixture->config, &probe, NULL), 0); /* clears a killed one */
	assert_nothing_left(fixture);
	print_message("# %u of 60 kills met a clone that was not complete\n", incomplete);
	assert_true(incomplete > 0);
}

static void foreign_directory_is_kept(void **state)
{
	struct host_fixture *fixture = *state;
	const struct clone_request request = clone_fixture_request("web1", CLONE_COPY);
	PH_AUTO_FREE char *dir = NULL, *rootfs = NULL;

	NEEDS_ROOT(state);
	clone_fixture_image(fixture, "web", clone_fixture_entries);
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
	const struct clone_request request = clone_fixture_request("web1", CLONE_AUTO);
	PH_AUTO_FILE FILE *mounts = NULL;
	char line[4096];

	NEEDS_ROOT(state);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL), 0);
	clone_fixture_image(fixture, "web", clone_fixture_entries);
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
	for (size_t i = 0; i < ARRAY_LENGTH(clone_fixture_methods); i++)
		print_message("# %s: %s\n", clone_method_name(clone_fixture_methods[i]), probe.reasons[clone_fixture_methods[i]]);
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
		TEST(copied_capability_is_shifted),
		TEST(two_ranges_share_an_image),
		TEST(refusals),
		TEST(hostile_images_leave_nothing),
		TEST(full_disk_leaves_nothing),
		TEST(killed_creations),
		TEST(foreign_directory_is_kept),
		TEST(mounts_are_private),
	};

	if (!host_fixture_enter())
		print_message("# SKIP: clones need root\n");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
