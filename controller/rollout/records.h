/*
 * Rollouts in the store: rollout/ID is the record without its items, rollout/ID/item/NAME each of
 * them, so that a transition writes two small values whatever the size of the fleet. Everything is
 * written behind the fence of the lease.
 */
#pragma once

#include "controller/rollout/lease.h"

/* Named outcome: somebody else has written it, or the lease is not ours any more. */
enum { RECORDS_OVERTAKEN = 1 };

/*
 * Write a new rollout; it exists once its last part is written. 0 and its revision, RECORDS_OVERTAKEN
 * or a negative errno.
 */
int records_create(struct store *store, const struct lease *lease,
		   const Phoenix__RolloutRecord *record, uint64_t *ret_revision,
		   struct ph_error *error);

/* Write one transition: the record, and one item unless that is ROLLOUT_NO_ITEM. */
int records_save(struct store *store, const struct lease *lease,
		 const Phoenix__RolloutRecord *record, size_t item, uint64_t *revision,
		 struct ph_error *error);

/* Called for each rollout that is stored, the oldest first; takes the record over. */
typedef void (*records_found_fn)(void *user, Phoenix__RolloutRecord *record, uint64_t revision);

/* Read one rollout, or all for an empty id. Parts of one that was never completed are passed over. */
int records_load(struct store *store, const char *id, records_found_fn found, void *user,
		 struct ph_error *error);

/* Delete a rollout and its items. */
int records_delete(struct store *store, const struct lease *lease, const char *id,
		   struct ph_error *error);
