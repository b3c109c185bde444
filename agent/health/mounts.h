/*
 * The mounts of this container that matter to Docker, read from a mountinfo text. Pure. Touches no
 * mount: to look at one may take for ever.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define MOUNTS_MAXIMUM 1024      /* below one directory; more are not looked at */
#define MOUNTINFO_MAXIMUM (4 * 1024 * 1024)

struct mount {
	char point[256];  /* decoded; a longer one is left out */
	char type[32];    /* "overlay", "fuse.fuse-overlayfs" */
	bool is_readonly; /* the mount, or the file system below it */
	bool has_userxattr; /* of an overlay */
};

struct mounts {
	struct mount *items; /* owned */
	size_t count;
};

/*
 * Collect overlay and FUSE mounts below a directory (not the one on the directory itself), the last
 * one of those on one point.
 */
void mounts_below(const char *mountinfo, const char *directory, struct mounts *ret_mounts);

/* Find what a directory lies on: the topmost mount over it. False when the text tells none. */
bool mounts_of(const char *mountinfo, const char *directory, struct mount *ret_mount);

/* Whether it is served by a FUSE daemon. */
bool mount_is_fuse(const struct mount *mount);

/* Free the items. */
void mounts_fini(struct mounts *mounts);

#define PH_AUTO_MOUNTS __attribute__((cleanup(mounts_fini)))
