/*
 * A clone's second root by each method this host has: made, prepared, gone back to, replaced and
 * given up; what it does to images; what is refused; full disks; and what a hostile container leaves.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "controller/host/image/image.h"
#include "tests/component/roots_fixture.h"

/* The whole of it: there, back, there again; then a third one; and nothing the second time. */
static void run_story(struct host_fixture *fixture, enum clone_method from, enum clone_method to,
		      int mounts)
{
	const struct clone_request request = roots_fixture_request("next", to);
	PH_AUTO_FREE char *data = host_fixture_path(fixture, "state/data/web1/volume");
	struct clone clone;

	roots_fixture_create(fixture, from);
	assert_int_equal(mkdir(data, 0700), 0);
	roots_fixture_mark(fixture);
	roots_fixture_rebuild(fixture, "next", to, false, CLONE_CHANGED);
	roots_fixture_rebuild(fixture, "next", to, false, CLONE_UNCHANGED);
	clone = roots_fixture_find(fixture);
	assert_string_equal(clone.current.image, "next");
	assert_int_equal(clone.current.method, to);
	assert_string_equal(clone.kept.image, "web");
	assert_int_equal(clone.kept.method, from);
	assert_false(roots_fixture_is_marked(fixture));
	assert_int_equal(access(data, F_OK), 0);
	roots_fixture_assert_no_rubbish(fixture, &clone);
	assert_int_equal(clone_create(&fixture->config, &request, NULL, NULL), CLONE_UNCHANGED);

	roots_fixture_rebuild(fixture, "web", from, false, CLONE_CHANGED);
	clone = roots_fixture_find(fixture);
	assert_string_equal(clone.current.image, "web");
	assert_string_equal(clone.kept.image, "next");
	assert_true(roots_fixture_is_marked(fixture));
	roots_fixture_assert_no_rubbish(fixture, &clone);

	roots_fixture_rebuild(fixture, "next", to, false, CLONE_CHANGED);
	roots_fixture_mark(fixture);
	roots_fixture_rebuild(fixture, "third", from, false, CLONE_CHANGED);
	clone = roots_fixture_find(fixture);
	assert_string_equal(clone.kept.image, "next");
	roots_fixture_assert_no_rubbish(fixture, &clone);
	assert_int_equal(clone_discard(&fixture->config, "web1", &clone, NULL), CLONE_CHANGED);
	assert_int_equal(clone_discard(&fixture->config, "web1", &clone, NULL), CLONE_UNCHANGED);
	assert_string_equal(clone.kept.image, "");
	clone = roots_fixture_find(fixture);
	roots_fixture_assert_no_rubbish(fixture, &clone);
	assert_int_equal(access(data, F_OK), 0);
	roots_fixture_destroy(fixture, mounts);
}

/* From each method to each, on a file system that has them all, and on the one of this host. */
static void there_and_back(void **state)
{
	static const char *const types[] = { NULL, "btrfs", "xfs" };
	struct host_fixture *fixture = *state;

	NEEDS_ROOT(state);
	for (size_t i = 0; i < ARRAY_LENGTH(types); i++) {
		bool works[CLONE_METHODS];

		if (types[i] && !clone_fixture_begin_on(fixture, types[i]))
			continue;
		if (!types[i])
			clone_fixture_image(fixture, "web", clone_fixture_entries);
		roots_fixture_begin(fixture);
		for (size_t j = 0; j < ARRAY_LENGTH(clone_fixture_methods); j++)
			works[clone_fixture_methods[j]] =
				clone_fixture_works(fixture, clone_fixture_methods[j]);
		for (int from = CLONE_OVERLAY; from < CLONE_METHODS; from++)
			for (int to = CLONE_OVERLAY; to < CLONE_METHODS; to++)
				if (works[from] && works[to])
					run_story(fixture, (enum clone_method)from,
						  (enum clone_method)to, types[i] ? 1 : 0);
		roots_fixture_end(fixture);
		if (types[i])
			clone_fixture_end_on(fixture);
		else
			assert_int_equal(image_remove(&fixture->config, "web", NULL), IMAGE_CHANGED);
	}
}

