/*
 * The simulated world of one rollout: containers that take time, fail, hang, lose contact and get
 * ill by themselves; a virtual clock; and everything drawn from one seed. Knows what really became of
 * each container, which the engine is only told.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controller/rollout/engine.h"

enum spec_truth { SPEC_OLD, SPEC_HALF, SPEC_NEW };

/* An action that is being carried out, or was given up. */
struct work {
	bool is_going, will_fail;
	enum rollout_action_kind kind;
	uint64_t sequence;
	uint64_t end_ms; /* UINT64_MAX: it hangs */
};

struct box {
	enum spec_truth spec;
	bool is_ill, is_lost;      /* not ready; no contact */
	uint64_t change_ms;        /* when its health changes by itself; UINT64_MAX: never */
	struct work work, stale;   /* stale: its result comes although nobody waits any more */
	unsigned int starts[5];    /* by kind */
	uint64_t last_sequence;    /* of what was started */
	/* what the checks remember */
	bool is_touched, in_hand, has_passed, is_settled, has_failed;
	uint64_t well_since_ms;    /* verified and ready without a break */
	unsigned int state;        /* last seen in the record */
};

/* How bad this world is; shares of 1000. */
struct weather {
	unsigned int fails, hangs, checks_fail, reverts_fail, illness, lost, stale, crashes, operators;
};

struct world {
	uint64_t seed, random, now_ms;
	uint64_t watched_ms; /* since when the process of now has been looking */
	struct weather weather;
	struct box *boxes; /* owned */
	size_t count;
	Phoenix__RolloutRecord *record; /* owned; what the engine works on */
	uint64_t operator_ms;           /* when the operator does something; UINT64_MAX: nothing more */
	unsigned int commands;          /* that the operator may still give */
	bool may_revert_done;           /* an operator or on_failure has asked for it */
	uint64_t progress_ms;           /* when an item or the rollout last changed its state */
	uint64_t actions, transitions, crashes, steps;
	uint64_t hash; /* of all that happened, in order */
	bool is_traced;
	char violation[200]; /* the first; "" while all is well */
};

/* A random number below a bound; below 1000 against a share of a thousand. */
uint64_t world_random(struct world *world, uint64_t bound);
bool world_chance(struct world *world, unsigned int share);

/* Make a world and its record from a seed; scale bounds the number of containers. */
void world_init(struct world *world, uint64_t seed, size_t scale);
void world_fini(struct world *world);

/* Carry an action out: at once joined when it is going or has ended already. */
void world_start(struct world *world, const struct rollout_action *action);

/* The engine's eyes. */
enum rollout_health world_health(void *user, size_t item);

/* When the next thing happens by itself; UINT64_MAX: never. */
uint64_t world_next(const struct world *world);

/* What is due now: results go to the engine, health changes. Returns whether anything was. */
bool world_happen(struct world *world);

/* Write a line of the trace, and into the hash. */
void world_trace(struct world *world, const char *what, size_t item, uint64_t number);
