/*
 * Idmapped mounts: a directory seen with its ids shifted into a range, without touching the files.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

/*
 * Clone the mount that dir lies on, beginning at dir, as a detached, private one without devices, in
 * which id n on disk appears as base + n for n < count. The caller closes it. The error says which
 * step the kernel or the file system refused.
 */
int idmap_clone_mount(int dir, uint32_t base, uint32_t count, bool read_only, int *ret_mount,
		      struct ph_error *error);