/* Beside a root that is mounted and in use: that stays as it is, and what is not wanted any more goes. */
static void prepares(void **state)
{
	struct host_fixture *fixture = *state;
	PH_AUTO_FREE char *shell = NULL;
	PH_AUTO_CLOSE int used = -1;
	struct clone clone;

	NEEDS_ROOT(state);
	clone_fixture_image(fixture, "web", clone_fixture_entries);
	roots_fixture_begin(fixture);
	roots_fixture_create(fixture, CLONE_AUTO);
	roots_fixture_mark(fixture);
	shell = clone_fixture_inside(fixture, "web1", "usr/bin/sh");
	used = open(shell, O_RDONLY | O_CLOEXEC);
	roots_fixture_rebuild(fixture, "next", CLONE_AUTO, true, CLONE_CHANGED);
	roots_fixture_rebuild(fixture, "next", CLONE_AUTO, true, CLONE_UNCHANGED);
	assert_int_equal(clone_mount(&fixture->config, "web1", NULL), CLONE_UNCHANGED);
	assert_true(roots_fixture_is_marked(fixture));
	clone = roots_fixture_find(fixture);
	assert_string_equal(clone.prepared.image, "next");
	assert_string_equal(clone.kept.image, "");
	roots_fixture_assert_no_rubbish(fixture, &clone);

	/* Another one in its place; then the one that there is, by which that goes too. */
	roots_fixture_rebuild(fixture, "third", CLONE_COPY, true, CLONE_CHANGED);
	clone = roots_fixture_find(fixture);
	assert_string_equal(clone.prepared.image, "third");
	roots_fixture_assert_no_rubbish(fixture, &clone);
	roots_fixture_rebuild(fixture, "web", CLONE_AUTO, false, CLONE_CHANGED);
	roots_fixture_rebuild(fixture, "web", CLONE_AUTO, true, CLONE_UNCHANGED);
	clone = roots_fixture_find(fixture);
	assert_string_equal(clone.prepared.image, "");
	roots_fixture_assert_no_rubbish(fixture, &clone);

	/* A kept root stays until the prepared one is taken, and is one itself. */
	roots_fixture_rebuild(fixture, "next", CLONE_AUTO, false, CLONE_CHANGED);
	roots_fixture_rebuild(fixture, "web", CLONE_AUTO, true, CLONE_UNCHANGED);
	roots_fixture_rebuild(fixture, "third", CLONE_AUTO, true, CLONE_CHANGED);
	clone = roots_fixture_find(fixture);
	assert_string_equal(clone.kept.image, "web");
	roots_fixture_rebuild(fixture, "third", CLONE_AUTO, false, CLONE_CHANGED);
	clone = roots_fixture_find(fixture);
	assert_string_equal(clone.current.image, "third");
	assert_string_equal(clone.kept.image, "next");
	assert_string_equal(clone.prepared.image, "");
	roots_fixture_assert_no_rubbish(fixture, &clone);
	roots_fixture_destroy(fixture, 0);
}

/* With another method it is another root of the same image, and by any method it is the same. */
static void another_method(void **state)
{
	struct host_fixture *fixture = *state;
	struct clone clone;

	NEEDS_ROOT(state);
	clone_fixture_image(fixture, "web", clone_fixture_entries);
	if (!clone_fixture_works(fixture, CLONE_OVERLAY))
		skip();
	roots_fixture_create(fixture, CLONE_OVERLAY);
	roots_fixture_mark(fixture);
	roots_fixture_rebuild(fixture, "web", CLONE_COPY, false, CLONE_CHANGED);
	clone = roots_fixture_find(fixture);
	assert_int_equal(clone.current.method, CLONE_COPY);
	assert_int_equal(clone.kept.method, CLONE_OVERLAY);
	assert_false(roots_fixture_is_marked(fixture));
	roots_fixture_rebuild(fixture, "web", CLONE_AUTO, false, CLONE_UNCHANGED);
	roots_fixture_rebuild(fixture, "web", CLONE_OVERLAY, false, CLONE_CHANGED);
	assert_true(roots_fixture_is_marked(fixture));
	roots_fixture_destroy(fixture, 0);
}

