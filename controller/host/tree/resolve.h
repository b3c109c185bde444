/*
 * The room's own ground floor: openat2 and the two ways of resolving. Only the files of tree/
 * include it.
 */
#pragma once

#include <limits.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <sys/types.h>

/* As the container sees it: symlinks lead where they would after a chroot. */
#define TREE_RESOLVE_READ (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)

/* Nothing leads anywhere: neither a symlink, nor "..", nor a mount. */
#define TREE_RESOLVE_WRITE                                                                         \
	(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV)

/* openat2 with close-on-exec, again when a concurrent rename confused it; fd or negative errno. */
int tree_openat2(int root, const char *path, uint64_t flags, uint64_t resolve);

/* A place inside a tree, taken apart. */
struct tree_place {
	char parent[PATH_MAX]; /* "." when the name lies in the root */
	char leaf[NAME_MAX + 1];
};

/* The path without leading slashes; "." for the root. Borrowed from path. */
const char *tree_relative(const char *path);

/*
 * Split a path for writing. -EINVAL for "", "." and "..", for a ".." anywhere; -ENAMETOOLONG.
 */
int tree_place_parse(const char *path, struct tree_place *ret_place);

/* Open a regular file again for reading by its O_PATH descriptor; fd or negative errno. */
int tree_reopen(int path_fd);
