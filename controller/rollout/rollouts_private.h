/* What the files that drive rollouts share. */
#pragma once

#include "controller/container/container.h"
#include "controller/container/operation.h"
#include "controller/rollout/engine.h"
#include "controller/rollout/records.h"
#include "controller/rollout/rollouts.h"

struct rollouts {
	struct registry *registry; /* borrowed */
	struct rollout *list;      /* owned; the newest first */
	struct lease lease;
	struct timer *timer;       /* owned: keeps the lease, waits for adoption */
	uint64_t offset_ms;        /* of the clock of rollouts to the monotonic one: lease_read_clock() */
	uint64_t refreshed_ms;     /* monotonic: when health was last asked for */
	bool is_refreshing;
};

/* An action in flight on one container, in this process. */
struct hand {
	struct rollout *rollout;
	size_t item;
	struct rollout_action action;
	uint64_t begun_ms; /* monotonic: when this process took the action up */
	bool is_busy;    /* an action is being carried out */
	bool is_waiting; /* it could not be begun yet: tried again */
	struct operation_watcher watcher;
	struct drain *drain;   /* owned; while draining */
	struct asking *asking; /* borrowed: a question of its preflight is out */
	bool is_converted;     /* its conversion was begun by this process ... */
	uint64_t verified_ms;  /* ... when its last verify was of that wall clock; 0: none */
};

/* A question of a preflight; outlives the hand that asked. */
struct asking {
	struct hand *hand; /* NULL: nobody wants to know any more */
};

struct rollout {
	struct rollout *next;
	struct rollouts *rollouts;
	Phoenix__RolloutRecord *record; /* owned; as it is in the store */
	uint64_t revision;
	struct hand *hands;     /* owned; one per item */
	struct timer *timer;    /* owned: when the engine wants to be asked again */
	struct rollout_watcher *watchers; /* borrowed list */
	uint64_t watched_ms;    /* since when health is looked at */
	bool is_driving, has_more;
};

/* ---- rollouts.c ---- */

/* The time of rollouts: the wall's when this process began, and from there on never back. */
uint64_t rollouts_now(const struct rollouts *rollouts);

/* Tell watchers and the journal of a transition. */
void rollout_tell(struct rollout *rollout, size_t item);

/* Whether this process may act. */
bool rollouts_may_act(const struct rollouts *rollouts);

/* Somebody else has written, or the disk refuses: go back to what is stored. */
void rollout_reload(struct rollout *rollout);

/* ---- drive.c ---- */

/* Ask the engine until there is nothing to do now. */
void rollout_drive(struct rollout *rollout);

/* Join what is in flight, after the record was read; then drive. */
void rollout_join(struct rollout *rollout);

/* Let go of every action without ending it. */
void rollout_let_go(struct rollout *rollout);

/* An action has ended; failure NULL on success. */
void hand_ended(struct hand *hand, const struct ph_error *failure);

/* The name of the operation that carries an action out. */
void rollout_operation_id(const Phoenix__RolloutRecord *record, uint64_t sequence, char id[64]);

/* ---- actions.c ---- */

/* Begin an action, or join it when it is going, or take its result when it has ended. */
void hand_begin(struct hand *hand, const struct rollout_action *action);

/* Try again what could not be begun. */
void hand_retry(struct hand *hand);

/* Let go of it. */
void hand_let_go(struct hand *hand);

/* Readiness of an item's container. */
enum rollout_health hand_health(const struct hand *hand);

/* ---- check.c ---- */

/* Preflight of one container: hand_ended() follows, perhaps before this returns. */
void hand_check(struct hand *hand);

/* Forget the answer to a question. */
void asking_forget(struct asking *asking);

/* ---- drain.c ---- */

/* Tell the event and wait: hand_ended() follows. */
void hand_drain(struct hand *hand);

/* Stop waiting. NULL is allowed. */
void drain_free(struct drain *drain);
