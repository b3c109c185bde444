/*
 * Containers of a rollout that get another root file system: what has to hold before one is touched,
 * which operation does it, and whether the old one can still be gone back to.
 */
#pragma once

#include "controller/container/container.h"
#include "controller/container/operation.h"
#include "controller/rollout/rollouts_private.h"

/*
 * The rest of the preflight of one of them, by phoenix-host: the image is there, the clone method can be
 * had, and as far as can be known there is room. hand_ended() follows.
 */
void rebuilding_check(struct hand *hand);

/* Make the order of an action a rebuild; its spec is set. One that goes back wants what was kept, and nothing else. */
void rebuilding_order(const struct hand *hand, struct operation_order *order);

/*
 * Check that one that is done can go back to the root file system that it had: 0; -ESTALE when that was
 * discarded or replaced since; -EAGAIN when phoenix-host has not told yet.
 */
int rebuilding_check_back(const struct container *container, const Phoenix__RolloutRecord *record,
			  const Phoenix__RolloutItem *item, struct ph_error *error);
