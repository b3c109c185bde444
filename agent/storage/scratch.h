/*
 * A scratch overlay on the real data-root: DATA_ROOT/phoenix-verify-XXXXXX/{lower,upper,work,merged},
 * mounted in a mount namespace of the calling process's own, so that its death takes the mount and
 * the FUSE daemon along. What an earlier, killed run left behind is removed at the next start.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

struct scratch {
	char path[256];
	char driver[32];
	int base;    /* O_PATH of the scratch directory */
	int lower, upper, merged;
	bool mounted; /* the overlay is there now */
	bool is_copy; /* vfs: nothing is mounted, merged is a full copy */
};

#define SCRATCH_PATIENCE_MS 60000 /* about ten verifies; for work that may take minutes */
#define SCRATCH_PATIENCE_SHORT_MS 10000 /* for a question that is soon given up */

#define SCRATCH_INIT ((struct scratch){ .base = -1, .lower = -1, .upper = -1, .merged = -1 })

/* Make the directories below data_root and a lower layer to work on. The process enters a mount
 * namespace of its own. Fails with path and remedy. */
int scratch_make(struct scratch *scratch, const char *data_root, struct ph_error *error);

/* Mount the driver's overlay as Docker does; for vfs, copy the lower layer in full. */
int scratch_mount(struct scratch *scratch, const char *driver, struct ph_error *error);

/* Unmount it and wait for its daemon to end, at most 5 s; -EBUSY when it does not. */
int scratch_unmount(struct scratch *scratch, struct ph_error *error);

/* Whether this process is in a user namespace: overlay wants userxattr there. */
bool scratch_in_user_namespace(void);

/* Keep others from working on a data-root; the lock goes with the returned descriptor. Waits for
 * another verify or probe, which may be that of a killed agent, at most patience_ms: -EBUSY then. */
int scratch_lock(const char *data_root, uint32_t patience_ms, struct ph_error *error);

/* Whether a fuse-overlayfs process works below a path: its command line names it. */
bool scratch_has_daemon(const char *path);

/* Remove everything. Allowed in any state. */
void scratch_fini(struct scratch *scratch);

/* Remove a directory tree below an open directory, without following anything. */
int scratch_remove_tree(int parent, const char *name);

/* Create a file with a text below an open directory. */
int scratch_write(int directory, const char *name, const char *text, mode_t mode);

/* Read a small file; the text is terminated. Returns its length or a negative errno. */
ssize_t scratch_read(int directory, const char *name, char *text, size_t size);
