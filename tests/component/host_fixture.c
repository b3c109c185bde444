#include "tests/component/host_fixture.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <locale.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/tree/paths.h"

#define SENTINEL "outside: must stay as it is\n"

static bool in_namespace; /* set once in main() */

static const struct tar_entry system_entries[] = {
	{ 'd', "./" },
	{ 'd', "./etc" },
	{ 'f', "./etc/os-release", "NAME=x\nPRETTY_NAME=\"Test GNU/Linux 1\"\n" },
	{ 'd', "./usr" },
	{ 'd', "./usr/bin" },
	{ 'f', "./usr/bin/sh", "#!", 0755 },
	{ 'l', "./bin", "usr/bin" },
	{ 'd', "./var" },
	{ 'd', "./var/lib" },
	{ 'd', "./var/lib/dpkg" },
	{ 'f', "./var/lib/dpkg/status", "" },
	{ 0 },
};

bool host_fixture_enter(void)
{
	setlocale(LC_ALL, "C.UTF-8"); /* for the names in archives */
	in_namespace = geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
		       mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
	return in_namespace;
}

char *host_fixture_path(const struct host_fixture *fixture, const char *path)
{
	return ph_format("%s/%s", fixture->base, path);
}

int host_fixture_setup(void **state)
{
	struct host_fixture *fixture;
	PH_AUTO_FREE char *sentinel = NULL;
	PH_AUTO_CLOSE int fd = -1;

	*state = NULL;
	if (!in_namespace)
		return 0;
	fixture = ph_alloc(sizeof(*fixture));
	snprintf(fixture->base, sizeof(fixture->base), "/tmp/phoenix-test-host-XXXXXX");
	assert_non_null(mkdtemp(fixture->base));
	chmod(fixture->base, 0755);
	snprintf(fixture->config.state_dir, sizeof(fixture->config.state_dir), "%s/state",
		 fixture->base);
	snprintf(fixture->config.run_dir, sizeof(fixture->config.run_dir), "%s/run", fixture->base);
	snprintf(fixture->config.bridge, sizeof(fixture->config.bridge), "phxtest0");
	fixture->config.subnet = 10U << 24 | 213U << 16;
	fixture->config.prefix_length = 24;
	assert_int_equal(paths_ensure_all(&fixture->config, NULL), 0);
	sentinel = host_fixture_path(fixture, "sentinel");
	fd = open(sentinel, O_WRONLY | O_CREAT, 0644);
	assert_int_equal(write(fd, SENTINEL, strlen(SENTINEL)), (ssize_t)strlen(SENTINEL));
	*state = fixture;
	return 0;
}

/* Unmount what lies below base; the number of mounts. */
static int unmount_below(const char *base)
{
	PH_AUTO_FILE FILE *mounts = fopen("/proc/self/mounts", "re");
	char line[4096], where[1024];
	PH_AUTO_STR struct str list = STR_INIT;
	int count = 0;

	while (mounts && fgets(line, sizeof(line), mounts)) {
		if (sscanf(line, "%*s %1023s", where) != 1 || !text_has_prefix(where, base))
			continue;
		umount2(where, MNT_DETACH);
		count++;
	}
	return count;
}

int host_fixture_teardown(void **state)
{
	struct host_fixture *fixture = *state;
	PH_AUTO_FREE char *command = NULL;
	int left;

	if (!fixture)
		return 0;
	left = unmount_below(fixture->base);
	command = ph_format("rm -rf --one-file-system '%s'", fixture->base);
	assert_int_equal(system(command), 0);
	free(fixture);
	if (left)
		print_error("# %d mounts were left\n", left);
	return left ? -1 : 0;
}

void host_fixture_assert_sentinel(const struct host_fixture *fixture)
{
	PH_AUTO_FREE char *path = host_fixture_path(fixture, "sentinel");
	PH_AUTO_CLOSE int fd = open(path, O_RDONLY);
	char text[64] = "";
	struct stat status;

	assert_int_equal(read(fd, text, sizeof(text) - 1), (ssize_t)strlen(SENTINEL));
	assert_string_equal(text, SENTINEL);
	assert_int_equal(fstat(fd, &status), 0);
	assert_int_equal(status.st_nlink, 1);
	assert_int_equal(status.st_uid, 0);
}

