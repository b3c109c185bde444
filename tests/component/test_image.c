/*
 * Importing, listing and removing images: what must be kept, what must be refused, and that nothing
 * remains of a failure.
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
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "controller/host/image/clone.h"
#include "controller/host/image/image.h"
#include "tests/component/host_fixture.h"

#define NEEDS_ROOT(state)                                                                          \
	do {                                                                                       \
		if (!*(state))                                                                     \
			skip();                                                                    \
	} while (0)

/* cap_net_raw+ep as revision 2, as setcap writes it. */
static const char capability[20] = "\x01\x00\x00\x02\x00\x20\x00\x00";

struct import_case {
	const char *name;
	bool with_system; /* what a system needs comes first */
	struct tar_entry entries[4];
	struct image_import limits;
	int expected;
	const char *why; /* part of the reason */
};

static const struct import_case import_cases[] = {
	{ "a system", true, { { 'f', "x", "x" } }, { 0 }, IMAGE_CHANGED, NULL },
	{ "device nodes and FIFOs are left out", true,
	  { { 'd', "dev" }, { 'c', "dev/null" }, { 'p', "dev/log" } }, { 0 }, IMAGE_CHANGED, NULL },
	{ "symlinks may point anywhere", true,
	  { { 'l', "a", "/etc/passwd" }, { 'l', "b", "../../../x" } }, { 0 }, IMAGE_CHANGED, NULL },
	{ "absolute name", true, { { 'f', "/tmp/phoenix-evil", "x" } }, { 0 }, -EINVAL, "absolute" },
	{ "name with ..", true, { { 'f', "a/../../../sentinel", "x" } }, { 0 }, -EINVAL, "'..'" },
	{ "name that ends in ..", true, { { 'd', "a/.." } }, { 0 }, -EINVAL, "'..'" },
	{ "through an absolute symlink", true,
	  { { 'l', "a", "/tmp" }, { 'f', "a/phoenix-evil", "x" } }, { 0 }, -EINVAL, "symlink" },
	{ "through a relative symlink", true,
	  { { 'l', "a", "../../../.." }, { 'f', "a/sentinel", "x" } }, { 0 }, -EINVAL, "symlink" },
	{ "hard link to an absolute name", true, { { 'h', "a", "/etc/passwd" } }, { 0 }, -EINVAL,
	  "hard link" },
	{ "hard link to ..", true, { { 'h', "a", "../../../sentinel" } }, { 0 }, -EINVAL,
	  "hard link" },
	{ "hard link through a symlink", true,
	  { { 'l', "a", "../../.." }, { 'h', "b", "a/sentinel" } }, { 0 }, -EINVAL, "" },
	{ "hard link to nothing", true, { { 'h', "a", "b" } }, { 0 }, -EINVAL, "" },
	{ "an owner that is none", true, { { 'f', "a", "x", 0644, INT64_C(5000000000), 0 } }, { 0 },
	  -EINVAL, "user id" },
	{ "no os-release", false, { { 'd', "etc" }, { 'f', "a", "x" } }, { 0 }, -EINVAL,
	  "os-release" },
	{ "only a folder around it", false,
	  { { 'd', "rootfs" }, { 'd', "rootfs/etc" }, { 'f', "rootfs/etc/os-release", "" } }, { 0 },
	  -EINVAL, "folder 'rootfs'" },
	{ "no shell", false, { { 'd', "etc" }, { 'f', "etc/os-release", "" } }, { 0 }, -EINVAL,
	  "/bin/sh" },
	{ "no dpkg", false,
	  { { 'd', "etc" }, { 'f', "etc/os-release", "" }, { 'd', "bin" }, { 'f', "bin/sh", "" } },
	  { 0 }, -EINVAL, "dpkg" },
	{ "os-release is a symlink out of the image", false,
	  { { 'd', "etc" }, { 'l', "etc/os-release", "/etc/os-release" } }, { 0 }, -EINVAL,
	  "os-release" },
	{ "empty archive", false, { { 0 } }, { 0 }, -EINVAL, "empty" },
	{ "too many bytes", true, { { 'f', "big", "=1000000" } }, { .bytes_maximum = 999999 },
	  -EFBIG, "999999 bytes" },
	{ "too many entries", true, { { 'f', "x", "" } }, { .entries_maximum = 5 }, -EFBIG,
	  "5 entries" },
};

