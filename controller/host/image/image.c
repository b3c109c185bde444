/*
 * An import works in a directory of its own (".import-…", locked while its maker lives), which
 * becomes the image by one rename. Leftovers of a killed import or removal are recognised by their
 * prefix and a lock that nobody holds, and are cleared by the next import or removal. The lock on
 * STATE/images itself is held only for moments: while names change, and while a clone registers
 * (clone.c), so that an image in use cannot vanish.
 */
#include "controller/host/image/image.h"

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
#include "controller/host/image/clone.h"
#include "controller/host/image/image_check.h"
#include "controller/host/image/unpack.h"
#include "controller/host/tree/paths.h"
#include "controller/host/tree/record.h"
#include "controller/host/tree/rename.h"
#include "controller/host/tree/subvolume.h"
#include "controller/host/tree/tree.h"

#define BYTES_DEFAULT (UINT64_C(64) * 1024 * 1024 * 1024)
#define ENTRIES_DEFAULT UINT64_C(4000000)
#define RECORD "image.json"
#define PREFIX_IMPORT ".import-"
#define PREFIX_REMOVED ".removed-"
#define WORK_NAME_SIZE 64

/* ---- records -------------------------------------------------------------------------------- */

static int image_save(int dir, const struct image *image, struct ph_error *error)
{
	RECORD_AUTO json_t *record = json_object();

	record_set_number(record, "version", 1);
	record_set_text(record, "source", image->source);
	record_set_text(record, "digest", image->digest);
	record_set_text(record, "system", image->system);
	record_set_number(record, "size_bytes", image->size_bytes);
	record_set_number(record, "created_ms", image->created_ms);
	record_set_number(record, "highest_id", image->highest_id);
	return record_save(dir, RECORD, record, error);
}

static int image_load(int images, const char *name, struct image *ret_image,
		      struct ph_error *error)
{
	struct image image = { 0 };
	uint64_t highest_id = 0;
	RECORD_AUTO json_t *record = NULL;
	char file[128];
	int result;

	snprintf(file, sizeof(file), "%s/%s", name, RECORD);
	result = record_load(images, file, &record, error);
	if (result < 0)
		return result;
	text_copy(image.name, sizeof(image.name), name);
	record_text(record, "source", image.source, sizeof(image.source));
	record_text(record, "system", image.system, sizeof(image.system));
	if (!record_text(record, "digest", image.digest, sizeof(image.digest)) ||
	    !record_number(record, "size_bytes", INT64_MAX, &image.size_bytes) ||
	    !record_number(record, "created_ms", INT64_MAX, &image.created_ms) ||
	    !record_number(record, "highest_id", UINT32_MAX, &highest_id))
		return error_set(error, -EBADMSG, file, "remove the image and import it again",
				 "damaged record of the image");
	image.highest_id = (uint32_t)highest_id;
	*ret_image = image;
	return 0;
}

/* ---- work directories ----------------------------------------------------------------------- */

/* A subvolume where there are such, for clones by snapshot; elsewhere a directory. */
static int make_rootfs(int work)
{
	int result = subvolume_make(work, "rootfs");

	if (result < 0)
		return mkdirat(work, "rootfs", 0755) < 0 ? -errno : 0;
	return fchmodat(work, "rootfs", 0755, 0) < 0 ? -errno : 0;
}

