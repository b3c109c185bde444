#include "agent/storage/storage_checks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"

#define FUSE_MAGIC 0x65735546    /* FUSE_SUPER_MAGIC, linux/magic.h */
#define OVERLAY_MAGIC 0x794c7630 /* OVERLAYFS_SUPER_MAGIC, linux/magic.h */
#define DIRECT_BLOCK 4096
#define LAST_ID 65534            /* nobody: near the end of a map of 65536 */

typedef void (*check_fn)(struct scratch *scratch, struct outcome *outcome);

static void check_read(struct scratch *scratch, struct outcome *outcome);
static void check_other_user(struct scratch *scratch, struct outcome *outcome);
static void check_copy_up(struct scratch *scratch, struct outcome *outcome);
static void check_whiteout(struct scratch *scratch, struct outcome *outcome);
static void check_opaque(struct scratch *scratch, struct outcome *outcome);
static void check_rename_file(struct scratch *scratch, struct outcome *outcome);
static void check_rename_directory(struct scratch *scratch, struct outcome *outcome);
static void check_hard_link(struct scratch *scratch, struct outcome *outcome);
static void check_chown(struct scratch *scratch, struct outcome *outcome);
static void check_xattr(struct scratch *scratch, struct outcome *outcome);
static void check_capability(struct scratch *scratch, struct outcome *outcome);
static void check_mmap(struct scratch *scratch, struct outcome *outcome);
static void check_unlinked(struct scratch *scratch, struct outcome *outcome);
static void check_fallocate(struct scratch *scratch, struct outcome *outcome);
static void check_direct(struct scratch *scratch, struct outcome *outcome);
static void check_nameless(struct scratch *scratch, struct outcome *outcome);
static void check_lock(struct scratch *scratch, struct outcome *outcome);
static void check_rename_flags(struct scratch *scratch, struct outcome *outcome);
static void check_type(struct scratch *scratch, struct outcome *outcome);

#define OTHER_DRIVER "this driver cannot hold image layers here: choose another storage.driver"

static const struct {
	const char *id, *expected, *remedy;
	check_fn run;
} checks[] = {
	{ "storage.lower-read", "a file of the lower layer reads as written", OTHER_DRIVER,
	  check_read },
	{ "storage.other-user", "another user's 0644 file is readable",
	  "fuse-overlayfs before 1.12 needs POSIX ACLs on the data-root's file system",
	  check_other_user },
	{ "storage.copy-up", "writing changes the upper copy only", OTHER_DRIVER, check_copy_up },
	{ "storage.whiteout", "an unlinked lower file is hidden, not deleted", OTHER_DRIVER,
	  check_whiteout },
	{ "storage.opaque", "a removed and recreated lower directory is empty",
	  "overlay without userxattr: use a newer Docker, or fuse-overlayfs", check_opaque },
	{ "storage.rename-file", "a lower file can be renamed",
	  "the data-root's file system lacks RENAME_WHITEOUT: use fuse-overlayfs",
	  check_rename_file },
	{ "storage.rename-directory", "renamed, or EXDEV", OTHER_DRIVER, check_rename_directory },
	{ "storage.hard-link", "two names, one content", OTHER_DRIVER, check_hard_link },
	{ "storage.chown", "owners 1000 and 65534 are kept",
	  "give the container at least 65536 ids", check_chown },
	{ "storage.xattr", "user.* attributes are kept", OTHER_DRIVER, check_xattr },
	{ "storage.capability", "file capabilities are kept", OTHER_DRIVER, check_capability },
	{ "storage.mmap", "a shared mapping writes through", OTHER_DRIVER, check_mmap },
	{ "storage.open-unlinked", "an open file survives its unlinking", OTHER_DRIVER,
	  check_unlinked },
	{ "storage.fallocate", "space can be reserved", OTHER_DRIVER, check_fallocate },
	{ "storage.direct-io", "O_DIRECT writes and reads back", OTHER_DRIVER, check_direct },
	{ "storage.nameless-file", "a file without a name (O_TMPFILE) can be made", OTHER_DRIVER,
	  check_nameless },
	{ "storage.lock", "flock keeps a second opener out", OTHER_DRIVER, check_lock },
	{ "storage.rename-flags", "RENAME_NOREPLACE and RENAME_EXCHANGE", OTHER_DRIVER,
	  check_rename_flags },
	{ "storage.type", "the mount is the driver's own", OTHER_DRIVER, check_type },
};

