/*
 * A policy file that is half written protects nobody at the next boot. So the new text is complete and on the
 * disk under a hidden name, which no parser reads, before it takes the old one's place.
 */
#include "controller/doctor/repair.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/str.h"

#define MAKE_ROOM "see that the file system is writable and has room"

/* Access control lists and labels; a file system without them has none to lose. */
static void keep_attributes(int from, int to)
{
	char names[4096], value[4096];
	ssize_t length = flistxattr(from, names, sizeof(names));

	for (char *name = names; length > 0 && name < names + length; name += strlen(name) + 1) {
		ssize_t size = fgetxattr(from, name, value, sizeof(value));

		if (size >= 0 && fsetxattr(to, name, value, (size_t)size, 0))
			continue;
	}
}

static int sync_folder(const char *path)
{
	PH_AUTO_FREE char *folder = strdup(path);
	PH_AUTO_CLOSE int fd = -1;
	char *slash = folder ? strrchr(folder, '/') : NULL;

	if (!slash)
		return -EINVAL;
	*slash = '\0';
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) ? -errno : 0;
}

/* Give the new file what the old one had, put it on the disk and in its place. */
static int put_in_place(int fd, int old, const char *temporary, const char *path)
{
	struct stat stat;

	if (fstat(old, &stat) || fchown(fd, stat.st_uid, stat.st_gid) ||
	    fchmod(fd, stat.st_mode & 07777))
		return -errno;
	keep_attributes(old, fd);
	if (fsync(fd) || rename(temporary, path))
		return -errno;
	return sync_folder(path);
}

static int replace_file(const char *path, const char *bytes, size_t size, struct ph_error *error)
{
	PH_AUTO_CLOSE int old = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	PH_AUTO_CLOSE int fd = -1;
	char temporary[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int r;

	if (old < 0)
		return error_errno(error, -errno, path, MAKE_ROOM, "open");
	snprintf(temporary, sizeof(temporary), "%.*s/.phoenix-doctor.XXXXXX", (int)(slash - path),
		 path);
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return error_errno(error, -errno, path, MAKE_ROOM, "write beside it");
	r = io_write(fd, bytes, size);
	if (r == 0)
		r = put_in_place(fd, old, temporary, path);
	if (r == 0)
		return 0;
	unlink(temporary);
	return error_errno(error, r, path, MAKE_ROOM, "replace");
}

/* ---- backups ---- */

static int make_path(const char *path, struct ph_error *error)
{
	char folder[PATH_MAX];

	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
		if (mkdir(folder, 0755) && errno != EEXIST)
			return error_errno(error, -errno, folder, MAKE_ROOM, "mkdir");
	}
	return 0;
}

static int save(const char *backup, const struct doctor_text *text, struct ph_error *error)
{
	PH_AUTO_CLOSE int fd = -1;
	char path[PATH_MAX];
	int r;

	snprintf(path, sizeof(path), "%s/%s", backup, text->path);
	r = make_path(path, error);
	if (r < 0)
		return r;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(error, -errno, path, MAKE_ROOM, "open");
	r = io_write(fd, text->bytes, text->size);
	if (r == 0 && fsync(fd))
		r = -errno;
	if (r == 0)
		r = sync_folder(path);
	return r < 0 ? error_errno(error, r, path, MAKE_ROOM, "write the backup") : 0;
}

static char *name_backup(const char *backups)
{
	char stamp[32], *path = NULL;
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%S", &tm);
	if (asprintf(&path, "%s/%s.%09ld", backups, stamp, now.tv_nsec) < 0)
		return NULL;
	return path;
}

/* ---- the repair ---- */

static bool is_repaired(const struct doctor_guilty *guilty)
{
	return !guilty->refusal;
}

static void write_full(char path[PATH_MAX], const struct doctor_diagnosis *diagnosis,
		       const struct doctor_text *text)
{
	snprintf(path, PATH_MAX, "%s/%s", diagnosis->tree.directory, text->path);
}

/* Between the diagnosis and the answer to "repair?" somebody may have corrected the file. */
static int check_unchanged(const struct doctor_text *text, const char *path, struct ph_error *error)
{
	PH_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	PH_AUTO_FREE char *bytes = malloc(text->size + 1);
	size_t size = 0;
	ssize_t n = 1;

	if (fd < 0 || !bytes)
		return error_errno(error, fd < 0 ? -errno : -ENOMEM, path, MAKE_ROOM, "read");
	while (size <= text->size && (n = read(fd, bytes + size, text->size + 1 - size)) > 0)
		size += (size_t)n;
	if (n < 0)
		return error_errno(error, -errno, path, MAKE_ROOM, "read");
	if (size != text->size || memcmp(bytes, text->bytes, size) != 0)
		return error_set(error, -EAGAIN, path, "run the command again",
				 "it was changed while it was being examined");
	return 0;
}

