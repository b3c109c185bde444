/*
 * Writing. The parent directory is resolved once without following anything; from there on only its
 * descriptor and plain names are used. The new contents lie in a file that we made with O_EXCL, so
 * that neither a link nor a FIFO of the container can stand in its place, until one rename puts
 * them there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/memory.h"
#include "controller/host/tree/resolve.h"
#include "controller/host/tree/tree.h"

#define TEMPORARY_SUFFIX ".phoenix-new"
#define TEMPORARY_SIZE (NAME_MAX + 1)

/* Why what stands there must not be replaced; 0 for a file of its own. */
static int refuse_odd_target(const char *path, const struct stat *status, struct ph_error *error)
{
	if (S_ISLNK(status->st_mode))
		return error_set(error, -ELOOP, path, NULL,
				 "a symlink stands where a file belongs");
	if (!S_ISREG(status->st_mode))
		return error_set(error, -EEXIST, path, NULL,
				 "something stands here that is not a regular file");
	if (status->st_nlink > 1)
		return error_set(error, -EMLINK, path, NULL, "the file has hard links elsewhere");
	return 0;
}

/* Whether an existing regular file already is what is to be written. */
static bool is_equal(int target, const struct stat *status, const void *data, size_t size,
		     const struct tree_owner *owner)
{
	PH_AUTO_FREE char *there = NULL;
	PH_AUTO_CLOSE int fd = -1;
	ssize_t got;

	if ((size_t)status->st_size != size || status->st_uid != owner->uid ||
	    status->st_gid != owner->gid || (status->st_mode & 07777) != owner->mode)
		return false;
	fd = tree_reopen(target);
	if (fd < 0)
		return false;
	there = ph_alloc(size + 1);
	got = pread(fd, there, size + 1, 0);
	return got >= 0 && (size_t)got == size && memcmp(there, data, size) == 0;
}

/* TREE_UNCHANGED when the target is right already, TREE_DONE when it may be written. */
static int inspect_target(int parent, const struct tree_place *place, const char *path,
			  const void *data, size_t size, const struct tree_owner *owner,
			  struct ph_error *error)
{
	struct stat status;
	PH_AUTO_CLOSE int target = openat(parent, place->leaf, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	int result;

	if (target < 0 && errno == ENOENT)
		return TREE_DONE;
	if (target < 0 || fstat(target, &status) < 0)
		return error_errno(error, -errno, path, NULL, "inspect");
	result = refuse_odd_target(path, &status, error);
	if (result < 0)
		return result;
	return is_equal(target, &status, data, size, owner) ? TREE_UNCHANGED : TREE_DONE;
}

/* Make the temporary file; one left by a killed predecessor is cleared away first. */
static int create_temporary(int parent, const char *name)
{
	int fd = -1;

	for (int i = 0; i < 3 && fd < 0; i++) {
		fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			    0600);
		if (fd >= 0 || errno != EEXIST)
			break;
		if (unlinkat(parent, name, 0) < 0 && errno != ENOENT)
			return -errno;
	}
	return fd < 0 ? -errno : fd;
}

static int fill(int fd, const char *data, size_t size, const struct tree_owner *owner)
{
	int result = io_write(fd, data, size);

	if (result < 0)
		return result;
	if (fchown(fd, owner->uid, owner->gid) < 0 || fchmod(fd, owner->mode) < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

/* Whether the name still leads to the very file that was written. */
static bool is_same_file(int fd, int parent, const char *name)
{
	struct stat ours, there;

	return fstat(fd, &ours) == 0 && fstatat(parent, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	       ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

static int put_in_place(int fd, int parent, const char *temporary, const char *leaf)
{
	if (renameat(parent, temporary, parent, leaf) < 0 || fsync(parent) < 0)
		return -errno;
	return is_same_file(fd, parent, leaf) ? 0 : -EAGAIN;
}

int tree_write_file(int root, const char *path, const void *data, size_t size,
		    const struct tree_owner *owner, struct ph_error *error)
{
	char temporary[TEMPORARY_SIZE];
	struct tree_place place;
	PH_AUTO_CLOSE int parent = -1;
	PH_AUTO_CLOSE int fd = -1;
	int result = tree_place_parse(path, &place);

	if (result < 0)
		return error_errno(error, result, path, NULL, "not a path to write to");
	if ((size_t)snprintf(temporary, sizeof(temporary), ".%.200s%s", place.leaf,
			     TEMPORARY_SUFFIX) >= sizeof(temporary))
		return error_errno(error, -ENAMETOOLONG, path, NULL, "write");
	result = tree_open_dir(root, place.parent, &parent, error);
	if (result < 0)
		return result;
	result = inspect_target(parent, &place, path, data, size, owner, error);
	if (result != TREE_DONE)
		return result;

	fd = create_temporary(parent, temporary);
	if (fd < 0)
		return error_errno(error, fd, path, NULL, "create the new file");
	result = fill(fd, data, size, owner);
	if (result == 0)
		result = put_in_place(fd, parent, temporary, place.leaf);
	if (result < 0) {
		unlinkat(parent, temporary, 0);
		return error_errno(error, result, path,
				   result == -ENOSPC ?
					   "free space on the file system of this path" :
					   NULL,
				   "write");
	}
	return TREE_DONE;
}

/* Step into one component, made when it is missing; the fd of it or a negative errno. */
static int enter(int at, const char *name, const struct tree_owner *owner, bool *changed)
{
	bool made = mkdirat(at, name, 0700) == 0;
	int fd;

	if (!made && errno != EEXIST)
		return -errno;
	fd = tree_openat2(at, name, O_RDONLY | O_DIRECTORY, TREE_RESOLVE_WRITE);
	if (fd < 0 || !made)
		return fd;
	*changed = true;
	if (fchown(fd, owner->uid, owner->gid) < 0 || fchmod(fd, owner->mode) < 0) {
		int failure = -errno;

		close(fd);
		return failure;
	}
	return fd;
}

int tree_make_dirs(int root, const char *path, const struct tree_owner *owner,
		   struct ph_error *error)
{
	struct tree_place place; /* checks the path as a whole */
	PH_AUTO_CLOSE int at = -1;
	PH_AUTO_FREE char *copy = ph_strdup(tree_relative(path));
	char *rest = NULL;
	bool changed = false;
	int result = tree_place_parse(path, &place);

	if (result < 0)
		return error_errno(error, result, path, NULL, "not a path to write to");
	result = tree_open_dir(root, "", &at, error);
	if (result < 0)
		return result;
	for (char *name = strtok_r(copy, "/", &rest); name; name = strtok_r(NULL, "/", &rest)) {
		int next = enter(at, name, owner, &changed);

		if (next < 0)
			return error_errno(error, next, path, NULL, "make directory");
		close(at);
		at = next;
	}
	return changed ? TREE_DONE : TREE_UNCHANGED;
}
