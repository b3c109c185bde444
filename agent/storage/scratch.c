#include "agent/storage/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/system/command.h"
#include "agent/system/file.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/str.h"

#define PREFIX "phoenix-verify-"
#define MOUNT_MS 10000
#define COPY_MS 30000
#define CMDLINE_MAXIMUM 65536
#define UNMOUNT_MS 5000
#define LOCK_PAUSE_NS 20000000
#define DEPTH_MAXIMUM 32

/* ---- small files ---- */

int scratch_write(int directory, const char *name, const char *text, mode_t mode)
{
	PH_AUTO_CLOSE int fd = openat(directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC |
							       O_NOFOLLOW, mode);
	size_t length = strlen(text);

	if (fd < 0)
		return -errno;
	if (fchmod(fd, mode) < 0 || write(fd, text, length) != (ssize_t)length)
		return -errno;
	return 0;
}

ssize_t scratch_read(int directory, const char *name, char *text, size_t size)
{
	PH_AUTO_CLOSE int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t length;

	if (fd < 0)
		return -errno;
	length = read(fd, text, size - 1);
	if (length < 0)
		return -errno;
	text[length] = '\0';
	return length;
}

/* ---- removing ---- */

static int remove_content(int directory, unsigned int depth)
{
	PH_AUTO_DIR DIR *stream = NULL;
	int copy = dup(directory), first = 0;
	const struct dirent *entry;

	stream = copy < 0 ? NULL : fdopendir(copy);
	if (!stream)
		return -errno;
	while ((entry = readdir(stream))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (unlinkat(directory, entry->d_name, 0) == 0)
			continue;
		if (errno == EISDIR && depth < DEPTH_MAXIMUM) {
			PH_AUTO_CLOSE int child = openat(directory, entry->d_name,
							 O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
								 O_CLOEXEC);

			if (child >= 0)
				remove_content(child, depth + 1);
			if (unlinkat(directory, entry->d_name, AT_REMOVEDIR) == 0)
				continue;
		}
		first = first ? first : -errno;
	}
	return first;
}

int scratch_remove_tree(int parent, const char *name)
{
	PH_AUTO_CLOSE int directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
								   O_CLOEXEC);

	if (directory < 0)
		return errno == ENOENT ? 0 : -errno;
	remove_content(directory, 0);
	return unlinkat(parent, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

static void remove_leftovers(int data_root)
{
	PH_AUTO_DIR DIR *stream = NULL;
	int copy = dup(data_root);
	const struct dirent *entry;

	stream = copy < 0 ? NULL : fdopendir(copy);
	while (stream && (entry = readdir(stream)))
		if (text_has_prefix(entry->d_name, PREFIX))
			scratch_remove_tree(data_root, entry->d_name);
}

/* ---- where and alone ---- */

/* Every id is mapped to itself only where nobody has made a user namespace. */
bool scratch_in_user_namespace(void)
{
	PH_AUTO_FREE char *map = NULL;
	unsigned long inside, outside, count;

	if (file_read_virtual("/proc/self/uid_map", 4096, &map, NULL) < 0 ||
	    sscanf(map, "%lu %lu %lu", &inside, &outside, &count) != 3)
		return false;
	return inside != 0 || outside != 0 || count != UINT32_MAX;
}

/* A worker outlives its agent and ends its verify: the next one has only to wait. */
static int lock_within(int fd, uint32_t patience_ms)
{
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE_NS };
	uint64_t deadline = clock_monotonic_ms() + patience_ms;

	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (clock_monotonic_ms() >= deadline)
			return -EBUSY;
		nanosleep(&pause, NULL);
	}
	return 0;
}

