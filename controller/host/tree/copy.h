/*
 * Copy a whole tree into an empty directory with its ids shifted into a container's range: owners,
 * POSIX ACLs and the root id of file capabilities move by the base, setuid bits and capabilities
 * that a chown loses are set again, hard links and sparse files stay so. Neither tree is followed
 * out of. For hosts that cannot overlay an idmapped image.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct tree_copy {
	uint32_t id_base;    /* added to every id ... */
	uint32_t id_count;   /* ... which must be below this; 0: ids stay */
	bool reflink;        /* share the blocks of every file, fail when that is impossible */
};

/*
 * Copy what is in source (a root descriptor) into target (one too, empty). Device nodes, FIFOs and
 * sockets are left out. -EOVERFLOW names the file whose id lies outside the range, -ENOSPC the
 * target. What was copied so far stays: the caller removes it.
 */
int tree_copy(int source, int target, const struct tree_copy *options, struct ph_error *error);