int host_fixture_entries(const struct host_fixture *fixture, const char *path)
{
	PH_AUTO_FREE char *full = host_fixture_path(fixture, path);
	PH_AUTO_DIR DIR *dir = opendir(full);
	struct dirent *entry;
	int count = 0;

	if (!dir)
		return -1;
	while ((entry = readdir(dir)))
		count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	return count;
}

static mode_t type_of(char kind)
{
	switch (kind) {
	case 'd':
		return AE_IFDIR;
	case 'l':
		return AE_IFLNK;
	case 'c':
		return AE_IFCHR;
	case 'p':
		return AE_IFIFO;
	default:
		return AE_IFREG;
	}
}

static void add_entry(struct archive *archive, const struct tar_entry *item)
{
	struct archive_entry *entry = archive_entry_new();
	bool is_zeros = item->kind == 'f' && item->text && item->text[0] == '=';
	size_t size = is_zeros ? strtoul(item->text + 1, NULL, 10) :
		      item->kind == 'f' && item->text ? strlen(item->text) : 0;
	PH_AUTO_FREE char *zeros = is_zeros ? ph_alloc(size) : NULL;

	archive_entry_set_pathname(entry, item->path);
	archive_entry_set_filetype(entry, type_of(item->kind));
	archive_entry_set_perm(entry, item->mode ? item->mode : item->kind == 'd' ? 0755 : 0644);
	archive_entry_set_uid(entry, item->uid);
	archive_entry_set_gid(entry, item->gid);
	archive_entry_set_mtime(entry, 1000000000, 0);
	archive_entry_set_size(entry, (la_int64_t)size);
	if (item->kind == 'l')
		archive_entry_set_symlink(entry, item->text);
	if (item->kind == 'h')
		archive_entry_set_hardlink(entry, item->text);
	if (item->kind == 'c')
		archive_entry_set_rdev(entry, 0x103);
	if (item->kind == 's') { /* 16 MiB, of which the last block has data */
		archive_entry_set_size(entry, 16 * 1024 * 1024);
		archive_entry_sparse_add_entry(entry, 16 * 1024 * 1024 - 4096, 4096);
		size = 16 * 1024 * 1024;
		zeros = ph_alloc(size);
		memset(zeros + size - 4096, 'x', 4096);
	}
	if (item->xattr)
		archive_entry_xattr_add_entry(entry, item->xattr, item->value, item->value_size);
	if (archive_write_header(archive, entry) != ARCHIVE_OK)
		fail_msg("%s: %s", item->path, archive_error_string(archive));
	if (size)
		assert_true(archive_write_data(archive, zeros ? zeros : item->text, size) > 0);
	archive_entry_free(entry);
}

static void write_archive(const struct host_fixture *fixture, const char *file, const char *filter,
			  const struct tar_entry *first, const struct tar_entry *second)
{
	PH_AUTO_FREE char *name = ph_format("state/spool/%s", file);
	PH_AUTO_FREE char *path = host_fixture_path(fixture, name);
	struct archive *archive = archive_write_new();

	assert_int_equal(archive_write_set_format_pax(archive), ARCHIVE_OK);
	if (strcmp(filter, "none") != 0)
		assert_int_equal(archive_write_add_filter_by_name(archive, filter), ARCHIVE_OK);
	assert_int_equal(archive_write_open_filename(archive, path), ARCHIVE_OK);
	for (; first && first->kind; first++)
		add_entry(archive, first);
	for (; second && second->kind; second++)
		add_entry(archive, second);
	assert_int_equal(archive_write_free(archive), ARCHIVE_OK);
}

void host_fixture_spool(const struct host_fixture *fixture, const char *file, const char *filter,
			const struct tar_entry *entries)
{
	write_archive(fixture, file, filter, entries, NULL);
}

void host_fixture_spool_system(const struct host_fixture *fixture, const char *file,
			       const struct tar_entry *entries)
{
	write_archive(fixture, file, "none", system_entries, entries);
}
