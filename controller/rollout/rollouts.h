/*
 * phoenixd's rollouts: those that are stored, the one or several in progress, and who watches them.
 * Drives the engine (engine.h) with the store, the containers and the loop: saves each transition
 * before anything else, carries actions out as operations named after their sequence number, and joins
 * them again after a crash.
 *
 * Only while the lease is held; a phoenixd that loses it lets go of everything and reads it anew when
 * it has the lease again. Loop thread only.
 */
#pragma once

#include "controller/container/registry.h"
#include "proto/rollout.pb-c.h"

#define ROLLOUTS_KEPT 20 /* of those that are over; older ones are deleted */

struct rollouts;
struct rollout;

/* A client that follows a rollout. Owned by the client, which unwatches before it goes. */
struct rollout_watcher {
	struct rollout_watcher *next;
	struct rollout *rollout; /* NULL: it is not followed any more */
	/* The record, and the items that have changed since. */
	void (*changed)(void *user, const Phoenix__RolloutStatus *status);
	/* Exactly once, when it is over or phoenixd goes away. */
	void (*ended)(void *user);
	void *user;
};

/* What a start is asked to do. */
struct rollouts_order {
	const Phoenix__Fleet *fleet; /* validated; NULL: the adopted ones are to be confined */
	const char *selector;
	bool push_agents;
	bool plan_only;
	const Phoenix__RolloutStrategy *strategy; /* checked, of a rollout without a fleet; NULL: the default */
};

/* Named outcome of rollouts_start(): everything that was selected is as the fleet says. */
enum { ROLLOUTS_NOTHING = 1 };

/* Read what is stored and go on with it once the registry has adopted its containers. */
int rollouts_open(struct registry *registry, struct rollouts **ret_rollouts,
		  struct ph_error *error);

/* Let go of everything without ending anything. NULL is allowed. */
void rollouts_close(struct rollouts *rollouts);

/*
 * Begin a rollout. 0 and its status, for the caller to free: with plan_only of one that was not begun.
 * ROLLOUTS_NOTHING; -EBUSY: another one has its hands on one of these containers; or why it is refused.
 */
int rollouts_start(struct rollouts *rollouts, const struct rollouts_order *order,
		   Phoenix__RolloutStatus **ret_status, struct ph_error *error);

/* Find one by its id, "" for the newest; NULL: there is none. */
struct rollout *rollouts_find(struct rollouts *rollouts, const char *id);

/* The one behind another in the list, the newest first; NULL for the first one. */
struct rollout *rollouts_next(struct rollouts *rollouts, const struct rollout *rollout);

/* Carry out an operator's command. */
int rollouts_command(struct rollout *rollout, Phoenix__RolloutCommandRequest__Command command,
		     struct ph_error *error);

/* The id of the rollout in progress that a container belongs to; NULL: none. */
const char *rollouts_holder(const struct rollouts *rollouts, const char *container);

/* Its record and items as they are shown, for the caller to free. */
Phoenix__RolloutStatus *rollout_status(const struct rollout *rollout, bool with_items);

/* Follow one, until it is over. */
void rollout_watch(struct rollout *rollout, struct rollout_watcher *watcher);

/* Stop following; nothing when it has ended. */
void rollout_unwatch(struct rollout_watcher *watcher);
