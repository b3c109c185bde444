/*
 * A scratch overlay on the real data-root: DATA_ROOT/phoenix-verify-XXXXXX/{lower,upper,work,merged},
 * mounted in a mount namespace of the calling process's own, so that its death takes the mount and
 * the FUSE daemon along. What an earlier, killed run left behind is removed at the next start.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "common/error.h"

struct scratch {
	char path[256];
	char driver[32];
	int base;    /* O_PATH of the scratch directory */
	int lower, upper, merged;
	bool mounted; /* the overlay is there now */
};

#define SCRATCH_INIT ((struct scratch){ .base = -1, .lower = -1, .upper = -1, .merged = -1 })

/* Make the directories below data_root and a lower layer to work on. The process enters a mount
 * namespace of its own. Fails with path and remedy. */
int scratch_make(struct scratch *scratch, const char *data_root, struct ph_error *error);

/* Mount the driver's overlay as Docker does. */
int scratch_mount(struct scratch *scratch, const char *driver, struct ph_error *error);

/* Unmount it and wait for its daemon to end, at most 5 s; -EBUSY when it does not. */
int scratch_unmount(struct scratch *scratch, struct ph_error *error);

/* Remove everything. Allowed in any state. */
void scratch_fini(struct scratch *scratch);

/* Remove a directory tree below an open directory, without following anything. */
int scratch_remove_tree(int parent, const char *name);

/* Create a file with a text below an open directory. */
int scratch_write(int directory, const char *name, const char *text, mode_t mode);

/* Read a small file; the text is terminated. Returns its length or a negative errno. */
ssize_t scratch_read(int directory, const char *name, char *text, size_t size);