/* The images of all roots are in use, and of those that went no longer. */
static void images_of_all_roots_stay(void **state)
{
	struct host_fixture *fixture = *state;
	struct ph_error error = { 0 };

	NEEDS_ROOT(state);
	clone_fixture_image(fixture, "web", clone_fixture_entries);
	roots_fixture_begin(fixture);
	roots_fixture_create(fixture, CLONE_AUTO);
	roots_fixture_rebuild(fixture, "next", CLONE_AUTO, false, CLONE_CHANGED);
	roots_fixture_rebuild(fixture, "third", CLONE_AUTO, true, CLONE_CHANGED);
	assert_int_equal(image_remove(&fixture->config, "next", &error), -EBUSY);
	assert_non_null(strstr(error.why, "web1"));
	assert_int_equal(image_remove(&fixture->config, "web", &error), -EBUSY);
	assert_non_null(strstr(error.why, "web1 (its kept root)"));
	assert_non_null(strstr(error.remedy, "phoenixctl discard"));
	assert_int_equal(image_remove(&fixture->config, "third", &error), -EBUSY);
	assert_non_null(strstr(error.why, "web1 (a prepared root)"));
	assert_int_equal(clone_discard(&fixture->config, "web1", NULL, NULL), CLONE_CHANGED);
	assert_int_equal(image_remove(&fixture->config, "web", NULL), IMAGE_CHANGED);
	assert_int_equal(image_remove(&fixture->config, "third", NULL), IMAGE_CHANGED);
	assert_string_equal(roots_fixture_find(fixture).current.image, "next");
	roots_fixture_destroy(fixture, 0);
}

static void refusals(void **state)
{
	static const struct {
		const char *name;
		struct clone_request request;
		int expected;
	} cases[] = {
		{ "no image", { "web1", "none", CLONE_FIXTURE_BASE, CLONE_FIXTURE_COUNT }, -ENOENT },
		{ "image name", { "web1", "../next", CLONE_FIXTURE_BASE, CLONE_FIXTURE_COUNT }, -EINVAL },
		{ "name", { "../web1", "next", CLONE_FIXTURE_BASE, CLONE_FIXTURE_COUNT }, -EINVAL },
		{ "no clone", { "web2", "next", CLONE_FIXTURE_BASE, CLONE_FIXTURE_COUNT }, -ENOENT },
		{ "other ids", { "web1", "next", CLONE_FIXTURE_BASE + 1, CLONE_FIXTURE_COUNT }, -EEXIST },
		{ "fewer ids", { "web1", "next", CLONE_FIXTURE_BASE, CLONE_FIXTURE_COUNT - 1 }, -EEXIST },
		{ "high ids", { "web1", "high", CLONE_FIXTURE_BASE, CLONE_FIXTURE_COUNT }, -EOVERFLOW },
		{ "late", { "web1", "late", CLONE_FIXTURE_BASE, CLONE_FIXTURE_COUNT, CLONE_COPY }, -EEXIST },
		{ "late overlay", { "web1", "late", CLONE_FIXTURE_BASE, CLONE_FIXTURE_COUNT }, -EEXIST },
	};
	static const struct tar_entry high[] = { { 'f', "x", "x", 0644, 70000, 0 }, { 0 } };
	static const struct tar_entry late[] = { { 'd', "etc/hostname" }, { 0 } };
	struct host_fixture *fixture = *state;

	NEEDS_ROOT(state);
	clone_fixture_image(fixture, "web", clone_fixture_entries);
	clone_fixture_image(fixture, "high", high);
	clone_fixture_image(fixture, "late", late);
	roots_fixture_begin(fixture);
	roots_fixture_create(fixture, CLONE_AUTO);
	roots_fixture_rebuild(fixture, "next", CLONE_AUTO, false, CLONE_CHANGED);
	roots_fixture_mark(fixture);
	for (size_t i = 0; i < 2 * ARRAY_LENGTH(cases); i++) {
		int result = clone_rebuild(&fixture->config, &cases[i / 2].request, i % 2, NULL, NULL);
		struct clone clone = roots_fixture_find(fixture);

		if (result != cases[i / 2].expected)
			fail_msg("%s: %d", cases[i / 2].name, result);
		assert_string_equal(clone.current.image, "next");
		assert_string_equal(clone.kept.image, "web"); /* a failure costs nothing */
		assert_string_equal(clone.prepared.image, "");
		assert_true(roots_fixture_is_marked(fixture));
		roots_fixture_assert_no_rubbish(fixture, &clone);
	}
	assert_int_equal(clone_discard(&fixture->config, "web2", NULL, NULL), -ENOENT);
	assert_int_equal(clone_discard(&fixture->config, "..", NULL, NULL), -EINVAL);
	roots_fixture_destroy(fixture, 0);
}

