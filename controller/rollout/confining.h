/*
 * A rollout that puts others' containers under the AppArmor profile: which it is about, what has to hold
 * of one before it is touched, and whether it is still as the rollout has left it.
 */
#pragma once

#include "controller/fleet/selector.h"
#include "controller/rollout/rollouts_private.h"

/*
 * Make the items of a rollout over the adopted containers that are selected, but for those that are
 * confined and ready, and give the record its strategy (NULL: the default). 0; CHANGES_EMPTY: there is
 * nothing to do; -ENOENT: the selection is empty; -EINVAL: Phoenix has made one of them;
 * -EOPNOTSUPP: this host cannot confine.
 */
int confining_make(const struct registry *registry, const struct selector *selector,
		   const Phoenix__RolloutStrategy *strategy, Phoenix__RolloutRecord *record,
		   struct ph_error *error);

/* Preflight of one of them, by phoenix-host: hand_ended() follows. */
void confining_check(struct hand *hand);

/* Readiness of one of them: one that its owner has as he wants it is ready when it runs. */
enum rollout_health confining_health(const struct container *container);

/* The operation that an action is; NULL: nothing is to be done. */
const struct operation_type *confining_operation(const struct hand *hand);

/* Whether a container is as a rollout that is done has left it. */
bool confining_is_done(const struct container *container);
