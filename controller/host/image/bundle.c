/*
 * As with images, an import works in a locked directory of its own that becomes the bundle by one
 * rename. What was unpacked is taken over only as plain files of root: they are shown to containers,
 * whose root is somebody else on the host and can change none of them.
 */
#include "controller/host/image/bundle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/image/unpack.h"
#include "controller/host/tree/paths.h"
#include "controller/host/tree/rename.h"
#include "controller/host/tree/tree.h"

#define BYTES_DEFAULT (UINT64_C(8) * 1024 * 1024 * 1024)
#define ENTRIES_DEFAULT UINT64_C(10000)
#define MANIFEST "SHA256SUMS"
#define INDEX "Packages"
#define MANIFEST_MAXIMUM (4 * 1024 * 1024)
#define PREFIX_WORK ".import-"
#define HASH_LENGTH 64
#define REMEDY "build it again: phoenixctl bundle build"

/* ---- the manifest --------------------------------------------------------------------------- */

/* "HASH  name" with a plain name; a "./" before it is allowed. */
static int line_parse(char *line, const char **ret_name)
{
	char *name = line + HASH_LENGTH + 2;

	if (strlen(line) <= HASH_LENGTH + 2 || line[HASH_LENGTH] != ' ' ||
	    strspn(line, "0123456789abcdef") != HASH_LENGTH ||
	    (line[HASH_LENGTH + 1] != ' ' && line[HASH_LENGTH + 1] != '*'))
		return -EINVAL;
	if (text_has_prefix(name, "./"))
		name += 2;
	if (!file_name_is_valid(name) || name[0] == '.')
		return -EINVAL;
	line[HASH_LENGTH] = '\0';
	*ret_name = name;
	return 0;
}

static int file_check(int dir, const char *name, const char *hash, uint64_t *bytes,
		      struct ph_error *error)
{
	PH_AUTO_CLOSE int fd = -1;
	struct stat status;
	char digest[65];
	int result = tree_open_plain(dir, name, &fd, error);

	if (result < 0)
		return result;
	if (fstat(fd, &status) < 0 || unpack_digest(fd, digest) < 0)
		return error_errno(error, -errno, name, NULL, "read");
	if (strcmp(digest, hash) != 0)
		return error_set(error, -EBADMSG, name, REMEDY ", or copy it anew",
				 "the file is damaged: its hash is not that of the manifest");
	*bytes += (uint64_t)status.st_size;
	if (fchown(fd, 0, 0) < 0 || fchmod(fd, 0644) < 0)
		return error_errno(error, -errno, name, NULL, "take over");
	return 0;
}

static int manifest_check(int dir, size_t *ret_files, uint64_t *ret_bytes, struct ph_error *error)
{
	PH_AUTO_FREE char *text = NULL;
	char *rest = NULL;
	size_t files = 0;
	uint64_t bytes = 0;
	bool has_index = false;
	int result = tree_read_small(dir, MANIFEST, MANIFEST_MAXIMUM, &text, NULL, error);

	if (result == -ENOENT)
		return error_set(error, -EINVAL, MANIFEST, REMEDY,
				 "the archive is no bundle: it has no manifest");
	for (char *line = result < 0 ? NULL : strtok_r(text, "\n", &rest); line && result == 0;
	     line = strtok_r(NULL, "\n", &rest)) {
		const char *name;

		if (line_parse(line, &name) < 0)
			return error_set(error, -EINVAL, MANIFEST, REMEDY,
					 "line %zu is none of 'HASH  NAME'", files + 1);
		result = file_check(dir, name, line, &bytes, error);
		has_index |= strcmp(name, INDEX) == 0;
		files++;
	}
	if (result == 0 && !has_index)
		result = error_set(error, -EINVAL, INDEX, REMEDY,
				   "the bundle has no index of its packages");
	*ret_files = files;
	*ret_bytes = bytes;
	return result;
}

/* As many entries as the manifest names, and itself: with all of them checked, there are no others. */
static int count_check(int dir, size_t files, struct ph_error *error)
{
	PH_AUTO_DIR DIR *list = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *entry;
	size_t count = 0;

	while (list && (entry = readdir(list)))
		count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	if (list && count == files + 1)
		return 0;
	return error_set(error, -EINVAL, MANIFEST, REMEDY,
			 "the archive holds %zu files, and the manifest names %zu besides itself",
			 count, files);
}

