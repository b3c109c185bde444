/*
 * The clone's directory is its lock: whoever creates, mounts, unmounts or destroys holds it. The
 * order of creation is: directory, record (incomplete), root filesystem, data-root, the three files
 * of /etc, record (complete). A creation that finds an incomplete record clears its parts away and
 * begins again: nothing in there is anybody's yet. What others keep in the directory stays then.
 * Destruction goes the other way: record (incomplete), mounts, data-root, root filesystem, record,
 * directory.
 */
#include "controller/host/image/clone.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/image/clone_build.h"
#include "controller/host/image/clone_choose.h"
#include "controller/host/image/clone_record.h"
#include "controller/host/image/image.h"
#include "controller/host/image/mounts.h"
#include "controller/host/tree/paths.h"
#include "controller/host/tree/tree.h"

#define IDS_MINIMUM 65536

/* ---- the directory and its lock ------------------------------------------------------------- */

/* Open and lock a clone's directory; again when it was removed while we waited. -ENOENT. */
static int open_clone(const struct config *config, const char *name, int *ret_dir,
		      struct ph_error *error)
{
	PH_AUTO_CLOSE int containers = -1;
	int result = name_is_valid(name) ?
			     paths_open(config, PATHS_CONTAINERS, &containers, error) :
			     error_set(error, -EINVAL, name, NULL, "not the name of a container");

	while (result == 0) {
		PH_AUTO_CLOSE int dir = -1;
		struct stat opened, there;

		result = tree_open_dir(containers, name, &dir, error);
		if (result < 0)
			break;
		if (flock(dir, LOCK_EX) < 0 || fstat(dir, &opened) < 0)
			return error_errno(error, -errno, name, NULL, "lock");
		if (tree_stat(containers, name, &there) == 0 && there.st_ino == opened.st_ino) {
			*ret_dir = take_fd(&dir);
			break;
		}
	}
	return result;
}

/* A path of the clone's; names are checked long before. */
static void clone_path(const struct config *config, const char *name, const char *below,
		       char path[PATHS_SIZE])
{
	if (paths_format(config, PATHS_CONTAINERS, name, below, path, NULL) < 0)
		path[0] = '\0';
}

static void data_path(const struct config *config, const char *name, char path[PATHS_SIZE])
{
	if (paths_format(config, PATHS_DATA, name, NULL, path, NULL) < 0)
		path[0] = '\0';
}

/* ---- mounting ------------------------------------------------------------------------------- */

static int mount_overlay(const struct config *config, const struct clone *clone,
			 struct ph_error *error)
{
	struct overlay_mount overlay = { .id_base = clone->id_base, .id_count = clone->id_count };
	PH_AUTO_CLOSE int image = -1;
	int result = image_open_rootfs(config, clone->image, &image, error);

	clone_path(config, clone->name, NULL, overlay.base);
	overlay.image = image;
	return result < 0 ? result : mounts_overlay(&overlay, error);
}

static int mount_snapshot(const struct clone *clone, int dir, const char *path,
			  struct ph_error *error)
{
	PH_AUTO_CLOSE int root = -1;
	int result = clone_build_open_snapshot(dir, &root, error);

	return result < 0 ? result : mounts_shifted(root, path, clone->id_base, clone->id_count,
						    error);
}

/* Both mounts of a clone in dir; positive: how many were made. The caller holds the lock. */
static int mount_all(const struct config *config, const struct clone *clone, int dir,
		     struct ph_error *error)
{
	char path[PATHS_SIZE];
	int count = 0, result = 0;

	clone_path(config, clone->name, "rootfs", path);
	if ((clone->method == CLONE_OVERLAY || clone->method == CLONE_SNAPSHOT) &&
	    !mounts_is_mounted(path)) {
		result = clone->method == CLONE_OVERLAY ? mount_overlay(config, clone, error) :
							  mount_snapshot(clone, dir, path, error);
		count++;
	}
	data_path(config, clone->name, path);
	if (result == 0 && !mounts_is_wall(path)) {
		result = mounts_wall(path, error);
		count++;
	}
	return result < 0 ? result : count;
}

static int unmount_all(const struct config *config, const char *name, struct ph_error *error)
{
	static const char *const places[] = { "rootfs", "lower" };
	char path[PATHS_SIZE];
	int count = 0, result;

	for (size_t i = 0; i < ARRAY_LENGTH(places); i++) {
		clone_path(config, name, places[i], path);
		result = mounts_unmount(path, error);
		if (result < 0)
			return result;
		count += result;
	}
	data_path(config, name, path);
	result = mounts_unmount_wall(path, error);
	return result < 0 ? result : count + result;
}

int clone_mount(const struct config *config, const char *name, struct ph_error *error)
{
	struct clone clone;
	PH_AUTO_CLOSE int dir = -1;
	int result = open_clone(config, name, &dir, error);

	if (result == 0)
		result = clone_record_load(dir, name, &clone, error);
	if (result == 0 && !clone.complete)
		result = error_set(error, -EAGAIN, name, "apply the fleet file again",
				   "the clone was never finished");
	if (result == 0)
		result = mount_all(config, &clone, dir, error);
	if (result < 0)
		return error_prefix(error, "mount clone %s", name), result;
	return result > 0 ? CLONE_CHANGED : CLONE_UNCHANGED;
}