/* No room for the new root: the old ones stay, and it can be had when there is room. */
static void full_disk(void **state)
{
	static const struct tar_entry big[] = { { 'f', "big", "=8000000" }, { 0 } };
	struct host_fixture *fixture = *state;
	PH_AUTO_FREE char *containers = NULL;
	struct ph_error error = { 0 };
	struct clone_request request = roots_fixture_request("big", CLONE_COPY);
	struct clone clone;

	NEEDS_ROOT(state);
	clone_fixture_image(fixture, "web", clone_fixture_entries);
	clone_fixture_image(fixture, "big", big);
	roots_fixture_begin(fixture);
	containers = host_fixture_path(fixture, "state/containers");
	assert_int_equal(mount("tmpfs", containers, "tmpfs", 0, "size=4m,mode=711"), 0);
	roots_fixture_create(fixture, CLONE_COPY);
	roots_fixture_rebuild(fixture, "next", CLONE_COPY, false, CLONE_CHANGED);
	for (int prepare = 0; prepare < 2; prepare++) {
		assert_int_equal(clone_rebuild(&fixture->config, &request, prepare, NULL, &error),
				 -ENOSPC);
		assert_non_null(strstr(error.remedy, "free space"));
		clone = roots_fixture_find(fixture);
		assert_string_equal(clone.current.image, "next");
		assert_string_equal(clone.kept.image, "web");
		assert_string_equal(clone.prepared.image, "");
		roots_fixture_assert_no_rubbish(fixture, &clone);
	}
	assert_int_equal(mount(NULL, containers, NULL, MS_REMOUNT, "size=32m"), 0);
	roots_fixture_rebuild(fixture, "big", CLONE_COPY, false, CLONE_CHANGED);
	assert_int_equal(clone_destroy(&fixture->config, "web1", NULL), CLONE_CHANGED);
	assert_int_equal(umount(containers), 0);
}

/* Write up to so many bytes, or as many as there is room for, to the last one. */
static void fill(const char *path, size_t length)
{
	static char block[65536];
	PH_AUTO_CLOSE int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(file >= 0);
	for (size_t size = sizeof(block); size; size /= 16)
		while (length >= size && write(file, block, size) == (ssize_t)size &&
		       (size == sizeof(block) || fsync(file) == 0))
			length -= size;
}

/* When the disk is full, what can be given up can be. */
static void full_disks_are_freed(void **state)
{
	static const char *const types[] = { "ext4", "xfs", "btrfs" };
	struct host_fixture *fixture = *state;

	NEEDS_ROOT(state);
	for (size_t i = 0; i < ARRAY_LENGTH(types); i++) {
		PH_AUTO_FREE char *filled = host_fixture_path(fixture, "state/filled");
		PH_AUTO_FREE char *large = NULL;
		struct ph_error error = { 0 };
		struct clone clone;

		if (!clone_fixture_begin_on(fixture, types[i]))
			continue;
		roots_fixture_begin(fixture);
		roots_fixture_create(fixture, CLONE_COPY);
		large = clone_fixture_inside(fixture, "web1", "var/large");
		fill(large, 4 << 20);
		roots_fixture_rebuild(fixture, "next", CLONE_COPY, false, CLONE_CHANGED);
		fill(filled, SIZE_MAX);
		print_message("# a full %s\n", types[i]);
		roots_fixture_rebuild(fixture, "third", i ? CLONE_REFLINK : CLONE_COPY, true, -ENOSPC);
		roots_fixture_expect(clone_discard(&fixture->config, "web1", NULL, &error),
				     CLONE_CHANGED, &error);
		clone = roots_fixture_find(fixture);
		assert_string_equal(clone.kept.image, "");
		roots_fixture_assert_no_rubbish(fixture, &clone);
		assert_int_equal(unlink(filled), 0);
		roots_fixture_destroy(fixture, 1);
		roots_fixture_end(fixture);
		clone_fixture_end_on(fixture);
	}
}

