/*
 * Mends what health has found and what can be mended without loss: the one container of Docker's
 * whose fuse-overlayfs has died. Nothing else is touched, and nothing that works. Plain blocking code
 * for a worker's child.
 */
#pragma once

#include <stddef.h>

#include "common/error.h"

/* Named outcomes. */
enum {
	REPAIR_DONE = 0,
	REPAIR_NEEDLESS = 1, /* its storage is not dead (any more), or there is no such container */
};

/*
 * Restart the container with this id (64 hexadecimal digits), when its storage is dead: kill what
 * still runs of it, take its dead mount away, start it, look again. What was done goes into message.
 * Errors name the step; the container may then be stopped, but has lost nothing: its layer lies on
 * the data-root.
 */
int repair_fuse_daemon(const char *data_root, const char *container, char *message, size_t size,
		       struct ph_error *error);
