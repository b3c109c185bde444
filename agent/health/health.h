/*
 * How this container's Docker is right now: passive, cheap, bounded. Plain blocking code for a
 * worker's child, because a statfs on a dead FUSE mount may hang; writes nothing.
 */
#pragma once

#include "common/error.h"
#include "proto/agent.pb-c.h"

/*
 * driver is the storage driver that was chosen for this container; "" or NULL when that is not known.
 *
 * Collect the conditions and the inputs of the last verify as they are now. The reply is the
 * caller's, freed with message_free().
 */
int health_collect(const char *driver, Phoenix__HealthReply **ret_reply, struct ph_error *error);

/*
 * What a verdict depends on, as pairs; none while dockerd does not answer: versions of docker, containerd, runc and fuse-overlayfs,
 * driver and data-root that dockerd uses, hash of daemon.json, kernel. The same facts give the same
 * pairs in the same order. The array and its pairs are the caller's heap messages.
 */
int health_inputs(Phoenix__Pair ***ret_pairs, size_t *ret_count, struct ph_error *error);