/* What a removal on a full disk leaves when it is interrupted, or whoever removes a root by hand. */
static void broken_roots_are_given_up(void **state)
{
	struct host_fixture *fixture = *state;
	struct clone clone;

	NEEDS_ROOT(state);
	clone_fixture_image(fixture, "web", clone_fixture_entries);
	roots_fixture_begin(fixture);
	for (size_t i = 0; i < 2 * ARRAY_LENGTH(clone_fixture_methods); i++) {
		enum clone_method method = clone_fixture_methods[i / 2];
		PH_AUTO_FREE char *command = ph_format(
			"cd %s/state/containers/web1 && mv %s rootfs.partial", fixture->base,
			method == CLONE_OVERLAY ? "upper" : "rootfs");

		if (!clone_fixture_works(fixture, method))
			continue;
		roots_fixture_create(fixture, method);
		roots_fixture_mark(fixture);
		roots_fixture_rebuild(fixture, "next", method, false, CLONE_CHANGED);
		assert_int_equal(system(command), 0);
		if (i % 2) {
			assert_int_equal(clone_discard(&fixture->config, "web1", NULL, NULL),
					 CLONE_CHANGED);
		} else {
			roots_fixture_rebuild(fixture, "web", method, false, CLONE_CHANGED);
			assert_false(roots_fixture_is_marked(fixture));
		}
		clone = roots_fixture_find(fixture);
		assert_string_equal(clone.current.image, i % 2 ? "next" : "web");
		assert_string_equal(clone.kept.image, i % 2 ? "" : "next");
		roots_fixture_assert_no_rubbish(fixture, &clone);
		roots_fixture_destroy(fixture, 0);
	}
}

/* Nobody but root and the container's own gets into a root; nobody else to a snapshot's own ids. */
static int enter(const char *path)
{
	return chdir(path) == 0 ? 0 : 1;
}

static void roots_have_walls(void **state)
{
	struct host_fixture *fixture = *state;

	NEEDS_ROOT(state);
	if (!clone_fixture_begin_on(fixture, "btrfs"))
		skip();
	roots_fixture_begin(fixture);
	for (size_t i = 0; i < ARRAY_LENGTH(clone_fixture_methods); i++) {
		PH_AUTO_FREE char *base = host_fixture_path(fixture, "state/containers/web1/root-1");
		PH_AUTO_FREE char *snapshot = ph_format("%s/snapshot", base);
		PH_AUTO_FREE char *root = NULL;
		struct stat status;

		roots_fixture_create(fixture, clone_fixture_methods[i]);
		roots_fixture_rebuild(fixture, "next", clone_fixture_methods[i], false, CLONE_CHANGED);
		roots_fixture_find(fixture);
		root = clone_fixture_inside(fixture, "web1", "");
		assert_int_equal(clone_fixture_as_container(enter, root), 0);
		assert_int_equal(clone_fixture_as_container(enter, snapshot), 1);
		assert_int_equal(lstat(base, &status), 0);
		assert_int_equal(status.st_mode & 07777, 0710);
		assert_int_equal(status.st_uid, 0);
		assert_int_equal(status.st_gid, CLONE_FIXTURE_BASE);
		roots_fixture_destroy(fixture, 1);
	}
	roots_fixture_end(fixture);
	clone_fixture_end_on(fixture);
}