/* Record a failure when a file does not hold the text; returns whether it does. */
static bool holds(int directory, const char *name, const char *text, struct outcome *outcome)
{
	char got[64];
	ssize_t length = scratch_read(directory, name, got, sizeof(got));

	if (length < 0) {
		outcome_fail(outcome, (int)-length, "read %s", name);
		return false;
	}
	if (strcmp(got, text) != 0) {
		outcome_fail(outcome, 0, "%s holds '%s', not '%s'", name, got, text);
		return false;
	}
	return true;
}

static void check_read(struct scratch *scratch, struct outcome *outcome)
{
	if (holds(scratch->merged, "read", "lower", outcome))
		outcome_pass(outcome, "as written");
}

static void check_other_user(struct scratch *scratch, struct outcome *outcome)
{
	struct stat status;

	if (!holds(scratch->merged, "other-user", "lower", outcome))
		return;
	if (fstatat(scratch->merged, "other-user", &status, AT_SYMLINK_NOFOLLOW) < 0)
		outcome_fail(outcome, errno, "stat");
	else if (status.st_uid != 1000)
		outcome_fail(outcome, 0, "its owner shows as %u", status.st_uid);
	else
		outcome_pass(outcome, "readable, owner 1000");
}

static void check_copy_up(struct scratch *scratch, struct outcome *outcome)
{
	int r = scratch_write(scratch->merged, "copy-up", "upper", 0600);

	if (r < 0) {
		outcome_fail(outcome, -r, "write");
		return;
	}
	if (holds(scratch->merged, "copy-up", "upper", outcome) &&
	    holds(scratch->lower, "copy-up", "lower", outcome) &&
	    holds(scratch->upper, "copy-up", "upper", outcome))
		outcome_pass(outcome, "lower unchanged, upper new");
}