static int import(const struct host_fixture *fixture, const char *name, const char *file,
		  struct image *ret_image, struct ph_error *error)
{
	const struct image_import request = { .name = name, .spool_file = file, .source = "test" };

	return image_import(&fixture->config, &request, ret_image, error);
}

static char *rootfs_path(const struct host_fixture *fixture, const char *image, const char *path)
{
	return ph_format("%s/state/images/%s/rootfs/%s", fixture->base, image, path);
}

static void run_import_case(const struct import_case *test)
{
	struct ph_error error = { 0 };
	struct image_import request = test->limits;
	struct image image;
	struct host_fixture *fixture;
	void *state;
	int result;

	assert_int_equal(host_fixture_setup(&state), 0);
	fixture = state;
	if (test->with_system)
		host_fixture_spool_system(fixture, "a.tar", test->entries);
	else
		host_fixture_spool(fixture, "a.tar", "none", test->entries);
	request.name = "web";
	request.spool_file = "a.tar";

	result = image_import(&fixture->config, &request, &image, &error);
	if (result != test->expected)
		fail_msg("%s: %d instead of %d (%s)", test->name, result, test->expected, error.why);
	if (test->why && !strstr(error.why, test->why))
		fail_msg("%s: '%s' does not say '%s'", test->name, error.why, test->why);
	assert_int_equal(host_fixture_entries(fixture, "state/images"), result < 0 ? 0 : 1);
	assert_true(access("/tmp/phoenix-evil", F_OK) < 0);
	host_fixture_assert_sentinel(fixture);
	assert_int_equal(host_fixture_teardown(&state), 0);
}

static void imports(void **state)
{
	NEEDS_ROOT(state);
	for (size_t i = 0; i < ARRAY_LENGTH(import_cases); i++)
		run_import_case(&import_cases[i]);
}

static const struct {
	const char *name;
	char kind; /* what lies in the spool: f(ile) l(ink) h(ard link) d(irectory), 0: nothing */
	const char *file;
	int expected;
} spool_cases[] = {
	{ "nothing there", 0, "a.tar", -ENOENT },
	{ "a symlink", 'l', "a.tar", -ELOOP },
	{ "a hard link", 'h', "a.tar", -EMLINK },
	{ "a directory", 'd', "a.tar", -EINVAL },
	{ "a FIFO", 'p', "a.tar", -EINVAL },
	{ "a path", 0, "../sentinel", -EINVAL },
	{ "the spool itself", 0, ".", -EINVAL },
	{ "no name", 0, "", -EINVAL },
	{ "garbage", 'f', "a.tar", -EINVAL },
};

static void spools(void **state)
{
	struct host_fixture *fixture = *state;
	struct image image;

	NEEDS_ROOT(state);
	for (size_t i = 0; i < ARRAY_LENGTH(spool_cases); i++) {
		PH_AUTO_FREE char *path = host_fixture_path(fixture, "state/spool/a.tar");
		PH_AUTO_FREE char *target = host_fixture_path(fixture, "sentinel");
		PH_AUTO_CLOSE int fd = -1;
		int result;

		switch (spool_cases[i].kind) {
		case 'l':
			assert_int_equal(symlink(target, path), 0);
			break;
		case 'h':
			assert_int_equal(link(target, path), 0);
			break;
		case 'd':
			assert_int_equal(mkdir(path, 0755), 0);
			break;
		case 'p':
			assert_int_equal(mkfifo(path, 0644), 0);
			break;
		case 'f':
			fd = open(path, O_WRONLY | O_CREAT, 0600);
			assert_int_equal(write(fd, path, 40), 40);
			break;
		}
		result = import(fixture, "web", spool_cases[i].file, &image, NULL);
		if (result != spool_cases[i].expected)
			fail_msg("%s: %d instead of %d", spool_cases[i].name, result,
				 spool_cases[i].expected);
		assert_int_equal(host_fixture_entries(fixture, "state/images"), 0);
		remove(path);
		host_fixture_assert_sentinel(fixture);
	}
}

