/*
 * Opening and reading. A file is opened with O_PATH first, which triggers nothing: neither a FIFO
 * that waits for its writer nor a device that reacts. Only what turned out to be a regular file is
 * then opened for reading, by that descriptor.
 */
#include "controller/host/tree/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/memory.h"
#include "controller/host/tree/resolve.h"

int tree_open_root(const char *path, int *ret_root, struct ph_error *error)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return error_errno(error, -errno, path, NULL, "open directory");
	*ret_root = fd;
	return 0;
}

int tree_open_read(int root, const char *path, int *ret_fd, struct ph_error *error)
{
	struct stat status;
	PH_AUTO_CLOSE int found =
		tree_openat2(root, tree_relative(path), O_PATH, TREE_RESOLVE_READ);
	int fd;

	if (found < 0)
		return error_errno(error, found, path, NULL, "open");
	if (fstat(found, &status) < 0)
		return error_errno(error, -errno, path, NULL, "fstat");
	if (!S_ISREG(status.st_mode))
		return error_set(error, -EINVAL, path, NULL, "not a regular file");
	fd = tree_reopen(found);
	if (fd < 0)
		return error_errno(error, fd, path, NULL, "open");
	*ret_fd = fd;
	return 0;
}

int tree_open_plain(int root, const char *path, int *ret_fd, struct ph_error *error)
{
	struct stat status;
	PH_AUTO_CLOSE int found =
		tree_openat2(root, tree_relative(path), O_PATH, TREE_RESOLVE_WRITE);
	int fd;

	if (found < 0)
		return error_errno(error, found, path, NULL, "open");
	if (fstat(found, &status) < 0)
		return error_errno(error, -errno, path, NULL, "fstat");
	if (!S_ISREG(status.st_mode))
		return error_set(error, -EINVAL, path, NULL, "not a regular file");
	if (status.st_nlink != 1)
		return error_set(error, -EMLINK, path, NULL, "the file has hard links elsewhere");
	fd = tree_reopen(found);
	if (fd < 0)
		return error_errno(error, fd, path, NULL, "open");
	*ret_fd = fd;
	return 0;
}

int tree_read_small(int root, const char *path, size_t maximum, char **ret_text,
		    size_t *ret_length, struct ph_error *error)
{
	PH_AUTO_CLOSE int fd = -1;
	PH_AUTO_FREE char *text = NULL;
	ssize_t length;
	int result = tree_open_read(root, path, &fd, error);

	if (result < 0)
		return result;
	text = ph_alloc(maximum + 1);
	/* One byte more than allowed: sizes in a stat are only what was once true. */
	length = io_read(fd, text, maximum + 1);
	if (length < 0)
		return error_errno(error, (int)length, path, NULL, "read");
	if ((size_t)length > maximum)
		return error_set(error, -EFBIG, path, NULL, "larger than %zu bytes", maximum);
	text[length] = '\0';
	*ret_text = take_pointer(text);
	if (ret_length)
		*ret_length = (size_t)length;
	return 0;
}

int tree_open_dir(int root, const char *path, int *ret_fd, struct ph_error *error)
{
	int fd = tree_openat2(root, tree_relative(path), O_RDONLY | O_DIRECTORY,
			      TREE_RESOLVE_WRITE);

	if (fd < 0)
		return error_errno(error, fd, path, NULL, "open directory");
	*ret_fd = fd;
	return 0;
}

int tree_stat(int root, const char *path, struct stat *ret_status)
{
	struct tree_place place;
	PH_AUTO_CLOSE int parent = -1;
	int result = tree_place_parse(path, &place);

	if (result < 0)
		return result;
	parent = tree_openat2(root, place.parent, O_PATH | O_DIRECTORY,
			      TREE_RESOLVE_WRITE);
	if (parent < 0)
		return parent;
	return fstatat(parent, place.leaf, ret_status, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}