int clone_unmount(const struct config *config, const char *name, struct ph_error *error)
{
	PH_AUTO_CLOSE int dir = -1;
	int result = open_clone(config, name, &dir, error);

	if (result == -ENOENT)
		return error_clear(error), CLONE_UNCHANGED;
	if (result == 0)
		result = unmount_all(config, name, error);
	if (result < 0)
		return error_prefix(error, "unmount clone %s", name), result;
	return result > 0 ? CLONE_CHANGED : CLONE_UNCHANGED;
}

/* ---- destroying ----------------------------------------------------------------------------- */

/*
 * Remove an unfinished clone's own parts, and the directory when nothing else is in it. The record
 * goes last: as long as it is there, the rest is known to be unfinished. The caller holds the lock.
 */
static int clear_parts(const struct config *config, const char *name, int dir,
		       struct ph_error *error)
{
	static const char *const parts[] = { "rootfs", CLONE_PART_PARTIAL, CLONE_PART_SNAPSHOT,
					     "upper", "work", "lower", CLONE_RECORD };
	PH_AUTO_CLOSE int containers = -1;
	int result = unmount_all(config, name, error);

	if (result >= 0)
		result = paths_remove(config, PATHS_DATA, name, error);
	for (size_t i = 0; i < ARRAY_LENGTH(parts) && result >= 0; i++)
		result = tree_remove(dir, parts[i], error);
	if (result >= 0)
		result = paths_open(config, PATHS_CONTAINERS, &containers, error);
	if (result == 0 && unlinkat(containers, name, AT_REMOVEDIR) < 0 && errno != ENOTEMPTY)
		result = error_errno(error, -errno, name, NULL, "remove directory");
	return result < 0 ? result : 0;
}

/*
 * Say that a clone is not whole any more, so that whoever makes it again after a crash begins anew
 * instead of taking what is left for a clone. On a full disk that may fail: the removal, which
 * frees some of it, goes on without.
 */
static void renounce(const char *name, int dir)
{
	struct clone clone;

	if (clone_record_load(dir, name, &clone, NULL) < 0 || !clone.complete)
		return;
	clone.complete = false;
	clone_record_save(dir, &clone, NULL);
}

/* The record goes behind all that it tells of, what others keep there last. The caller holds the lock. */
static int destroy_all(const struct config *config, const char *name, int dir,
		       struct ph_error *error)
{
	PH_AUTO_CLOSE int containers = -1;
	int result;

	renounce(name, dir);
	result = clear_parts(config, name, dir, error);
	if (result == 0)
		result = paths_open(config, PATHS_CONTAINERS, &containers, error);
	if (result == 0)
		result = tree_remove(containers, name, error);
	return result < 0 ? result : 1;
}

/* What a destruction of before leaves that removed the directory first. */
static int destroy_data(const struct config *config, const char *name, struct ph_error *error)
{
	PH_AUTO_CLOSE int data = -1;
	int result = unmount_all(config, name, error);

	if (result >= 0)
		result = paths_open(config, PATHS_DATA, &data, error);
	if (result == 0)
		result = tree_remove(data, name, error);
	return result < 0 ? result : result == TREE_DONE;
}

int clone_destroy(const struct config *config, const char *name, struct ph_error *error)
{
	PH_AUTO_CLOSE int dir = -1;
	int result = open_clone(config, name, &dir, error);

	if (result == 0) {
		result = destroy_all(config, name, dir, error);
	} else if (result == -ENOENT) {
		error_clear(error);
		result = destroy_data(config, name, error);
	}
	if (result < 0)
		return error_prefix(error, "destroy clone %s", name), result;
	return result > 0 ? CLONE_CHANGED : CLONE_UNCHANGED;
}

/* ---- creating: the steps in their order ----------------------------------------------------- */

static int check_request(const struct clone_request *request, struct ph_error *error)
{
	if (!name_is_valid(request->name))
		return error_set(error, -EINVAL, request->name,
				 "use small letters, digits and '-'", "not a name for a container");
	if (request->id_base < IDS_MINIMUM || request->id_count < IDS_MINIMUM ||
	    request->id_base > UINT32_MAX - request->id_count)
		return error_set(error, -EINVAL, request->name, NULL,
				 "%u ids from %u are no range for a container", request->id_count,
				 request->id_base);
	return 0;
}

/* What is to be made: the image's identity and a method that works here. */
static int plan_clone(const struct config *config, const struct clone_request *request,
		      struct clone *plan, struct ph_error *error)
{
	struct image image;
	int result = image_find(config, request->image, &image, error);

	if (result < 0)
		return result;
	if (image.highest_id >= request->id_count && image.highest_id != UINT32_MAX)
		return error_set(error, -EOVERFLOW, request->image,
				 "give the container a longer id range",
				 "the image has files of id %u, the range has %u ids",
				 image.highest_id, request->id_count);
	*plan = (struct clone){
		.id_base = request->id_base,
		.id_count = request->id_count,
		.created_ms = clock_wall_ms(),
	};
	text_copy(plan->name, sizeof(plan->name), request->name);
	text_copy(plan->image, sizeof(plan->image), request->image);
	text_copy(plan->digest, sizeof(plan->digest), image.digest);
	return clone_choose(config, request->method, plan, error);
}

