/*
 * Subvolumes on a real btrfs, and the removal of what a container that is no root of the host has
 * made of them: nested, read-only, deeper than any stack.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "controller/host/tree/subvolume.h"
#include "controller/host/tree/tree.h"

#define CONTAINER_ID 300000

static char base[64];      /* set once in main(), before the tests */
static bool btrfs_is_here; /* so is this */

#define NEEDS_BTRFS()                                                                              \
	do {                                                                                       \
		if (!btrfs_is_here)                                                                \
			skip();                                                                    \
	} while (0)

static int open_base(const char *below)
{
	PH_AUTO_FREE char *path = ph_format("%s/%s", base, below);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void write_file(int dir, const char *name)
{
	PH_AUTO_CLOSE int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), 1);
}

static void one_is_made_shared_and_removed(void **state)
{
	PH_AUTO_CLOSE int root = -1;
	PH_AUTO_CLOSE int image = -1;
	PH_AUTO_CLOSE int clone = -1;
	(void)state;

	NEEDS_BTRFS();
	root = open_base("btrfs");
	assert_int_equal(subvolume_make(root, "image"), 0);
	assert_int_equal(subvolume_make(root, "image"), -EEXIST);
	image = open_base("btrfs/image");
	assert_true(subvolume_is(image));
	write_file(image, "file");
	assert_int_equal(subvolume_set_read_only(image, true), 0);
	assert_int_equal(subvolume_set_read_only(image, true), 0);
	assert_int_equal(unlinkat(image, "file", 0), -1);
	assert_int_equal(errno, EROFS);

	assert_int_equal(subvolume_snapshot(image, root, "clone"), 0);
	assert_int_equal(subvolume_snapshot(image, root, "clone"), -EEXIST);
	clone = open_base("btrfs/clone");
	assert_int_equal(unlinkat(clone, "file", 0), 0);
	assert_int_equal(faccessat(image, "file", F_OK, 0), 0);

	assert_int_equal(subvolume_remove(root, "clone"), 0);
	assert_int_equal(subvolume_remove(root, "image"), 0);
	assert_int_equal(subvolume_remove(root, "image"), -ENOENT);
}

static void what_is_none_is_refused(void **state)
{
	PH_AUTO_CLOSE int root = -1;
	PH_AUTO_CLOSE int other = -1;
	PH_AUTO_CLOSE int plain = -1;
	PH_AUTO_CLOSE int real = -1;
	(void)state;

	NEEDS_BTRFS();
	root = open_base("btrfs");
	other = open_base("other");
	assert_int_equal(subvolume_make(other, "x"), -EOPNOTSUPP);
	assert_false(subvolume_is(other));
	assert_int_equal(mkdirat(root, "plain", 0700), 0);
	plain = open_base("btrfs/plain");
	assert_false(subvolume_is(plain));
	assert_int_equal(subvolume_make(root, "real"), 0);
	real = open_base("btrfs/real");
	assert_int_equal(symlinkat("real", root, "link"), 0);

	assert_int_equal(subvolume_snapshot(plain, root, "x"), -EOPNOTSUPP);
	assert_int_equal(subvolume_snapshot(other, root, "x"), -EOPNOTSUPP);
	assert_int_equal(subvolume_snapshot(real, other, "x"), -EXDEV);
	assert_int_equal(subvolume_set_read_only(plain, true), -EOPNOTSUPP);
	assert_int_equal(subvolume_remove(root, "plain"), -ENOTDIR);
	assert_int_equal(subvolume_remove(root, "link"), -ENOTDIR);
	assert_true(subvolume_make(root, "../escaped") < 0);
	assert_true(subvolume_remove(root, "plain/../real") < 0);
	assert_int_equal(faccessat(root, "real", F_OK, 0), 0);
	assert_int_equal(tree_remove(root, "real", NULL), TREE_DONE);
	assert_int_equal(tree_remove(root, "link", NULL), TREE_DONE);
	assert_int_equal(tree_remove(root, "plain", NULL), TREE_DONE);
}

/* A tree as a word: 's' a subvolume, 'd' a directory, each inside the one before; 'R' makes the
 * last subvolume read-only once all is there. A number repeats what follows it. */
static const struct {
	const char *name;
	const char *shape;
} shapes[] = {
	{ "a subvolume", "s" },
	{ "a read-only one", "sR" },
	{ "one in a directory", "ddsRd" },
	{ "one in another", "ss" },
	{ "read-only ones in each other", "sRsRsR" },
	{ "with directories between", "dsRdddsRddd" },
	{ "deep directories", "200d" },
	{ "one deeper than a stack", "100dsR" },
	{ "one deep in another", "sR100dsR" },
	{ "deep ones in each other", "100dsR100dsR100dsR100d" },
	{ "many in each other", "60s" },
	{ "one at the depth where directories are moved up", "s46dsR" },
	{ "one just below it", "s47dsR" },
};