static int bundle_check(int dir, struct image *bundle, struct ph_error *error)
{
	PH_AUTO_CLOSE int manifest = -1;
	uint64_t bytes = 0;
	size_t files = 0;
	int result = manifest_check(dir, &files, &bytes, error);

	if (result == 0)
		result = count_check(dir, files, error);
	if (result == 0)
		result = tree_open_plain(dir, MANIFEST, &manifest, error);
	if (result < 0)
		return result;
	if (unpack_digest(manifest, bundle->digest) < 0 || fchown(manifest, 0, 0) < 0 ||
	    fchmod(manifest, 0644) < 0 || fchown(dir, 0, 0) < 0 || fchmod(dir, 0755) < 0)
		return error_errno(error, -errno, MANIFEST, NULL, "take over");
	bundle->size_bytes = bytes;
	return 0;
}

/* ---- finding, listing, removing ------------------------------------------------------------- */

static int bundle_load(int bundles, const char *name, struct image *ret_bundle)
{
	PH_AUTO_CLOSE int dir = -1;
	PH_AUTO_CLOSE int manifest = -1;
	PH_AUTO_DIR DIR *list = NULL;
	struct image bundle = { 0 };
	struct dirent *entry;
	struct stat status;
	int result = tree_open_dir(bundles, name, &dir, NULL);

	if (result == 0)
		result = tree_open_plain(dir, MANIFEST, &manifest, NULL);
	if (result < 0)
		return result;
	text_copy(bundle.name, sizeof(bundle.name), name);
	text_copy(bundle.source, sizeof(bundle.source), "bundle");
	if (fstat(manifest, &status) < 0 || unpack_digest(manifest, bundle.digest) < 0)
		return -EIO;
	bundle.created_ms = (uint64_t)status.st_ctim.tv_sec * 1000;
	list = fdopendir(take_fd(&dir));
	while (list && (entry = readdir(list)))
		if (fstatat(dirfd(list), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(status.st_mode))
			bundle.size_bytes += (uint64_t)status.st_size;
	*ret_bundle = bundle;
	return 0;
}

int bundle_find(const struct config *config, const char *name, struct image *ret_bundle,
		struct ph_error *error)
{
	PH_AUTO_CLOSE int bundles = -1;
	int result;

	if (!name_is_valid(name))
		return error_set(error, -EINVAL, name, NULL, "not the name of a bundle");
	result = paths_open(config, PATHS_BUNDLES, &bundles, error);
	if (result < 0)
		return result;
	result = bundle_load(bundles, name, ret_bundle);
	return result < 0 ? error_set(error, -ENOENT, name,
				      "see 'phoenixctl bundle list'; make it with 'phoenixctl bundle "
				      "build' or 'phoenixctl bundle import'",
				      "there is no such bundle") :
			    0;
}

static int compare_bundles(const void *left, const void *right)
{
	return strcmp(((const struct image *)left)->name, ((const struct image *)right)->name);
}

int bundle_list(const struct config *config, struct image **ret_bundles, size_t *ret_count,
		struct ph_error *error)
{
	PH_AUTO_FREE struct image *list = NULL;
	PH_AUTO_CLOSE int bundles = -1;
	PH_AUTO_DIR DIR *dir = NULL;
	struct dirent *entry;
	size_t count = 0;
	int result = paths_open(config, PATHS_BUNDLES, &bundles, error);

	if (result < 0)
		return result;
	dir = fdopendir(dup(bundles));
	while (dir && (entry = readdir(dir))) {
		struct image bundle;

		if (!name_is_valid(entry->d_name) ||
		    bundle_load(bundles, entry->d_name, &bundle) < 0)
			continue;
		list = ph_realloc(list, (count + 1) * sizeof(*list));
		list[count++] = bundle;
	}
	if (count)
		qsort(list, count, sizeof(*list), compare_bundles);
	*ret_bundles = take_pointer(list);
	*ret_count = count;
	return 0;
}

int bundle_remove(const struct config *config, const char *name, struct ph_error *error)
{
	PH_AUTO_CLOSE int bundles = -1;
	struct stat status;
	int result;

	if (!name_is_valid(name))
		return error_set(error, -EINVAL, name, NULL, "not the name of a bundle");
	result = paths_open(config, PATHS_BUNDLES, &bundles, error);
	if (result < 0)
		return result;
	if (tree_stat(bundles, name, &status) < 0)
		return IMAGE_UNCHANGED;
	result = tree_remove(bundles, name, error);
	return result < 0 ? result : IMAGE_CHANGED;
}

/* ---- import --------------------------------------------------------------------------------- */

static void clear_leftovers(int bundles)
{
	PH_AUTO_DIR DIR *dir = fdopendir(openat(bundles, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		PH_AUTO_CLOSE int work = -1;

		if (!text_has_prefix(entry->d_name, PREFIX_WORK))
			continue;
		work = openat(bundles, entry->d_name,
			      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (work >= 0 && flock(work, LOCK_EX | LOCK_NB) == 0)
			tree_remove(bundles, entry->d_name, NULL);
	}
}

static int make_work(int bundles, char name[64], int *ret_work, struct ph_error *error)
{
	uint64_t random = 0;

	if (getrandom(&random, sizeof(random), 0) < 0)
		return error_errno(error, -errno, NULL, NULL, "getrandom");
	snprintf(name, 64, PREFIX_WORK "%016llx", (unsigned long long)random);
	if (mkdirat(bundles, name, 0700) < 0)
		return error_errno(error, -errno, name, NULL, "make directory");
	*ret_work = openat(bundles, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*ret_work < 0 || flock(*ret_work, LOCK_EX) < 0)
		return error_errno(error, -errno, name, NULL, "open directory");
	return 0;
}

/* Let the checked directory become the bundle, or say that it is there already. */
static int publish(int bundles, const char *work, const struct image *bundle,
		   struct ph_error *error)
{
	struct image present;
	int result;

	if (bundle_load(bundles, bundle->name, &present) == 0 &&
	    strcmp(present.digest, bundle->digest) == 0)
		return IMAGE_UNCHANGED;
	result = rename_publish(bundles, work, bundle->name);
	if (result < 0)
		return error_errno(error, result, bundle->name, NULL, "rename the new bundle");
	fsync(bundles);
	return IMAGE_CHANGED;
}

static int import_archive(int bundles, int archive, const struct image_import *request,
			  struct image *bundle, struct ph_error *error)
{
	const struct unpack_limits limits = {
		.bytes = request->bytes_maximum ? request->bytes_maximum : BYTES_DEFAULT,
		.entries = request->entries_maximum ? request->entries_maximum : ENTRIES_DEFAULT,
	};
	struct unpack_report report;
	PH_AUTO_CLOSE int work = -1;
	char name[64];
	int result = make_work(bundles, name, &work, error);

	if (result == 0)
		result = unpack_archive(archive, work, &limits, &report, error);
	if (result == 0)
		result = bundle_check(work, bundle, error);
	if (result == 0 && syncfs(work) < 0)
		result = error_errno(error, -errno, "bundles", NULL, "sync the new bundle");
	if (result == 0)
		result = publish(bundles, name, bundle, error);
	tree_remove(bundles, name, NULL); /* gone, or the old bundle, or a failure */
	return result;
}

static int import_spooled(const struct config *config, const struct image_import *request,
			  struct image *bundle, struct ph_error *error)
{
	PH_AUTO_CLOSE int spool = -1;
	PH_AUTO_CLOSE int archive = -1;
	PH_AUTO_CLOSE int bundles = -1;
	int result;

	if (!name_is_valid(request->name))
		return error_set(error, -EINVAL, request->name,
				 "use small letters, digits and '-'", "not a name for a bundle");
	if (!file_name_is_valid(request->spool_file))
		return error_set(error, -EINVAL, request->spool_file, NULL,
				 "not the name of a file in the spool");
	result = paths_open(config, PATHS_SPOOL, &spool, error);
	if (result == 0)
		result = tree_open_plain(spool, request->spool_file, &archive, error);
	if (result == 0)
		result = paths_open(config, PATHS_BUNDLES, &bundles, error);
	if (result < 0)
		return result;
	clear_leftovers(bundles);
	return import_archive(bundles, archive, request, bundle, error);
}

int bundle_import(const struct config *config, const struct image_import *request,
		  struct image *ret_bundle, struct ph_error *error)
{
	struct image bundle = { .created_ms = clock_wall_ms() };
	int result;

	text_copy(bundle.name, sizeof(bundle.name), request->name);
	text_copy(bundle.source, sizeof(bundle.source), "bundle");
	result = import_spooled(config, request, &bundle, error);
	if (result < 0)
		return error_prefix(error, "import bundle %s", request->name), result;
	*ret_bundle = bundle;
	return result;
}
