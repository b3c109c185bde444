/*
 * Copying one file's contents and attributes, by descriptors. Only copy.c includes it.
 */
#pragma once

#include <sys/stat.h>

#include "controller/host/tree/copy.h"

/* Copy the contents, holes stay holes; a negative errno. */
int copy_contents(int source, int target, const struct stat *status, bool reflink);

/*
 * Give target the owner (shifted), mode, extended attributes and times of source, in the order in
 * which none undoes another. -EOVERFLOW when an id lies outside the range.
 */
int copy_attributes(int source, int target, const struct stat *status,
		    const struct tree_copy *options);

/* Shift an id into the range; -EOVERFLOW when it has no place there. */
int copy_shift_id(const struct tree_copy *options, uint32_t id, uint32_t *ret_id);