static void compressions(void **state)
{
	static const char *const filters[] = { "none", "gzip", "xz", "zstd" };
	static const struct tar_entry entries[] = {
		{ 'f', "etc/os-release", "" }, { 'f', "bin/sh", "" },
		{ 'f', "var/lib/dpkg/status", "" }, { 'f', "big", "=3000000" }, { 0 },
	};
	struct host_fixture *fixture = *state;
	struct image image;

	NEEDS_ROOT(state);
	for (size_t i = 0; i < ARRAY_LENGTH(filters); i++) {
		host_fixture_spool(fixture, "a", filters[i], entries);
		assert_int_equal(import(fixture, filters[i], "a", &image, NULL), IMAGE_CHANGED);
		assert_int_equal(image.size_bytes, 3000000);
		assert_int_equal(strlen(image.digest), 64);
	}
}

static void truncated_archives(void **state)
{
	struct host_fixture *fixture = *state;
	static const struct tar_entry more[] = { { 'f', "big", "=100000" }, { 0 } };
	static const off_t sizes[] = { 0, 1, 511, 700, 5000, 50000 };
	PH_AUTO_FREE char *path = NULL;
	struct image image;

	NEEDS_ROOT(state);
	path = host_fixture_path(fixture, "state/spool/a.tar");
	for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
		host_fixture_spool_system(fixture, "a.tar", more);
		assert_int_equal(truncate(path, sizes[i]), 0);
		assert_int_equal(import(fixture, "web", "a.tar", &image, NULL), -EINVAL);
		assert_int_equal(host_fixture_entries(fixture, "state/images"), 0);
	}
}

static const struct tar_entry attribute_entries[] = {
	{ 'f', "sudo", "setuid", 04755 },
	{ 'f', "mail", "m", 02775, 33, 1000 },
	{ 'f', "ping", "caps", 0755, 0, 0, "security.capability", capability, sizeof(capability) },
	{ 'f', "user", "u", 0644, 0, 0, "user.phoenix", "yes", 3 },
	{ 'f', "trusted", "t", 0644, 0, 0, "trusted.overlay.opaque", "y", 1 },
	{ 'h', "ping2", "ping" },
	{ 's', "sparse", NULL, 0600 },
	{ 'f', "\xc3\xa9t\xc3\xa9", "utf-8", 0644, 65533, 65533 },
	{ 'd', "closed", NULL, 0700, 7, 8 },
	{ 'f', "closed/in", "x" },
	{ 'l', "link", "nowhere", 0777, 5, 6 },
	{ 0 },
};

static struct stat stat_in(const struct host_fixture *fixture, const char *image, const char *path)
{
	PH_AUTO_FREE char *full = rootfs_path(fixture, image, path);
	struct stat status;

	assert_int_equal(lstat(full, &status), 0);
	return status;
}

