/*
 * The temporary file lies beside its target: rename() is atomic within a file system only. Its name
 * is fixed per target, so that what a killed writer leaves is overwritten by the next, not collected.
 */
#include "agent/system/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/memory.h"
#include "common/str.h"

#define TEMPORARY_SUFFIX ".phoenix-new"
#define MODE_DEFAULT 0644

/* Read up to the end of file, at most maximum bytes. */
static int read_all(int fd, size_t maximum, struct str *text)
{
	char bytes[4096];
	ssize_t length;

	while ((length = read(fd, bytes, sizeof(bytes))) != 0) {
		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0)
			return -errno;
		if (text->length + (size_t)length > maximum)
			return -EFBIG;
		str_append_bytes(text, bytes, (size_t)length);
	}
	return 0;
}

static int read_error(const char *path, int code, size_t maximum, struct ph_error *error)
{
	if (code == -EFBIG)
		return error_set(error, code, path, NULL, "it is longer than %zu bytes", maximum);
	return error_errno(error, code, path, NULL, "read");
}

static int read_open(const char *path, bool regular, size_t maximum, struct str *text)
{
	/* Non-blocking: a fifo in the file's place must not hold us up. */
	PH_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat status;

	if (fd < 0)
		return -errno;
	if (regular && fstat(fd, &status) < 0)
		return -errno;
	if (regular && !S_ISREG(status.st_mode))
		return -EINVAL;
	return read_all(fd, maximum, text);
}

int file_read(const char *path, size_t maximum, char **ret_text, size_t *ret_length,
	      struct ph_error *error)
{
	PH_AUTO_STR struct str text = STR_INIT;
	int result = read_open(path, true, maximum, &text);

	if (result == -EINVAL)
		return error_set(error, result, path, NULL, "it is not a regular file");
	if (result < 0)
		return read_error(path, result, maximum, error);
	if (ret_length)
		*ret_length = text.length;
	*ret_text = str_take(&text);
	return 0;
}

int file_read_virtual(const char *path, size_t maximum, char **ret_text, struct ph_error *error)
{
	PH_AUTO_STR struct str text = STR_INIT;
	int result = read_open(path, false, maximum, &text);

	if (result < 0)
		return read_error(path, result, maximum, error);
	*ret_text = str_take(&text);
	return 0;
}

/* Make a complete, synced file; like says whose mode and owner it takes, NULL: mode. */
static int file_make(const char *path, const void *bytes, size_t length, mode_t mode,
		     const struct stat *like)
{
	PH_AUTO_CLOSE int fd = -1;
	int result;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	result = io_write(fd, bytes, length);
	if (result == 0 && like && fchown(fd, like->st_uid, like->st_gid) < 0)
		result = -errno;
	if (result == 0 && fchmod(fd, like ? like->st_mode & 07777 : mode) < 0)
		result = -errno;
	if (result == 0 && fsync(fd) < 0)
		result = -errno;
	if (result < 0)
		unlink(path);
	return result;
}

static int directory_sync(const char *path)
{
	PH_AUTO_FREE char *copy = ph_strdup(path);
	PH_AUTO_CLOSE int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

/* Copy the old file under the backup's name. */
static int backup_make(const char *path, const char *suffix, const struct stat *like)
{
	PH_AUTO_FREE char *backup = ph_format("%s%s", path, suffix);
	PH_AUTO_FREE char *temporary = ph_format("%s%s", backup, TEMPORARY_SUFFIX);
	PH_AUTO_FREE char *text = NULL;
	size_t length = 0;
	int result = file_read(path, SIZE_MAX, &text, &length, NULL);

	if (result == 0)
		result = file_make(temporary, text, length, 0600, like);
	if (result == 0 && rename(temporary, backup) < 0) {
		result = -errno;
		unlink(temporary);
	}
	return result;
}

static int file_replace(const char *path, const void *bytes, size_t length,
			const struct file_write *options)
{
	PH_AUTO_FREE char *temporary = ph_format("%s%s", path, TEMPORARY_SUFFIX);
	struct stat status;
	bool exists = stat(path, &status) == 0;
	int result = 0;

	if (exists && !S_ISREG(status.st_mode))
		return -EINVAL;
	if (exists && options && options->backup)
		result = backup_make(path, options->backup, &status);
	if (result == 0)
		result = file_make(temporary, bytes, length,
				   options && options->mode ? options->mode : MODE_DEFAULT,
				   exists ? &status : NULL);
	if (result == 0 && rename(temporary, path) < 0) {
		result = -errno;
		unlink(temporary);
	}
	return result < 0 ? result : directory_sync(path);
}

int file_write(const char *path, const void *bytes, size_t length, const struct file_write *options,
	       struct ph_error *error)
{
	PH_AUTO_FREE char *target = realpath(path, NULL);
	int result = file_replace(target ? target : path, bytes, length, options);

	if (result == -ENOSPC || result == -EDQUOT)
		return error_errno(error, result, path, "free some space there and try again",
				   "write");
	return result < 0 ? error_errno(error, result, path, NULL, "write") : 0;
}

int file_write_virtual(const char *path, const char *text)
{
	PH_AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t length;

	if (fd < 0)
		return -errno;
	length = write(fd, text, strlen(text));
	if (length < 0)
		return -errno;
	return (size_t)length == strlen(text) ? 0 : -EIO;
}

int directory_make(const char *path, mode_t mode, struct ph_error *error)
{
	PH_AUTO_FREE char *copy = ph_strdup(path);

	for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			return error_errno(error, -errno, copy, NULL, "make directory");
		*slash = '/';
	}
	if (mkdir(copy, mode) < 0 && errno != EEXIST)
		return error_errno(error, -errno, path, NULL, "make directory");
	return 0;
}

int file_remove(const char *path, struct ph_error *error)
{
	if (unlink(path) == 0)
		return 1;
	if (errno == ENOENT)
		return 0;
	return error_errno(error, -errno, path, NULL, "remove");
}