static bool is_whiteout(int upper, const char *name)
{
	char dot[80];
	struct stat status;

	if (fstatat(upper, name, &status, AT_SYMLINK_NOFOLLOW) == 0)
		return S_ISCHR(status.st_mode) && status.st_rdev == makedev(0, 0);
	snprintf(dot, sizeof(dot), ".wh.%s", name); /* fuse-overlayfs where mknod is refused */
	return faccessat(upper, dot, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void check_whiteout(struct scratch *scratch, struct outcome *outcome)
{
	if (unlinkat(scratch->merged, "whiteout", 0) < 0)
		outcome_fail(outcome, errno, "unlink");
	else if (faccessat(scratch->merged, "whiteout", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		outcome_fail(outcome, 0, "the file is still visible");
	else if (!scratch->is_copy && !is_whiteout(scratch->upper, "whiteout"))
		outcome_fail(outcome, 0, "no whiteout in the upper layer");
	else if (holds(scratch->lower, "whiteout", "lower", outcome))
		outcome_pass(outcome, "%s", scratch->is_copy ?
						    "gone from the copy" :
						    "hidden, whiteout in the upper layer");
}

static int count_entries(int parent, const char *name)
{
	PH_AUTO_DIR DIR *stream = NULL;
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), count = 0;
	const struct dirent *entry;

	stream = fd < 0 ? NULL : fdopendir(fd);
	if (!stream)
		return -errno;
	while ((entry = readdir(stream)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			count++;
	return count;
}

static void check_opaque(struct scratch *scratch, struct outcome *outcome)
{
	int r = scratch_remove_tree(scratch->merged, "opaque");

	if (r < 0) {
		outcome_fail(outcome, -r, "remove the directory");
		return;
	}
	if (mkdirat(scratch->merged, "opaque", 0700) < 0) {
		outcome_fail(outcome, errno, "make it again");
		return;
	}
	r = count_entries(scratch->merged, "opaque");
	if (r < 0)
		outcome_fail(outcome, -r, "list it");
	else if (r > 0)
		outcome_fail(outcome, 0, "%d old entries shine through", r);
	else
		outcome_pass(outcome, "empty");
}

static void check_rename_file(struct scratch *scratch, struct outcome *outcome)
{
	if (renameat(scratch->merged, "rename", scratch->merged, "renamed") < 0)
		outcome_fail(outcome, errno, "rename");
	else if (faccessat(scratch->merged, "rename", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		outcome_fail(outcome, 0, "the old name is still there");
	else if (holds(scratch->merged, "renamed", "lower", outcome))
		outcome_pass(outcome, "renamed");
}

static void check_rename_directory(struct scratch *scratch, struct outcome *outcome)
{
	if (renameat(scratch->merged, "directory", scratch->merged, "directory-2") == 0)
		outcome_pass(outcome, "renamed");
	else if (errno == EXDEV) /* both drivers, without redirect_dir: programs copy instead */
		outcome_limit(outcome, EXDEV, "programs fall back to copying");
	else
		outcome_fail(outcome, errno, "rename");
}

static void check_hard_link(struct scratch *scratch, struct outcome *outcome)
{
	struct stat status;

	if (linkat(scratch->merged, "link", scratch->merged, "link-2", 0) < 0) {
		outcome_fail(outcome, errno, "link");
		return;
	}
	if (scratch_write(scratch->merged, "link-2", "shared", 0600) < 0 ||
	    fstatat(scratch->merged, "link", &status, AT_SYMLINK_NOFOLLOW) < 0)
		outcome_fail(outcome, errno, "write through one name");
	else if (status.st_nlink != 2)
		outcome_fail(outcome, 0, "link count %lu", (unsigned long)status.st_nlink);
	else if (holds(scratch->merged, "link", "shared", outcome))
		outcome_pass(outcome, "count 2, content shared");
}

static void check_chown(struct scratch *scratch, struct outcome *outcome)
{
	static const uid_t ids[] = { 1000, LAST_ID };
	struct stat status;

	for (size_t i = 0; i < ARRAY_LENGTH(ids); i++) {
		if (fchownat(scratch->merged, "chown", ids[i], ids[i], AT_SYMLINK_NOFOLLOW) < 0 ||
		    fstatat(scratch->merged, "chown", &status, AT_SYMLINK_NOFOLLOW) < 0) {
			outcome_fail(outcome, errno, "chown to %u", ids[i]);
			return;
		}
		if (status.st_uid != ids[i] || status.st_gid != ids[i]) {
			outcome_fail(outcome, 0, "owner %u became %u", ids[i], status.st_uid);
			return;
		}
	}
	outcome_pass(outcome, "kept");
}

static void check_xattr(struct scratch *scratch, struct outcome *outcome)
{
	PH_AUTO_CLOSE int fd = openat(scratch->merged, "xattr", O_RDWR | O_CLOEXEC);
	char value[16] = "";

	if (fd < 0 || fsetxattr(fd, "user.phoenix", "value", 5, 0) < 0 ||
	    fgetxattr(fd, "user.phoenix", value, sizeof(value) - 1) < 0)
		outcome_fail(outcome, errno, "set and get");
	else if (strcmp(value, "value") != 0)
		outcome_fail(outcome, 0, "got '%s'", value);
	else
		outcome_pass(outcome, "kept");
}

static void check_capability(struct scratch *scratch, struct outcome *outcome)
{
	/* struct vfs_cap_data, revision 2, little-endian: cap_net_bind_service permitted. */
	static const unsigned char data[20] = { 0, 0, 0, 2, 0, 4 };
	PH_AUTO_CLOSE int fd = openat(scratch->merged, "xattr", O_RDWR | O_CLOEXEC);
	unsigned char got[24];
	ssize_t length;

	if (fd < 0 || fsetxattr(fd, "security.capability", data, sizeof(data), 0) < 0) {
		outcome_fail(outcome, errno, "set");
		return;
	}
	length = fgetxattr(fd, "security.capability", got, sizeof(got));
	if (length < 0)
		outcome_fail(outcome, errno, "get");
	else if (length != sizeof(data) || got[5] != data[5])
		outcome_fail(outcome, 0, "%zd bytes came back changed", length);
	else
		outcome_pass(outcome, "kept");
}

static void check_mmap(struct scratch *scratch, struct outcome *outcome)
{
	PH_AUTO_CLOSE int fd = openat(scratch->merged, "mmap", O_RDWR | O_CLOEXEC);
	char *map = fd < 0 ? MAP_FAILED :
			     mmap(NULL, 5, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED) {
		outcome_fail(outcome, errno, "mmap");
		return;
	}
	memcpy(map, "upper", 5);
	if (msync(map, 5, MS_SYNC) < 0)
		outcome_fail(outcome, errno, "msync");
	else if (holds(scratch->merged, "mmap", "upper", outcome) &&
		 holds(scratch->lower, "mmap", "lower", outcome))
		outcome_pass(outcome, "written through, lower unchanged");
	munmap(map, 5);
}

static void check_unlinked(struct scratch *scratch, struct outcome *outcome)
{
	PH_AUTO_CLOSE int fd = openat(scratch->merged, "unlinked", O_RDONLY | O_CLOEXEC);
	char text[8] = "";

	if (fd < 0 || unlinkat(scratch->merged, "unlinked", 0) < 0)
		outcome_fail(outcome, errno, "open and unlink");
	else if (pread(fd, text, sizeof(text) - 1, 0) != 5 || strcmp(text, "lower") != 0)
		outcome_fail(outcome, errno, "read after unlink got '%s'", text);
	else
		outcome_pass(outcome, "still readable");
}

static void check_fallocate(struct scratch *scratch, struct outcome *outcome)
{
	PH_AUTO_CLOSE int fd = openat(scratch->merged, "fallocate",
				      O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		outcome_fail(outcome, errno, "create");
	else if (fallocate(fd, 0, 0, 65536) == 0)
		outcome_pass(outcome, "reserved");
	else if (errno == EOPNOTSUPP) /* glibc's posix_fallocate writes instead */
		outcome_limit(outcome, EOPNOTSUPP, "programs write zeros instead");
	else
		outcome_fail(outcome, errno, "fallocate");
}

static void check_direct(struct scratch *scratch, struct outcome *outcome)
{
	PH_AUTO_CLOSE int fd = openat(scratch->merged, "direct",
				      O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
	PH_AUTO_FREE char *block = NULL;

	if (fd < 0 && errno == EINVAL) {
		outcome_limit(outcome, EINVAL, "programs use the page cache instead");
		return;
	}
	block = aligned_alloc(DIRECT_BLOCK, DIRECT_BLOCK);
	if (fd < 0 || !block) {
		outcome_fail(outcome, errno, "open with O_DIRECT");
		return;
	}
	memset(block, 'p', DIRECT_BLOCK);
	if (pwrite(fd, block, DIRECT_BLOCK, 0) != DIRECT_BLOCK) {
		outcome_limit(outcome, errno, "opened, but a block of 4 KiB is not written");
		return;
	}
	memset(block, 0, DIRECT_BLOCK);
	if (pread(fd, block, DIRECT_BLOCK, 0) != DIRECT_BLOCK || block[DIRECT_BLOCK - 1] != 'p')
		outcome_fail(outcome, errno, "what was written does not read back");
	else
		outcome_pass(outcome, "written and read back");
}

static void check_nameless(struct scratch *scratch, struct outcome *outcome)
{
	PH_AUTO_CLOSE int fd = openat(scratch->merged, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

	if (fd >= 0 && write(fd, "p", 1) == 1)
		outcome_pass(outcome, "made and written");
	else if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
		outcome_limit(outcome, errno, "programs make a named file instead");
	else
		outcome_fail(outcome, errno, "make it");
}

static void check_lock(struct scratch *scratch, struct outcome *outcome)
{
	PH_AUTO_CLOSE int first = openat(scratch->merged, "read", O_RDONLY | O_CLOEXEC);
	PH_AUTO_CLOSE int second = openat(scratch->merged, "read", O_RDONLY | O_CLOEXEC);

	if (first < 0 || second < 0 || flock(first, LOCK_EX | LOCK_NB) < 0)
		outcome_fail(outcome, errno, "take the lock");
	else if (flock(second, LOCK_EX | LOCK_NB) == 0)
		outcome_fail(outcome, 0, "two openers hold it");
	else if (errno != EWOULDBLOCK)
		outcome_fail(outcome, errno, "the second opener");
	else
		outcome_pass(outcome, "kept out");
}

static void check_rename_flags(struct scratch *scratch, struct outcome *outcome)
{
	int r = scratch_write(scratch->merged, "flag-1", "1", 0600);

	if (r == 0)
		r = scratch_write(scratch->merged, "flag-2", "2", 0600);
	if (r < 0)
		outcome_fail(outcome, -r, "create");
	else if (renameat2(scratch->merged, "flag-1", scratch->merged, "flag-2",
			   RENAME_NOREPLACE) == 0)
		outcome_fail(outcome, 0, "NOREPLACE replaced a file");
	else if (errno != EEXIST)
		outcome_limit(outcome, errno, "NOREPLACE");
	else if (renameat2(scratch->merged, "flag-1", scratch->merged, "flag-2",
			   RENAME_EXCHANGE) < 0)
		outcome_limit(outcome, errno, "EXCHANGE");
	else if (holds(scratch->merged, "flag-1", "2", outcome))
		outcome_pass(outcome, "both work");
}

/* What a mount of the driver looks like to statfs; a copy looks like the data-root. */
static bool expected_type(const struct scratch *scratch, long *ret_type)
{
	struct statfs status;

	*ret_type = text_equal(scratch->driver, "overlay2") ? OVERLAY_MAGIC : FUSE_MAGIC;
	if (!scratch->is_copy)
		return true;
	if (fstatfs(scratch->base, &status) < 0)
		return false;
	*ret_type = status.f_type;
	return true;
}

static void check_type(struct scratch *scratch, struct outcome *outcome)
{
	struct statfs status;
	long expected;

	if (!expected_type(scratch, &expected) || fstatfs(scratch->merged, &status) < 0)
		outcome_fail(outcome, errno, "statfs");
	else if (status.f_type != expected)
		outcome_fail(outcome, 0, "type 0x%lx", (unsigned long)status.f_type);
	else
		outcome_pass(outcome, "type 0x%lx", (unsigned long)status.f_type);
}

static bool check_mount(struct scratch *scratch, const char *driver, struct report *report)
{
	struct outcome outcome = { 0 };
	struct ph_error error = { 0 };
	int r = scratch_mount(scratch, driver, &error);

	if (r < 0)
		outcome_fail(&outcome, 0, "%s", error.why);
	else
		outcome_pass(&outcome, scratch->is_copy ? "copied" : "mounted");
	report_add(report, "storage.mount", "the driver mounts on the data-root",
		   "look at the message; /dev/fuse must be there and fuse-overlayfs installed",
		   &outcome);
	return r == 0;
}

void storage_checks(struct scratch *scratch, const char *driver, struct report *report)
{
	struct ph_error error = { 0 };
	struct outcome outcome;

	report_begin(report);
	if (!check_mount(scratch, driver, report))
		return;
	for (size_t i = 0; i < ARRAY_LENGTH(checks); i++) {
		outcome = (struct outcome){ 0 };
		errno = 0;
		checks[i].run(scratch, &outcome);
		report_add(report, checks[i].id, checks[i].expected, checks[i].remedy, &outcome);
	}
	outcome = (struct outcome){ 0 };
	if (scratch_unmount(scratch, &error) < 0)
		outcome_fail(&outcome, 0, "%s", error.why);
	else
		outcome_pass(&outcome, "gone");
	report_add(report, "storage.unmount", "unmounted, no daemon left",
		   "a process holds it: phoenix-agent verify again", &outcome);
}