/* Make the directory with its record: from here on the image has a user. */
static int register_clone(const struct config *config, const struct clone *plan, int *ret_dir,
			  struct ph_error *error)
{
	struct image image;
	struct stat status;
	PH_AUTO_CLOSE int images = -1;
	PH_AUTO_CLOSE int dir = -1;
	int result = paths_open(config, PATHS_IMAGES, &images, error);

	if (result == 0 && flock(images, LOCK_EX) < 0)
		result = error_errno(error, -errno, "images", NULL, "lock");
	if (result == 0)
		result = image_find(config, plan->image, &image, error); /* still there */
	if (result == 0)
		result = paths_make(config, PATHS_CONTAINERS, plan->name, 0, plan->id_base, 0710,
				    error);
	if (result == 0)
		result = open_clone(config, plan->name, &dir, error);
	if (result < 0)
		return result;
	if (tree_stat(dir, "rootfs", &status) == 0)
		return error_set(error, -EEXIST, plan->name, "remove STATE/containers/NAME",
				 "a directory that is no clone of ours has this name");
	result = clone_record_save(dir, plan, error);
	if (result == 0)
		*ret_dir = take_fd(&dir);
	return result;
}

static int build_clone(const struct config *config, const struct clone_request *request,
		       struct clone *plan, int dir, struct ph_error *error)
{
	int result = clone_build_tree(config, plan, dir, error);

	if (result == 0)
		result = paths_make(config, PATHS_DATA, plan->name, plan->id_base, plan->id_base,
				    0711, error);
	if (result == 0)
		result = mount_all(config, plan, dir, error);
	if (result >= 0)
		result = clone_build_personal(config, request, plan, dir, error);
	if (result < 0)
		return result;
	plan->complete = true;
	return clone_record_save(dir, plan, error);
}

/* Somebody may be finishing it just now: looked at again under the lock. */
static int clear_unfinished(const struct config *config, const char *name, struct ph_error *error)
{
	struct clone clone;
	PH_AUTO_CLOSE int dir = -1;
	int result = open_clone(config, name, &dir, error);

	if (result == 0)
		result = clone_record_load(dir, name, &clone, error);
	if (result == 0 && clone.complete)
		return error_set(error, -EAGAIN, name, "apply again",
				 "another request was making this clone");
	return result < 0 ? result : clear_parts(config, name, dir, error);
}

/* What stands at the name now: CLONE_UNCHANGED for the very clone, CLONE_CHANGED for nothing. */
static int look_at_present(const struct config *config, const struct clone_request *request,
			   struct clone *present, struct ph_error *error)
{
	int result = clone_find(config, request->name, present, error);

	if (result == -ENOENT)
		return error_clear(error), CLONE_CHANGED;
	if (result < 0)
		return result;
	if (!present->complete)
		return clear_unfinished(config, request->name, error);
	if (strcmp(present->image, request->image) == 0 && present->id_base == request->id_base &&
	    present->id_count == request->id_count &&
	    (request->method == CLONE_AUTO || request->method == present->method))
		return CLONE_UNCHANGED;
	return error_set(error, -EEXIST, request->name, "remove the container first",
			 "there is a clone of image %s with ids %u+%u by %s", present->image,
			 present->id_base, present->id_count, clone_method_name(present->method));
}

static int create(const struct config *config, const struct clone_request *request,
		  struct clone *ret_clone, struct ph_error *error)
{
	struct clone plan = { 0 };
	PH_AUTO_CLOSE int dir = -1;
	int result = check_request(request, error);

	if (result == 0)
		result = look_at_present(config, request, &plan, error);
	if (result == CLONE_UNCHANGED) {
		*ret_clone = plan;
		return clone_mount(config, request->name, error);
	}
	if (result == 0)
		result = plan_clone(config, request, &plan, error);
	if (result == 0)
		result = register_clone(config, &plan, &dir, error);
	if (result < 0)
		return result;
	result = build_clone(config, request, &plan, dir, error);
	if (result < 0) {
		clear_parts(config, request->name, dir, NULL);
		return clone_explain(config, request->method, result, error);
	}
	*ret_clone = plan;
	return CLONE_CHANGED;
}

int clone_create(const struct config *config, const struct clone_request *request,
		 struct clone *ret_clone, struct ph_error *error)
{
	struct clone clone;
	int result = create(config, request, &clone, error);

	if (result < 0)
		return error_prefix(error, "clone image %s for %s", request->image, request->name),
		       result;
	if (ret_clone)
		*ret_clone = clone;
	return result;
}

int clone_open_rootfs(const struct config *config, const char *name, int *ret_root,
		      struct ph_error *error)
{
	char path[PATHS_SIZE];
	int result = paths_format(config, PATHS_CONTAINERS, name, "rootfs", path, error);

	return result < 0 ? result : tree_open_root(path, ret_root, error);
}
