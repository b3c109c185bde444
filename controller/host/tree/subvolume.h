/*
 * Subvolumes of btrfs, by its ioctls: no program is run for them. A name is one component and is
 * looked up in an open directory, without following a symlink. Elsewhere than on btrfs there are
 * none, and what makes one says -EOPNOTSUPP.
 *
 * Whoever owns a directory may make subvolumes in it, a container's root too, may nest them and make
 * them read-only: what removes a container's files has to reckon with that.
 */
#pragma once

#include <stdbool.h>

/* Whether an open directory is the root of a subvolume. */
bool subvolume_is(int dir);

/* Make an empty one in parent, which is no O_PATH descriptor, as for all below; -EOPNOTSUPP. */
int subvolume_make(int parent, const char *name);

/*
 * Make a writable one in parent that shares everything with source, the root of a subvolume: it is
 * there as a whole or not at all. Subvolumes inside are left out. -EOPNOTSUPP when source is none,
 * -EXDEV on another file system.
 */
int subvolume_snapshot(int source, int parent, const char *name);

/* Let nobody change what is in it, root neither, or allow it again. Needs its owner, or root. */
int subvolume_set_read_only(int dir, bool read_only);

/*
 * Remove one with all that is in it; its space is freed a little later. -ENOTDIR when the name is no
 * subvolume, -ENOTEMPTY while there are others inside.
 */
int subvolume_remove(int parent, const char *name);