/* Write the mended texts; ret_tried is how many files were come to, the last of them may be as it was. */
static int write_texts(const struct doctor_diagnosis *diagnosis, size_t *ret_tried,
		       struct ph_error *error)
{
	int r = 0;

	for (*ret_tried = 0; *ret_tried < diagnosis->guilty_count && r == 0; (*ret_tried)++) {
		const struct doctor_guilty *guilty = &diagnosis->guilty[*ret_tried];
		PH_AUTO_STR struct str text = STR_INIT;
		char path[PATH_MAX];

		if (!is_repaired(guilty))
			continue;
		write_full(path, diagnosis, guilty->text);
		doctor_apply(guilty->text->bytes, guilty->text->size, &guilty->scan, &text);
		r = replace_file(path, str_text(&text), text.length, error);
	}
	return r;
}

/* Write the old texts where they are not any more, as many of them as can be. */
static int put_back(const struct doctor_diagnosis *diagnosis, size_t tried)
{
	int r = 0;

	for (size_t i = 0; i < tried; i++) {
		const struct doctor_guilty *guilty = &diagnosis->guilty[i];
		char path[PATH_MAX];

		if (!is_repaired(guilty))
			continue;
		write_full(path, diagnosis, guilty->text);
		if (check_unchanged(guilty->text, path, NULL) < 0 &&
		    replace_file(path, guilty->text->bytes, guilty->text->size, NULL) < 0)
			r = -EIO;
	}
	return r;
}

static int prepare(const struct doctor_diagnosis *diagnosis, const char *backup,
		   struct ph_error *error)
{
	int r = 0;

	for (size_t i = 0; i < diagnosis->guilty_count && r == 0; i++) {
		const struct doctor_guilty *guilty = &diagnosis->guilty[i];
		char path[PATH_MAX];

		if (!is_repaired(guilty))
			continue;
		write_full(path, diagnosis, guilty->text);
		r = check_unchanged(guilty->text, path, error);
		if (r == 0)
			r = save(backup, guilty->text, error);
	}
	return r;
}

/* Whether everything loads now that did not, with the mended files in their places. */
static int check_result(const struct doctor_diagnosis *diagnosis, struct ph_error *error)
{
	for (size_t i = 0; i < diagnosis->failure_count; i++) {
		const char *path = diagnosis->failures[i].text->path;
		PH_AUTO_FREE char *message = NULL;
		int r = doctor_parse(diagnosis->tree.directory, path, &message, error);

		if (r > 0)
			return error_set(error, -EINVAL, path, "run the check again",
					 "it still does not load: %s", message ? message : "");
		if (r < 0)
			return r;
	}
	return 0;
}

int doctor_repair(const struct doctor_diagnosis *diagnosis, const char *backups, char **ret_backup,
		  struct ph_error *error)
{
	PH_AUTO_FREE char *backup = name_backup(backups);
	size_t tried = 0;
	int r;

	if (!backup)
		return -ENOMEM;
	if (diagnosis->verdict != DOCTOR_REPAIRABLE)
		return error_set(error, -EINVAL, diagnosis->tree.directory, NULL,
				 "there is nothing that could be repaired");
	r = prepare(diagnosis, backup, error);
	if (r == 0)
		r = write_texts(diagnosis, &tried, error);
	if (r == 0)
		r = check_result(diagnosis, error);
	if (r < 0 && put_back(diagnosis, tried) < 0)
		error_set(error, r, backup, "copy the old files back from there by hand",
			  "the repair failed, and so did taking it back");
	if (r < 0)
		return r;
	*ret_backup = backup;
	backup = NULL;
	return 0;
}

void doctor_repair_diff(const struct doctor_diagnosis *diagnosis, struct str *diff)
{
	for (size_t i = 0; i < diagnosis->guilty_count; i++) {
		const struct doctor_guilty *guilty = &diagnosis->guilty[i];

		if (is_repaired(guilty))
			doctor_diff(guilty->text->path, guilty->text->bytes, guilty->text->size,
				    &guilty->scan, diff);
	}
}