/* Go on in what was just made; a file in it and, where it can be, something after it. */
static int enter(const char *name, int *dir)
{
	int next = openat(*dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (next < 0)
		return -1;
	close(*dir);
	*dir = next;
	return mkdirat(next, "empty", 0700) < 0 || symlinkat("/etc", next, "link") < 0 ? -1 : 0;
}

static int make_subvolume(int *dir)
{
	struct btrfs_ioctl_vol_args_v2 arguments = { .name = "x" };

	if (ioctl(*dir, BTRFS_IOC_SUBVOL_CREATE_V2, &arguments) < 0)
		return -1;
	return enter("x", dir);
}

static int make_directory(int *dir)
{
	return mkdirat(*dir, "x", 0700) < 0 ? -1 : enter("x", dir);
}

/* In a process that is nobody on the host. Returns what failed. */
static int make_shape(int dir, const char *shape)
{
	int to_lock[64], lock_count = 0, last = -1;
	uint64_t read_only = BTRFS_SUBVOL_RDONLY;

	for (const char *at = shape; *at; at++) {
		char *end = NULL;
		long times = strtol(at, &end, 10);

		at = end;
		for (long i = 0; i < (times ? times : 1); i++) {
			if (*at == 'd' && make_directory(&dir) < 0)
				return 2;
			if (*at == 's' && make_subvolume(&dir) < 0)
				return 3;
			if (*at == 's')
				last = dup(dir);
		}
		if (*at == 'R')
			to_lock[lock_count++] = last;
	}
	while (lock_count > 0)
		if (ioctl(to_lock[--lock_count], BTRFS_IOC_SUBVOL_SETFLAGS, &read_only) < 0)
			return 4;
	return 0;
}

static void as_container(int dir, const char *shape)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0)
		_exit(setgid(CONTAINER_ID) < 0 || setuid(CONTAINER_ID) < 0 ?
			      1 : make_shape(dup(dir), shape));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void a_container_cannot_keep_its_files(void **state)
{
	PH_AUTO_CLOSE int root = -1;
	(void)state;

	NEEDS_BTRFS();
	root = open_base("btrfs");
	for (size_t i = 0; i < ARRAY_LENGTH(shapes); i++) {
		const struct tree_owner owner = { CONTAINER_ID, CONTAINER_ID, 0711 };
		struct ph_error error = { 0 };
		struct stat status;
		PH_AUTO_CLOSE int data = -1;

		assert_int_equal(tree_make_dirs(root, "data", &owner, NULL), TREE_DONE);
		assert_int_equal(tree_open_dir(root, "data", &data, NULL), 0);
		as_container(data, shapes[i].shape);
		if (tree_remove(root, "data", &error) != TREE_DONE)
			fail_msg("%s: %s: %s", shapes[i].name, error.where, error.why);
		assert_int_equal(tree_stat(root, "data", &status), -ENOENT);
	}
}

/* A mount in what is removed stays, with what is in it, as it does elsewhere. */
static void a_mount_is_met(void **state)
{
	const struct tree_owner owner = { 0, 0, 0700 };
	PH_AUTO_FREE char *place = ph_format("%s/btrfs/data/mounted", base);
	PH_AUTO_CLOSE int root = -1;
	(void)state;

	NEEDS_BTRFS();
	root = open_base("btrfs");
	assert_int_equal(tree_make_dirs(root, "data/mounted", &owner, NULL), TREE_DONE);
	assert_int_equal(mount("tmpfs", place, "tmpfs", 0, NULL), 0);
	assert_int_equal(tree_remove(root, "data", NULL), -EBUSY);
	assert_int_equal(umount(place), 0);
	assert_int_equal(tree_remove(root, "data", NULL), TREE_DONE);
}

/* A btrfs and another file system below base. */
static bool make_filesystems(void)
{
	PH_AUTO_FREE char *command = ph_format(
		"mkdir %1$s/btrfs %1$s/other && truncate -s 256M %1$s/disk && "
		"mkfs.btrfs -q %1$s/disk >/dev/null 2>&1 && "
		"mount -o loop %1$s/disk %1$s/btrfs && mount -t tmpfs tmpfs %1$s/other", base);

	return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       system(command) == 0;
}

static void remove_filesystems(void)
{
	PH_AUTO_FREE char *command = ph_format("umount -l %1$s/btrfs %1$s/other 2>/dev/null; "
					       "rm -rf --one-file-system %1$s", base);

	if (system(command) != 0)
		print_message("# %s stays\n", base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_is_made_shared_and_removed),
		cmocka_unit_test(what_is_none_is_refused),
		cmocka_unit_test(a_container_cannot_keep_its_files),
		cmocka_unit_test(a_mount_is_met),
	};
	int result;

	snprintf(base, sizeof(base), "/tmp/phoenix-test-subvolume-XXXXXX");
	if (!mkdtemp(base) || chmod(base, 0711) < 0)
		return 1;
	btrfs_is_here = geteuid() == 0 && make_filesystems();
	if (!btrfs_is_here)
		print_message("# SKIP: no btrfs here (root, mkfs.btrfs, loop device)\n");
	result = cmocka_run_group_tests(tests, NULL, NULL);
	remove_filesystems();
	return result;
}
