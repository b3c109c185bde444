/*
 * The one door to a container's file tree. A container's root is hostile: every name below its root
 * directory may be a symlink, a FIFO, a device, a hard link or another thing a moment later. So a
 * tree is a directory descriptor, names are resolved once by openat2 and never again, and whatever
 * happens afterwards happens to the descriptor.
 *
 * Paths are relative to the root ("etc/hostname"; leading slashes are ignored, ".." is refused for
 * writing). Reading follows symlinks as the container would see them, inside its root; writing
 * follows none at all and crosses no mount. Nothing here knows containers or images.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "common/error.h"

/* Owner and permissions of what is made: host ids, that is already mapped ones. */
struct tree_owner {
	uid_t uid;
	gid_t gid;
	mode_t mode; /* permission bits only */
};

/*
 * Open a directory of the host as the root of a tree. The path is trusted up to its last component,
 * which must be a directory and not a symlink. The caller closes the descriptor.
 */
int tree_open_root(const char *path, int *ret_root, struct ph_error *error);

/*
 * Open a regular file for reading, following symlinks inside the root only. -ENOENT when it is not
 * there, -EINVAL when it is no regular file (a FIFO or device is never opened), -ELOOP for magic
 * links. The caller closes the descriptor.
 */
int tree_open_read(int root, const char *path, int *ret_fd, struct ph_error *error);

/*
 * Open a regular file with one link for reading, following no symlink at all: for places where
 * people who are not root put files. -ELOOP, -EMLINK and -EINVAL say what else it is.
 */
int tree_open_plain(int root, const char *path, int *ret_fd, struct ph_error *error);

/*
 * Read a regular file of at most maximum bytes; the text is terminated and the caller frees it.
 * ret_length may be NULL. -EFBIG when it is longer; otherwise as tree_open_read().
 */
int tree_read_small(int root, const char *path, size_t maximum, char **ret_text,
		    size_t *ret_length, struct ph_error *error);

/*
 * Open a directory the way writing does: no symlink, no mount crossed, nothing above the root. ""
 * is the root itself. The caller closes the descriptor.
 */
int tree_open_dir(int root, const char *path, int *ret_fd, struct ph_error *error);

/* Look at the thing a path names, following no symlink anywhere; quiet: fills no error. -ENOENT. */
int tree_stat(int root, const char *path, struct stat *ret_status);

/*
 * Replace a file by new contents, durably and at once: temporary file beside it, fchown, fsync,
 * rename. Refuses (and changes nothing) when the target is anything but a regular file with one
 * link: -ELOOP for a symlink, -EMLINK for hard links, -EEXIST for the rest. The directory must
 * exist. An equal file (contents, owner, mode) is left as it is: returns TREE_UNCHANGED.
 */
int tree_write_file(int root, const char *path, const void *data, size_t size,
		    const struct tree_owner *owner, struct ph_error *error);

enum tree_outcome {
	TREE_DONE = 0,
	TREE_UNCHANGED = 1,
};

/*
 * Make a directory and its missing parents; those that are made get the owner, those that exist
 * stay as they are. TREE_UNCHANGED when all were there.
 */
int tree_make_dirs(int root, const char *path, const struct tree_owner *owner,
		   struct ph_error *error);

/*
 * Remove a file or a whole directory without following anything: symlinks are removed, not what
 * they name. Survives concurrent renames and any depth. TREE_UNCHANGED when nothing was there,
 * -EBUSY when it meets a mount (which stays, with what is in it), -ENOTEMPTY when somebody keeps
 * adding. "" is refused.
 */
int tree_remove(int root, const char *path, struct ph_error *error);
