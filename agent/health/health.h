/*
 * How this container's Docker is right now: passive, cheap, bounded; writes nothing. Plain blocking
 * code for a worker's child. What may hang is asked by a child of its own (bounded.h); this file only
 * puts readers and judges together.
 */
#pragma once

#include "agent/health/clock_watch.h"
#include "common/error.h"
#include "proto/agent.pb-c.h"

#define HEALTH_DATA_ROOT "/var/lib/docker"

/*
 * Collect the conditions and the inputs of the last verify as they are now, of what the request
 * names. clock is what this agent has seen of the clocks. The reply is the caller's, freed with
 * message_free().
 */
int health_collect(const Phoenix__HealthRequest *request, const struct clock_watch *clock,
		   Phoenix__HealthReply **ret_reply, struct ph_error *error);

/*
 * What a verdict depends on, as pairs; none while dockerd does not answer: versions of docker,
 * containerd, runc and fuse-overlayfs, the programs themselves, driver and data-root that dockerd
 * uses, the file system below, hash of daemon.json, kernel. driver is the one that was chosen. The
 * same facts give the same pairs in the same order. The array and its pairs are the caller's heap
 * messages.
 */
int health_inputs(const char *driver, Phoenix__Pair ***ret_pairs, size_t *ret_count,
		  struct ph_error *error);