int scratch_lock(const char *data_root, uint32_t patience_ms, struct ph_error *error)
{
	PH_AUTO_CLOSE int fd = open(data_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return error_errno(error, -errno, data_root,
				   "make the directory, or install Docker first", "open");
	r = lock_within(fd, patience_ms);
	if (r == -EBUSY)
		return error_set(error, r, data_root, "wait until it has ended",
				 "another verify or probe works on this data-root");
	if (r < 0)
		return error_errno(error, r, data_root, "mount a file system with locks", "lock");
	return take_fd(&fd);
}

/* ---- making ---- */

/* The layer that the checks work on: what each needs, made before the mount. */
static int fill_lower(struct scratch *scratch)
{
	static const struct {
		const char *name, *text;
		mode_t mode;
	} files[] = {
		{ "read", "lower", 0600 },     { "other-user", "lower", 0644 },
		{ "copy-up", "lower", 0600 },  { "whiteout", "lower", 0600 },
		{ "rename", "lower", 0600 },   { "link", "lower", 0600 },
		{ "chown", "lower", 0600 },    { "xattr", "lower", 0600 },
		{ "mmap", "lower", 0600 },     { "unlinked", "lower", 0600 },
		{ "opaque/old", "lower", 0600 }, { "directory/file", "lower", 0600 },
	};
	int r = 0;

	if (mkdirat(scratch->lower, "opaque", 0700) < 0 ||
	    mkdirat(scratch->lower, "directory", 0700) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_LENGTH(files) && r == 0; i++)
		r = scratch_write(scratch->lower, files[i].name, files[i].text, files[i].mode);
	if (r == 0 && fchownat(scratch->lower, "other-user", 1000, 1000, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	return r;
}

static int make_directories(struct scratch *scratch)
{
	static const char *const names[] = { "lower", "upper", "work", "merged" };
	int *const fds[] = { &scratch->lower, &scratch->upper, NULL, &scratch->merged };

	scratch->base = open(scratch->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (scratch->base < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
		if (mkdirat(scratch->base, names[i], 0755) < 0)
			return -errno;
		if (!fds[i])
			continue;
		*fds[i] = openat(scratch->base, names[i],
				 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (*fds[i] < 0)
			return -errno;
	}
	return fill_lower(scratch);
}

int scratch_make(struct scratch *scratch, const char *data_root, struct ph_error *error)
{
	PH_AUTO_CLOSE int root = open(data_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	*scratch = SCRATCH_INIT;
	if (root < 0)
		return error_errno(error, -errno, data_root, "install Docker first", "open");
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return error_errno(error, -errno, "/", "run it as root of the container",
				   "make a mount namespace");
	remove_leftovers(root);
	if ((size_t)snprintf(scratch->path, sizeof(scratch->path), "%s/" PREFIX "XXXXXX",
			     data_root) >= sizeof(scratch->path))
		return error_set(error, -ENAMETOOLONG, data_root, NULL, "path too long");
	if (!mkdtemp(scratch->path)) {
		r = -errno;
		scratch->path[0] = '\0';
		return error_errno(error, r, data_root,
				   "make room, or make the data-root writable", "mkdtemp");
	}
	r = make_directories(scratch);
	if (r < 0)
		return error_errno(error, r, scratch->path, "make room on the data-root",
				   "fill the lower layer");
	return 0;
}

/* ---- mounting ---- */

static int mount_fuse(struct scratch *scratch, struct ph_error *error)
{
	char options[1024], merged[300];
	const char *argv[] = { "fuse-overlayfs", "-o", options, merged, NULL };
	const struct command command = { .argv = argv, .deadline_ms = MOUNT_MS, .outlive = true };

	snprintf(options, sizeof(options), "lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work",
		 scratch->path, scratch->path, scratch->path);
	snprintf(merged, sizeof(merged), "%s/merged", scratch->path);
	return command_succeed(&command, NULL, error);
}

static int mount_overlay(struct scratch *scratch, struct ph_error *error)
{
	char options[1024], merged[300];

	/* As Docker does: outside a user namespace overlay keeps its marks in trusted.*. */
	snprintf(options, sizeof(options), "lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work%s",
		 scratch->path, scratch->path, scratch->path,
		 scratch_in_user_namespace() ? ",userxattr" : "");
	snprintf(merged, sizeof(merged), "%s/merged", scratch->path);
	if (mount("overlay", merged, "overlay", 0, options) < 0)
		return error_errno(error, -errno, merged, "use fuse-overlayfs", "mount overlay");
	return 0;
}

static int copy_lower(struct scratch *scratch, struct ph_error *error)
{
	char lower[300], merged[300];
	const char *argv[] = { "cp", "--archive", "--no-target-directory", lower, merged, NULL };
	const struct command command = { .argv = argv, .deadline_ms = COPY_MS };

	snprintf(lower, sizeof(lower), "%s/lower", scratch->path);
	snprintf(merged, sizeof(merged), "%s/merged", scratch->path);
	return command_succeed(&command, NULL, error);
}

/* The layer that changes go to is the copy itself. */
static int use_copy(struct scratch *scratch, struct ph_error *error)
{
	int upper, r = copy_lower(scratch, error);

	if (r < 0)
		return r;
	upper = fcntl(scratch->merged, F_DUPFD_CLOEXEC, 0);
	if (upper < 0)
		return error_errno(error, -errno, scratch->path, NULL, "dup");
	close(scratch->upper);
	scratch->upper = upper;
	scratch->is_copy = true;
	return 0;
}

int scratch_mount(struct scratch *scratch, const char *driver, struct ph_error *error)
{
	int merged, r;

	text_copy(scratch->driver, sizeof(scratch->driver), driver);
	if (text_equal(driver, "fuse-overlayfs"))
		r = mount_fuse(scratch, error);
	else if (text_equal(driver, "overlay2"))
		r = mount_overlay(scratch, error);
	else if (text_equal(driver, "vfs"))
		return use_copy(scratch, error);
	else
		r = error_set(error, -EINVAL, driver, "use overlay2, fuse-overlayfs or vfs",
			      "no storage driver of this name is known");
	if (r < 0)
		return r;
	scratch->mounted = true;
	/* The old descriptor is the directory below the mount. */
	merged = openat(scratch->base, "merged", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (merged < 0)
		return error_errno(error, -errno, scratch->path, NULL, "open the mounted layer");
	close(scratch->merged);
	scratch->merged = merged;
	return 0;
}

/*
 * The option with the layers comes first and may be long: an image's lower layers are named there,
 * but always by short links; 64 KiB are more than the kernel lets a mount option be.
 */
bool scratch_has_daemon(const char *path)
{
	PH_AUTO_FREE char *text = ph_alloc(CMDLINE_MAXIMUM);
	PH_AUTO_DIR DIR *processes = opendir("/proc");
	const struct dirent *entry;

	while (processes && (entry = readdir(processes))) {
		char file[300];
		PH_AUTO_CLOSE int fd = -1;
		ssize_t length;

		if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
			continue;
		snprintf(file, sizeof(file), "/proc/%s/cmdline", entry->d_name);
		fd = open(file, O_RDONLY | O_CLOEXEC);
		length = fd < 0 ? -1 : read(fd, text, CMDLINE_MAXIMUM - 1);
		if (length <= 0)
			continue;
		text[length] = '\0';
		if (strstr(text, "fuse-overlayfs") &&
		    memmem(text, (size_t)length, path, strlen(path)))
			return true;
	}
	return false;
}

int scratch_unmount(struct scratch *scratch, struct ph_error *error)
{
	uint64_t deadline = clock_monotonic_ms() + UNMOUNT_MS;
	const struct timespec pause = { .tv_nsec = 2 * 1000 * 1000 };
	char merged[300];

	if (!scratch->mounted)
		return 0;
	close(scratch->merged); /* it would keep the mount busy */
	scratch->merged = -1;
	snprintf(merged, sizeof(merged), "%s/merged", scratch->path);
	if (umount2(merged, 0) < 0)
		return error_errno(error, -errno, merged, NULL, "unmount");
	scratch->mounted = false;
	while (scratch_has_daemon(scratch->path)) {
		if (clock_monotonic_ms() > deadline)
			return error_set(error, -EBUSY, merged, NULL,
					 "the FUSE daemon still runs %d s after the unmount",
					 UNMOUNT_MS / 1000);
		nanosleep(&pause, NULL);
	}
	return 0;
}

static void close_all(struct scratch *scratch)
{
	int *const fds[] = { &scratch->lower, &scratch->upper, &scratch->merged, &scratch->base };

	for (size_t i = 0; i < ARRAY_LENGTH(fds); i++)
		cleanup_close(fds[i]);
}

void scratch_fini(struct scratch *scratch)
{
	PH_AUTO_CLOSE int parent = -1;
	char merged[300];
	char *slash;

	if (!scratch->path[0])
		return;
	close_all(scratch);
	snprintf(merged, sizeof(merged), "%s/merged", scratch->path);
	if (scratch->mounted)
		umount2(merged, MNT_DETACH);
	slash = strrchr(scratch->path, '/');
	*slash = '\0';
	parent = open(scratch->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent >= 0)
		scratch_remove_tree(parent, slash + 1);
	*scratch = SCRATCH_INIT;
}