/* Deeper than any stack of a removal, and nothing in it that its owner may enter. */
static int make_deep_and_closed(const char *rootfs)
{
	if (chdir(rootfs) < 0)
		return 1;
	for (int depth = 0; depth < 200; depth++)
		if (mkdir("deep", 0700) < 0 || chdir("deep") < 0)
			return 2;
	if (symlink("/etc/passwd", "link") < 0 || mkfifo("fifo", 0600) < 0 || chmod(".", 0) < 0)
		return 3;
	return 0;
}

/* What a container has made of its root goes with it, wherever that lies, and nothing else does. */
static void hostile_roots_go(void **state)
{
	struct host_fixture *fixture = *state;

	NEEDS_ROOT(state);
	if (!clone_fixture_begin_on(fixture, "btrfs"))
		skip();
	roots_fixture_begin(fixture);
	for (size_t i = 0; i < ARRAY_LENGTH(clone_fixture_methods); i++) {
		enum clone_method method = clone_fixture_methods[i];

		roots_fixture_create(fixture, method);
		for (int turn = 0; turn < 4; turn++) {
			PH_AUTO_FREE char *root = NULL;
			struct clone clone = roots_fixture_find(fixture);

			root = clone_fixture_inside(fixture, "web1", "");
			assert_int_equal(clone_fixture_as_container(make_deep_and_closed, root), 0);
			if (method != CLONE_OVERLAY) /* has none */
				assert_int_equal(clone_fixture_as_container(clone_fixture_make_subvolumes,
									    root), 0);
			roots_fixture_rebuild(fixture, turn % 2 ? "web" : "next", method, false, CLONE_CHANGED);
			if (turn < 3)
				assert_int_equal(clone_discard(&fixture->config, "web1", &clone, NULL),
						 CLONE_CHANGED);
			else
				clone = roots_fixture_find(fixture);
			roots_fixture_assert_no_rubbish(fixture, &clone);
		}
		roots_fixture_destroy(fixture, 1);
	}
	roots_fixture_end(fixture);
	clone_fixture_end_on(fixture);
}

/* Nobody mounts the kept root, and after a reboot of the host the current one only. */
static void after_a_reboot(void **state)
{
	struct host_fixture *fixture = *state;
	int mounts;

	NEEDS_ROOT(state);
	clone_fixture_image(fixture, "web", clone_fixture_entries);
	roots_fixture_begin(fixture);
	roots_fixture_create(fixture, CLONE_AUTO);
	mounts = clone_fixture_mounts(fixture);
	roots_fixture_mark(fixture);
	roots_fixture_rebuild(fixture, "next", CLONE_AUTO, false, CLONE_CHANGED);
	assert_int_equal(clone_unmount(&fixture->config, "web1", NULL), CLONE_CHANGED);
	assert_int_equal(clone_fixture_mounts(fixture), 0);
	assert_int_equal(clone_mount(&fixture->config, "web1", NULL), CLONE_CHANGED);
	assert_int_equal(clone_fixture_mounts(fixture), mounts);
	assert_string_equal(roots_fixture_find(fixture).current.image, "next");
	assert_int_equal(clone_unmount(&fixture->config, "web1", NULL), CLONE_CHANGED);
	roots_fixture_rebuild(fixture, "web", CLONE_AUTO, false, CLONE_CHANGED);
	assert_true(roots_fixture_is_marked(fixture));
	roots_fixture_destroy(fixture, 0);
}

#define TEST(function)                                                                             \
	cmocka_unit_test_setup_teardown(function, host_fixture_setup, host_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(there_and_back),
		TEST(prepares),
		TEST(another_method),
		TEST(images_of_all_roots_stay),
		TEST(refusals),
		TEST(full_disk),
		TEST(full_disks_are_freed),
		TEST(broken_roots_are_given_up),
		TEST(roots_have_walls),
		TEST(hostile_roots_go),
		TEST(after_a_reboot),
	};

	if (!host_fixture_enter())
		print_message("# SKIP: clones need root\n");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
