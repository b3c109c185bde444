/*
 * A clone's directory: its lock, where its roots lie in it, what is mounted there, and what is
 * removed. Knows what a root's parts are called, not how they are made; clone_record.h says which
 * roots there ought to be. All but clone_dir_open() and clone_dir_path() want the lock held.
 */
#pragma once

#include "common/config.h"
#include "common/error.h"
#include "controller/host/image/clone.h"
#include "controller/host/tree/paths.h"

/*
 * Numbers of roots: one for the current, the kept and the prepared one each, and 0 for that of
 * clone_create(), which is not given again.
 */
#define CLONE_DIR_ROOTS 4

/* Open and lock a clone's directory; closing unlocks. -EINVAL for a name that is none, -ENOENT. */
int clone_dir_open(const struct config *config, const char *name, int *ret_dir,
		   struct ph_error *error);

/* Write the path of a root's directory, or of something below it; "" when the name is none. */
void clone_dir_path(const struct config *config, const char *name, unsigned int number,
		    const char *below, char path[PATHS_SIZE]);

/* Open the directory of a root, made if missing. The caller closes it. */
int clone_dir_make_base(const struct clone *clone, unsigned int number, int dir, int *ret_base,
			struct ph_error *error);

/* Mount a root's filesystem; 1 when that was to be done, 0 when it was mounted or needs no mount. */
int clone_dir_mount_root(const struct config *config, const struct clone *clone,
			 const struct clone_root *root, int dir, struct ph_error *error);

/* Mount the data-root; 1 or 0 as above. */
int clone_dir_mount_data(const struct config *config, const char *name, struct ph_error *error);

/* Unmount a root; positive when something was mounted. What is busy is detached. */
int clone_dir_unmount_root(const struct config *config, const char *name, unsigned int number,
			   struct ph_error *error);

/* Unmount all roots and the data-root; positive when something was mounted. */
int clone_dir_unmount_all(const struct config *config, const char *name, struct ph_error *error);

/* Whether the part that holds a root's files is there. */
bool clone_dir_has_root(const struct clone_root *root, int dir);

/* Give that part another name, so that the root is not there any more. Needs no space on the disk. */
int clone_dir_break_root(const struct clone_root *root, int dir, struct ph_error *error);

/* Unmount a root and remove its parts; 1 when there were any, else 0. */
int clone_dir_remove_root(const struct config *config, const char *name, unsigned int number,
			  int dir, struct ph_error *error);

/* Remove the roots that clone does not have; 1 when there were any, else 0. */
int clone_dir_sweep(const struct config *config, const struct clone *clone, int dir,
		    struct ph_error *error);