/* Make a locked directory of our own in STATE/images. */
static int make_work(int images, char name[WORK_NAME_SIZE], int *ret_work, struct ph_error *error)
{
	uint64_t random = 0;
	PH_AUTO_CLOSE int work = -1;
	int result;

	if (getrandom(&random, sizeof(random), 0) < 0)
		return error_errno(error, -errno, NULL, NULL, "getrandom");
	snprintf(name, WORK_NAME_SIZE, PREFIX_IMPORT "%016llx", (unsigned long long)random);
	if (mkdirat(images, name, 0700) < 0)
		return error_errno(error, -errno, name, NULL, "make directory");
	work = openat(images, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (work < 0 || flock(work, LOCK_EX) < 0)
		return error_errno(error, -errno, name, NULL, "open directory");
	result = make_rootfs(work);
	if (result < 0)
		return error_errno(error, result, name, NULL, "make directory");
	*ret_work = take_fd(&work);
	return 0;
}

/* Remove a work directory unless its maker lives. */
static void clear_leftover(int images, const char *name)
{
	PH_AUTO_CLOSE int work =
		openat(images, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (work >= 0 && flock(work, LOCK_EX | LOCK_NB) == 0)
		tree_remove(images, name, NULL);
}

static void clear_leftovers(int images)
{
	PH_AUTO_DIR DIR *dir = fdopendir(openat(images, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (text_has_prefix(entry->d_name, PREFIX_IMPORT) ||
		    text_has_prefix(entry->d_name, PREFIX_REMOVED))
			clear_leftover(images, entry->d_name);
}

/* Open STATE/images and lock it; closing unlocks. */
static int open_locked(const struct config *config, int *ret_images, struct ph_error *error)
{
	PH_AUTO_CLOSE int images = -1;
	int result = paths_open(config, PATHS_IMAGES, &images, error);

	if (result < 0)
		return result;
	if (flock(images, LOCK_EX) < 0)
		return error_errno(error, -errno, "images", NULL, "lock");
	*ret_images = take_fd(&images);
	return 0;
}

/* ---- import --------------------------------------------------------------------------------- */

/* What a clone has of an image, as text behind its name; NULL when nothing. */
static const char *use_of(const struct clone *clone, const char *image)
{
	if (strcmp(clone->current.image, image) == 0)
		return "";
	if (strcmp(clone->kept.image, image) == 0)
		return " (its kept root)";
	return strcmp(clone->prepared.image, image) == 0 ? " (a prepared root)" : NULL;
}

/* -EBUSY with their names when containers are cloned from the image. */
static int refuse_in_use(const struct config *config, const char *name, struct ph_error *error)
{
	PH_AUTO_STR struct str users = STR_INIT;
	PH_AUTO_FREE struct clone *clones = NULL;
	size_t count = 0;
	int result = clone_list(config, &clones, &count, error);

	if (result < 0)
		return result;
	for (size_t i = 0; i < count; i++) {
		const char *use = use_of(&clones[i], name);

		if (use)
			str_appendf(&users, "%s%s%s", users.length ? ", " : "", clones[i].name,
				    use);
	}
	if (!users.length)
		return 0;
	return error_set(error, -EBUSY, name,
			 "remove these containers, give up what they keep (phoenixctl discard), or "
			 "use another image name",
			 "containers are cloned from this image: %s", str_text(&users));
}

/*
 * What stands at the name: IMAGE_UNCHANGED for the same archive, IMAGE_CHANGED when the import may
 * go on, -EBUSY when it may not.
 */
static int look_at_present(const struct config *config, const struct image_import *request,
			   int archive, struct image *ret_image, struct ph_error *error)
{
	PH_AUTO_CLOSE int images = -1;
	struct image present;
	char digest[65];
	int result = open_locked(config, &images, error);

	if (result < 0)
		return result;
	clear_leftovers(images);
	if (image_load(images, request->name, &present, NULL) == 0) {
		result = unpack_digest(archive, digest);
		if (result < 0)
			return error_errno(error, result, request->spool_file, NULL, "read");
		if (strcmp(digest, present.digest) == 0) {
			*ret_image = present;
			return IMAGE_UNCHANGED;
		}
	}
	return refuse_in_use(config, request->name, error);
}

/* Unpack and check what came out, and write its record. */
static int fill_work(const struct image_import *request, int archive, int work,
		     struct image *ret_image, struct ph_error *error)
{
	const struct unpack_limits limits = {
		.bytes = request->bytes_maximum ? request->bytes_maximum : BYTES_DEFAULT,
		.entries = request->entries_maximum ? request->entries_maximum : ENTRIES_DEFAULT,
	};
	struct unpack_report report;
	struct image image = { .created_ms = clock_wall_ms() };
	PH_AUTO_CLOSE int rootfs = -1;
	int result = tree_open_dir(work, "rootfs", &rootfs, error);

	if (result == 0)
		result = unpack_archive(archive, rootfs, &limits, &report, error);
	if (result == 0)
		result = image_check(rootfs, image.system, error);
	if (result < 0)
		return result;
	result = subvolume_is(rootfs) ? subvolume_set_read_only(rootfs, true) : 0;
	if (result < 0)
		return error_errno(error, result, request->name, NULL, "make it read-only");
	text_copy(image.name, sizeof(image.name), request->name);
	text_copy(image.source, sizeof(image.source),
		  request->source ? request->source : request->spool_file);
	text_copy(image.digest, sizeof(image.digest), report.digest);
	image.size_bytes = report.bytes;
	image.highest_id = report.highest_id;
	result = image_save(work, &image, error);
	if (result == 0 && syncfs(work) < 0)
		result = error_errno(error, -errno, "images", NULL, "sync the new image");
	if (result == 0)
		*ret_image = image;
	return result;
}

/* Let the finished work directory become the image; what stood there becomes a leftover. */
static int publish(const struct config *config, const char *name, const char *work,
		   struct ph_error *error)
{
	PH_AUTO_CLOSE int images = -1;
	int result = open_locked(config, &images, error);

	if (result == 0)
		result = refuse_in_use(config, name, error);
	if (result < 0)
		return result;
	result = rename_publish(images, work, name);
	if (result < 0)
		return error_errno(error, result, name, NULL, "rename the new image");
	fsync(images);
	return 0;
}

static int import_archive(const struct config *config, const struct image_import *request,
			  int archive, struct image *ret_image, struct ph_error *error)
{
	char name[WORK_NAME_SIZE];
	PH_AUTO_CLOSE int images = -1;
	PH_AUTO_CLOSE int work = -1;
	int result = paths_open(config, PATHS_IMAGES, &images, error);

	if (result == 0)
		result = make_work(images, name, &work, error);
	if (result < 0)
		return result;
	result = fill_work(request, archive, work, ret_image, error);
	if (result == 0)
		result = publish(config, request->name, name, error);
	tree_remove(images, name, NULL); /* gone, or the old image, or a failure */
	return result;
}

static int image_import_spooled(const struct config *config, const struct image_import *request,
				struct image *ret_image, struct ph_error *error)
{
	PH_AUTO_CLOSE int spool = -1;
	PH_AUTO_CLOSE int archive = -1;
	int result;

	if (!name_is_valid(request->name))
		return error_set(error, -EINVAL, request->name,
				 "use small letters, digits and '-'", "not a name for an image");
	if (!file_name_is_valid(request->spool_file))
		return error_set(error, -EINVAL, request->spool_file, NULL,
				 "not the name of a file in the spool");
	result = paths_open(config, PATHS_SPOOL, &spool, error);
	if (result == 0)
		result = tree_open_plain(spool, request->spool_file, &archive, error);
	if (result == 0)
		result = look_at_present(config, request, archive, ret_image, error);
	if (result == IMAGE_CHANGED)
		result = import_archive(config, request, archive, ret_image, error);
	return result;
}

int image_import(const struct config *config, const struct image_import *request,
		 struct image *ret_image, struct ph_error *error)
{
	struct image image = { 0 };
	char where[PATHS_SIZE];
	int result = image_import_spooled(config, request, &image, error);

	if (result == -ENOSPC && error &&
	    paths_format(config, PATHS_IMAGES, NULL, NULL, where, NULL) == 0)
		error_set(error, result, where, "free space there, or put state_dir on a larger disk",
			  "no space left for the unpacked image");
	if (result < 0)
		return error_prefix(error, "import image %s", request->name), result;
	*ret_image = image;
	return result;
}

/* ---- finding, listing, removing ------------------------------------------------------------- */

int image_find(const struct config *config, const char *name, struct image *ret_image,
	       struct ph_error *error)
{
	PH_AUTO_CLOSE int images = -1;
	int result;

	if (!name_is_valid(name))
		return error_set(error, -EINVAL, name, NULL, "not the name of an image");
	result = paths_open(config, PATHS_IMAGES, &images, error);
	if (result == 0)
		result = image_load(images, name, ret_image, error);
	if (result == -ENOENT)
		return error_set(error, result, name,
				 "see 'phoenixctl image list'; make it with 'phoenixctl image import' "
				 "or 'phoenixctl image build'",
				 "there is no such image");
	return result;
}

int image_hold(const struct config *config, const char *name, struct image *ret_image,
	       int *ret_lock, struct ph_error *error)
{
	PH_AUTO_CLOSE int images = -1;
	int result = open_locked(config, &images, error);

	if (result == 0)
		result = image_find(config, name, ret_image, error);
	if (result == 0)
		*ret_lock = take_fd(&images);
	return result;
}

static int compare_images(const void *left, const void *right)
{
	return strcmp(((const struct image *)left)->name, ((const struct image *)right)->name);
}

int image_list(const struct config *config, struct image **ret_images, size_t *ret_count,
	       struct ph_error *error)
{
	PH_AUTO_FREE struct image *list = NULL;
	PH_AUTO_CLOSE int images = -1;
	PH_AUTO_DIR DIR *dir = NULL;
	struct dirent *entry;
	size_t count = 0;
	int result = paths_open(config, PATHS_IMAGES, &images, error);

	if (result < 0)
		return result;
	dir = fdopendir(dup(images));
	while (dir && (entry = readdir(dir))) {
		struct ph_error damage = { 0 };
		struct image image = { 0 };

		if (!name_is_valid(entry->d_name))
			continue;
		if (image_load(images, entry->d_name, &image, &damage) < 0) {
			text_copy(image.name, sizeof(image.name), entry->d_name);
			text_copy(image.system, sizeof(image.system), damage.why);
		}
		list = ph_realloc(list, (count + 1) * sizeof(*list));
		list[count++] = image;
	}
	if (count)
		qsort(list, count, sizeof(*list), compare_images);
	*ret_images = take_pointer(list);
	*ret_count = count;
	return 0;
}

int image_remove(const struct config *config, const char *name, struct ph_error *error)
{
	char removed[WORK_NAME_SIZE + sizeof(((struct image *)NULL)->name)];
	PH_AUTO_CLOSE int images = -1;
	int result;

	if (!name_is_valid(name))
		return error_set(error, -EINVAL, name, NULL, "not the name of an image");
	result = open_locked(config, &images, error);
	if (result == 0)
		result = refuse_in_use(config, name, error);
	if (result < 0)
		return error_prefix(error, "remove image %s", name), result;
	clear_leftovers(images);
	snprintf(removed, sizeof(removed), PREFIX_REMOVED "%s", name);
	if (renameat(images, name, images, removed) < 0)
		return errno == ENOENT ? IMAGE_UNCHANGED :
					 error_errno(error, -errno, name, NULL, "remove image");
	flock(images, LOCK_UN); /* the name is free; what follows takes its time */
	result = tree_remove(images, removed, error);
	return result < 0 ? result : IMAGE_CHANGED;
}

int image_open_rootfs(const struct config *config, const char *name, int *ret_root,
		      struct ph_error *error)
{
	struct image image;
	char path[128];
	PH_AUTO_CLOSE int images = -1;
	int result = image_find(config, name, &image, error);

	if (result == 0)
		result = paths_open(config, PATHS_IMAGES, &images, error);
	if (result < 0)
		return result;
	snprintf(path, sizeof(path), "%s/rootfs", name);
	return tree_open_dir(images, path, ret_root, error);
}
