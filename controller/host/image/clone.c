/*
 * The clone's directory is its lock: whoever creates, mounts, unmounts or destroys holds it. The
 * order of creation is: directory, record (incomplete), root filesystem with the three files of /etc,
 * data-root, record (complete). A creation that finds an incomplete record clears its parts away and
 * begins again: nothing in there is anybody's yet. What others keep in the directory stays then.
 * Destruction goes the other way: record (incomplete), mounts, data-root, root filesystem, record,
 * directory.
 */
#include "controller/host/image/clone.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/host/image/clone_build.h"
#include "controller/host/image/clone_choose.h"
#include "controller/host/image/clone_dir.h"
#include "controller/host/image/clone_record.h"
#include "controller/host/tree/paths.h"
#include "controller/host/tree/tree.h"

#define IDS_MINIMUM 65536

/* ---- mounting ------------------------------------------------------------------------------- */

/* Both mounts of a clone in dir; positive: how many were made. The caller holds the lock. */
static int mount_all(const struct config *config, const struct clone *clone, int dir,
		     struct ph_error *error)
{
	int root = clone_dir_mount_root(config, clone, &clone->current, dir, error);
	int data = root < 0 ? root : clone_dir_mount_data(config, clone->name, error);

	return data < 0 ? data : root + data;
}

int clone_mount(const struct config *config, const char *name, struct ph_error *error)
{
	struct clone clone;
	PH_AUTO_CLOSE int dir = -1;
	int result = clone_dir_open(config, name, &dir, error);

	if (result == 0)
		result = clone_record_load(dir, name, &clone, error);
	if (result == 0 && !clone.current.complete)
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
	int result = clone_dir_open(config, name, &dir, error);

	if (result == -ENOENT)
		return error_clear(error), CLONE_UNCHANGED;
	if (result == 0)
		result = clone_dir_unmount_all(config, name, error);
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
	PH_AUTO_CLOSE int containers = -1;
	int result = clone_dir_unmount_all(config, name, error);

	if (result >= 0)
		result = paths_remove(config, PATHS_DATA, name, error);
	for (unsigned int number = 0; number < CLONE_DIR_ROOTS && result >= 0; number++)
		result = clone_dir_remove_root(config, name, number, dir, error);
	if (result >= 0)
		result = tree_remove(dir, CLONE_RECORD, error);
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

	if (clone_record_load(dir, name, &clone, NULL) < 0 || !clone.current.complete)
		return;
	clone.current.complete = false;
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
	int result = clone_dir_unmount_all(config, name, error);

	if (result >= 0)
		result = paths_open(config, PATHS_DATA, &data, error);
	if (result == 0)
		result = tree_remove(data, name, error);
	return result < 0 ? result : result == TREE_DONE;
}

int clone_destroy(const struct config *config, const char *name, struct ph_error *error)
{
	PH_AUTO_CLOSE int dir = -1;
	int result = clone_dir_open(config, name, &dir, error);

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

/* Make the directory with its record: from here on the image has a user. */
static int register_clone(const struct config *config, const struct clone_request *request,
			  struct clone *plan, int *ret_dir, struct ph_error *error)
{
	struct stat status;
	PH_AUTO_CLOSE int lock = -1;
	PH_AUTO_CLOSE int dir = -1;
	int result = clone_choose_hold(config, request, &plan->current, &lock, error);

	if (result == 0)
		result = paths_make(config, PATHS_CONTAINERS, plan->name, 0, plan->id_base, 0710,
				    error);
	if (result == 0)
		result = clone_dir_open(config, plan->name, &dir, error);
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
	int result = clone_build(config, request, plan, &plan->current, dir, error);

	if (result == 0)
		result = paths_make(config, PATHS_DATA, plan->name, plan->id_base, plan->id_base,
				    0711, error);
	if (result == 0)
		result = clone_dir_mount_data(config, plan->name, error);
	if (result < 0)
		return result;
	plan->current.complete = true;
	return clone_record_save(dir, plan, error);
}

/* Somebody may be finishing it just now: looked at again under the lock. */
static int clear_unfinished(const struct config *config, const char *name, struct ph_error *error)
{
	struct clone clone;
	PH_AUTO_CLOSE int dir = -1;
	int result = clone_dir_open(config, name, &dir, error);

	if (result == 0)
		result = clone_record_load(dir, name, &clone, error);
	if (result == 0 && clone.current.complete)
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
	if (!present->current.complete)
		return clear_unfinished(config, request->name, error);
	if (clone_root_is(&present->current, request->image, request->method) &&
	    present->id_base == request->id_base && present->id_count == request->id_count)
		return CLONE_UNCHANGED;
	return error_set(error, -EEXIST, request->name,
			 "remove the container first, or give it another root by a rollout",
			 "there is a clone of image %s with ids %u+%u by %s",
			 present->current.image, present->id_base, present->id_count,
			 clone_method_name(present->current.method));
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
	plan = (struct clone){ .id_base = request->id_base, .id_count = request->id_count };
	text_copy(plan.name, sizeof(plan.name), request->name);
	if (result == 0)
		result = clone_choose(config, request, &plan.current, error);
	if (result == 0)
		result = register_clone(config, request, &plan, &dir, error);
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

int clone_rootfs_path(const struct config *config, const char *name, char *path, size_t size,
		      struct ph_error *error)
{
	char whole[PATHS_SIZE];
	struct clone clone;
	int result = clone_find(config, name, &clone, error);

	if (result < 0)
		return result;
	clone_dir_path(config, name, clone.current.number, "rootfs", whole);
	if (!text_copy(path, size, whole))
		return error_errno(error, -ENAMETOOLONG, name, NULL, "path of the root filesystem");
	return 0;
}

int clone_open_rootfs(const struct config *config, const char *name, int *ret_root,
		      struct ph_error *error)
{
	char path[PATHS_SIZE];
	int result = clone_rootfs_path(config, name, path, sizeof(path), error);

	return result < 0 ? result : tree_open_root(path, ret_root, error);
}

bool clone_root_is(const struct clone_root *root, const char *image, enum clone_method method)
{
	return root->complete && strcmp(root->image, image) == 0 &&
	       (method == CLONE_AUTO || method == root->method);
}