static void attributes_are_kept(void **state)
{
	struct host_fixture *fixture = *state;
	PH_AUTO_FREE char *ping = NULL, *user = NULL, *trusted = NULL;
	struct stat status, other;
	struct image image;
	char value[64];

	NEEDS_ROOT(state);
	host_fixture_spool_system(fixture, "a.tar", attribute_entries);
	assert_int_equal(import(fixture, "web", "a.tar", &image, NULL), IMAGE_CHANGED);
	assert_int_equal(image.highest_id, 65533);
	assert_string_equal(image.system, "Test GNU/Linux 1");

	assert_int_equal(stat_in(fixture, "web", "sudo").st_mode & 07777, 04755);
	status = stat_in(fixture, "web", "mail");
	assert_int_equal(status.st_mode & 07777, 02775);
	assert_int_equal(status.st_uid, 33);
	assert_int_equal(status.st_gid, 1000);
	assert_int_equal(status.st_mtime, 1000000000);
	status = stat_in(fixture, "web", "ping");
	other = stat_in(fixture, "web", "ping2");
	assert_int_equal(status.st_ino, other.st_ino);
	status = stat_in(fixture, "web", "sparse");
	assert_int_equal(status.st_size, 16 * 1024 * 1024);
	assert_true(status.st_blocks * 512 < 1024 * 1024);
	assert_int_equal(stat_in(fixture, "web", "\xc3\xa9t\xc3\xa9").st_uid, 65533);
	status = stat_in(fixture, "web", "closed");
	assert_int_equal(status.st_mode & 07777, 0700);
	assert_int_equal(status.st_uid, 7);
	assert_int_equal(stat_in(fixture, "web", "link").st_uid, 5);

	ping = rootfs_path(fixture, "web", "ping");
	user = rootfs_path(fixture, "web", "user");
	trusted = rootfs_path(fixture, "web", "trusted");
	assert_int_equal(getxattr(ping, "security.capability", value, sizeof(value)),
			 sizeof(capability));
	assert_memory_equal(value, capability, sizeof(capability));
	assert_int_equal(getxattr(user, "user.phoenix", value, sizeof(value)), 3);
	assert_int_equal(getxattr(trusted, "trusted.overlay.opaque", value, sizeof(value)), -1);
}

static void same_archive_is_unchanged(void **state)
{
	struct host_fixture *fixture = *state;
	static const struct tar_entry other[] = { { 'f', "other", "x" }, { 0 } };
	struct image first, again, replaced;
	PH_AUTO_FREE char *path = NULL;

	NEEDS_ROOT(state);
	path = rootfs_path(fixture, "web", "other");
	host_fixture_spool_system(fixture, "a.tar", NULL);
	assert_int_equal(import(fixture, "web", "a.tar", &first, NULL), IMAGE_CHANGED);
	assert_int_equal(import(fixture, "web", "a.tar", &again, NULL), IMAGE_UNCHANGED);
	assert_string_equal(first.digest, again.digest);
	assert_int_equal(first.created_ms, again.created_ms);
	assert_true(access(path, F_OK) < 0);

	host_fixture_spool_system(fixture, "b.tar", other);
	assert_int_equal(import(fixture, "web", "b.tar", &replaced, NULL), IMAGE_CHANGED);
	assert_string_not_equal(first.digest, replaced.digest);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(host_fixture_entries(fixture, "state/images"), 1);
}

static void images_in_use_stay(void **state)
{
	struct host_fixture *fixture = *state;
	static const struct tar_entry other[] = { { 'f', "other", "x" }, { 0 } };
	const struct clone_request request = { "web1", "web", 200000, 65536, CLONE_COPY, NULL };
	struct ph_error error = { 0 };
	struct image image;

	NEEDS_ROOT(state);
	host_fixture_spool_system(fixture, "a.tar", NULL);
	host_fixture_spool_system(fixture, "b.tar", other);
	assert_int_equal(import(fixture, "web", "a.tar", &image, NULL), IMAGE_CHANGED);
	assert_int_equal(clone_create(&fixture->config, &request, NULL, &error), CLONE_CHANGED);

	assert_int_equal(import(fixture, "web", "b.tar", &image, &error), -EBUSY);
	assert_non_null(strstr(error.why, "web1"));
	assert_int_equal(import(fixture, "web", "a.tar", &image, &error), IMAGE_UNCHANGED);
	assert_int_equal(image_remove(&fixture->config, "web", &error), -EBUSY);
	assert_non_null(strstr(error.why, "web1"));

	assert_int_equal(clone_destroy(&fixture->config, "web1", NULL), CLONE_CHANGED);
	assert_int_equal(image_remove(&fixture->config, "web", NULL), IMAGE_CHANGED);
	assert_int_equal(image_remove(&fixture->config, "web", NULL), IMAGE_UNCHANGED);
	assert_int_equal(host_fixture_entries(fixture, "state/images"), 0);
}

