/*
 * One verb at a time per thing (a container, an image, the network), also across a restart of
 * phoenix-host whose children are still at work: locked files in RUN/lock.
 */
#pragma once

#include "common/config.h"
#include "common/error.h"

/*
 * Take the lock of a key ([a-z0-9.-]) and wait for it as long as it takes: the verb's own deadline
 * is the bound. The lock is held until the descriptor is closed, by the caller or at its end.
 */
int lock_take(const struct config *config, const char *key, int *ret_lock, struct ph_error *error);
