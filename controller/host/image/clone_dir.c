/*
 * Root 0 lies in the clone's directory itself, among the files of others, as all roots did before
 * there could be a second one: its parts are removed by name. Each other one has a directory of its
 * own with the same parts in it, and is mounted there: no root ever hides another.
 */
#include "controller/host/image/clone_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/host/image/clone_build.h"
#include "controller/host/image/image.h"
#include "controller/host/image/mounts.h"
#include "controller/host/tree/rename.h"
#include "controller/host/tree/tree.h"

#define BELOW_SIZE 64

/* ---- the directory and its lock ------------------------------------------------------------- */

/* Again when it was removed while we waited. */
int clone_dir_open(const struct config *config, const char *name, int *ret_dir,
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

/* ---- places --------------------------------------------------------------------------------- */

static void base_name(unsigned int number, char name[BELOW_SIZE])
{
	if (number)
		snprintf(name, BELOW_SIZE, "root-%u", number);
	else
		name[0] = '\0';
}

void clone_dir_path(const struct config *config, const char *name, unsigned int number,
		    const char *below, char path[PATHS_SIZE])
{
	char base[BELOW_SIZE], place[2 * BELOW_SIZE];

	base_name(number, base);
	snprintf(place, sizeof(place), "%s%s%s", base, number && below ? "/" : "",
		 below ? below : "");
	if (paths_format(config, PATHS_CONTAINERS, name, place[0] ? place : NULL, path, NULL) < 0)
		path[0] = '\0';
}

static void data_path(const struct config *config, const char *name, char path[PATHS_SIZE])
{
	if (paths_format(config, PATHS_DATA, name, NULL, path, NULL) < 0)
		path[0] = '\0';
}

static int open_base(unsigned int number, int dir, int *ret_base, struct ph_error *error)
{
	char name[BELOW_SIZE];

	base_name(number, name);
	return tree_open_dir(dir, name, ret_base, error);
}

int clone_dir_make_base(const struct clone *clone, unsigned int number, int dir, int *ret_base,
			struct ph_error *error)
{
	const struct tree_owner owner = { 0, clone->id_base, 0710 };
	char name[BELOW_SIZE];
	int result = 0;

	base_name(number, name);
	if (number)
		result = tree_make_dirs(dir, name, &owner, error);
	return result < 0 ? result : open_base(number, dir, ret_base, error);
}

/* ---- mounts --------------------------------------------------------------------------------- */

static int mount_overlay(const struct config *config, const struct clone *clone,
			 const struct clone_root *root, struct ph_error *error)
{
	struct overlay_mount overlay = { .id_base = clone->id_base, .id_count = clone->id_count };
	PH_AUTO_CLOSE int image = -1;
	int result = image_open_rootfs(config, root->image, &image, error);

	clone_dir_path(config, clone->name, root->number, NULL, overlay.base);
	overlay.image = image;
	return result < 0 ? result : mounts_overlay(&overlay, error);
}

static int mount_snapshot(const struct clone *clone, const struct clone_root *root, int dir,
			  const char *path, struct ph_error *error)
{
	PH_AUTO_CLOSE int base = -1;
	PH_AUTO_CLOSE int snapshot = -1;
	int result = open_base(root->number, dir, &base, error);

	if (result == 0)
		result = clone_build_open_snapshot(base, &snapshot, error);
	return result < 0 ? result : mounts_shifted(snapshot, path, clone->id_base,
						    clone->id_count, error);
}

int clone_dir_mount_root(const struct config *config, const struct clone *clone,
			 const struct clone_root *root, int dir, struct ph_error *error)
{
	char path[PATHS_SIZE];
	int result;

	clone_dir_path(config, clone->name, root->number, "rootfs", path);
	if ((root->method != CLONE_OVERLAY && root->method != CLONE_SNAPSHOT) ||
	    mounts_is_mounted(path))
		return 0;
	result = root->method == CLONE_OVERLAY ? mount_overlay(config, clone, root, error) :
						 mount_snapshot(clone, root, dir, path, error);
	return result < 0 ? result : 1;
}

int clone_dir_mount_data(const struct config *config, const char *name, struct ph_error *error)
{
	char path[PATHS_SIZE];
	int result;

	data_path(config, name, path);
	if (mounts_is_wall(path))
		return 0;
	result = mounts_wall(path, error);
	return result < 0 ? result : 1;
}

int clone_dir_unmount_root(const struct config *config, const char *name, unsigned int number,
			   struct ph_error *error)
{
	static const char *const places[] = { "rootfs", "lower" };
	char path[PATHS_SIZE];
	int count = 0;

	for (size_t i = 0; i < ARRAY_LENGTH(places); i++) {
		int result;

		clone_dir_path(config, name, number, places[i], path);
		result = mounts_unmount(path, error);
		if (result < 0)
			return result;
		count += result;
	}
	return count;
}

int clone_dir_unmount_all(const struct config *config, const char *name, struct ph_error *error)
{
	char path[PATHS_SIZE];
	int count = 0, result;

	for (unsigned int number = 0; number < CLONE_DIR_ROOTS; number++) {
		result = clone_dir_unmount_root(config, name, number, error);
		if (result < 0)
			return result;
		count += result;
	}
	data_path(config, name, path);
	result = mounts_unmount_wall(path, error);
	return result < 0 ? result : count + result;
}

/* ---- whether it is there ---------------------------------------------------------------------- */

/* What holds the files of a root, by its method. */
static const char *main_part(const struct clone_root *root)
{
	static const char *const parts[CLONE_METHODS] = {
		[CLONE_OVERLAY] = "upper",
		[CLONE_SNAPSHOT] = CLONE_PART_SNAPSHOT,
		[CLONE_REFLINK] = "rootfs",
		[CLONE_COPY] = "rootfs",
	};

	return parts[root->method];
}

bool clone_dir_has_root(const struct clone_root *root, int dir)
{
	PH_AUTO_CLOSE int base = -1;
	struct stat status;
	int result = root->image[0] ? open_base(root->number, dir, &base, NULL) : -ENOENT;

	if (result == 0)
		result = tree_stat(base, main_part(root), &status);
	return result != -ENOENT; /* what cannot be looked at is not gone */
}

int clone_dir_break_root(const struct clone_root *root, int dir, struct ph_error *error)
{
	PH_AUTO_CLOSE int base = -1;
	int result = open_base(root->number, dir, &base, error);

	if (result < 0)
		return result;
	result = rename_new(base, main_part(root), base, CLONE_PART_PARTIAL);
	return result < 0 ? error_errno(error, result, main_part(root), NULL, "rename") : 0;
}

/* ---- removal -------------------------------------------------------------------------------- */

int clone_dir_remove_root(const struct config *config, const char *name, unsigned int number,
			  int dir, struct ph_error *error)
{
	static const char *const parts[] = { "rootfs", CLONE_PART_PARTIAL, CLONE_PART_SNAPSHOT,
					     "upper", "work", "lower" };
	int count = 0, result = clone_dir_unmount_root(config, name, number, error);
	char base[BELOW_SIZE];

	base_name(number, base);
	if (number) {
		if (result >= 0)
			result = tree_remove(dir, base, error);
		return result < 0 ? result : result == TREE_DONE;
	}
	for (size_t i = 0; i < ARRAY_LENGTH(parts) && result >= 0; i++) {
		result = tree_remove(dir, parts[i], error);
		count += result == TREE_DONE;
	}
	return result < 0 ? result : count > 0;
}

static bool has_number(const struct clone *clone, unsigned int number)
{
	const struct clone_root *const roots[] = { &clone->current, &clone->kept,
						   &clone->prepared };

	for (size_t i = 0; i < ARRAY_LENGTH(roots); i++)
		if (roots[i]->image[0] && roots[i]->number == number)
			return true;
	return false;
}

int clone_dir_sweep(const struct config *config, const struct clone *clone, int dir,
		    struct ph_error *error)
{
	int count = 0;

	for (unsigned int number = 0; number < CLONE_DIR_ROOTS; number++) {
		int result = has_number(clone, number) ?
				     0 :
				     clone_dir_remove_root(config, clone->name, number, dir, error);

		if (result < 0)
			return result;
		count += result;
	}
	return count > 0;
}