static void listing(void **state)
{
	struct host_fixture *fixture = *state;
	PH_AUTO_FREE struct image *images = NULL;
	PH_AUTO_FREE char *damaged = NULL;
	struct ph_error error = { 0 };
	struct image image;
	size_t count = 9;

	NEEDS_ROOT(state);
	assert_int_equal(image_list(&fixture->config, &images, &count, NULL), 0);
	assert_int_equal(count, 0);
	host_fixture_spool_system(fixture, "a.tar", NULL);
	assert_int_equal(import(fixture, "zeta", "a.tar", &image, NULL), IMAGE_CHANGED);
	assert_int_equal(import(fixture, "alpha", "a.tar", &image, NULL), IMAGE_CHANGED);
	free(images);
	assert_int_equal(image_list(&fixture->config, &images, &count, NULL), 0);
	assert_int_equal(count, 2);
	assert_string_equal(images[0].name, "alpha");
	assert_string_equal(images[1].source, "test");

	damaged = host_fixture_path(fixture, "state/images/alpha/image.json");
	assert_int_equal(truncate(damaged, 20), 0);
	assert_int_equal(image_find(&fixture->config, "alpha", &image, &error), -EBADMSG);
	assert_int_equal(image_find(&fixture->config, "gamma", &image, &error), -ENOENT);
	assert_non_null(strstr(error.remedy, "image import"));
	assert_int_equal(image_find(&fixture->config, "../zeta", &image, &error), -EINVAL);
	assert_int_equal(image_remove(&fixture->config, "alpha", NULL), IMAGE_CHANGED);
}

static void leftovers_are_cleared(void **state)
{
	struct host_fixture *fixture = *state;
	PH_AUTO_FREE char *dead = NULL;
	struct image image;

	NEEDS_ROOT(state);
	dead = host_fixture_path(fixture, "state/images/.import-dead");
	assert_int_equal(mkdir(dead, 0700), 0);
	host_fixture_spool_system(fixture, "a.tar", NULL);
	assert_int_equal(import(fixture, "web", "a.tar", &image, NULL), IMAGE_CHANGED);
	assert_true(access(dead, F_OK) < 0);
}

static void full_disk(void **state)
{
	struct host_fixture *fixture = *state;
	static const struct tar_entry big[] = { { 'f', "big", "=8000000" }, { 0 } };
	PH_AUTO_FREE char *images = NULL;
	struct ph_error error = { 0 };
	struct image image;

	NEEDS_ROOT(state);
	images = host_fixture_path(fixture, "state/images");
	host_fixture_spool_system(fixture, "a.tar", big);
	assert_int_equal(mount("tmpfs", images, "tmpfs", 0, "size=2m"), 0);
	assert_int_equal(import(fixture, "web", "a.tar", &image, &error), -ENOSPC);
	assert_string_equal(error.where, images);
	assert_non_null(strstr(error.remedy, "free space"));
	assert_int_equal(host_fixture_entries(fixture, "state/images"), 0);
	assert_int_equal(umount(images), 0);
}

#define TEST(function)                                                                             \
	cmocka_unit_test_setup_teardown(function, host_fixture_setup, host_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(imports),
		TEST(spools),
		TEST(compressions),
		TEST(truncated_archives),
		TEST(attributes_are_kept),
		TEST(same_archive_is_unchanged),
		TEST(images_in_use_stay),
		TEST(listing),
		TEST(leftovers_are_cleared),
		TEST(full_disk),
	};

	if (!host_fixture_enter())
		print_message("# SKIP: importing images needs root\n");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
