/*
 * A rollout as a pure state machine. Its whole state is a Phoenix__RolloutRecord, so that a process
 * which reads the record goes on exactly where another one was killed; clock, health and the results
 * of actions come in, transitions and actions go out. Knows no store, no container and no loop, and
 * decides nothing by chance.
 *
 *   PREFLIGHT -> CANARY -> WAVES -> DONE        GATE, PAUSED: in between, until an operator goes on
 *       any of these -> HALTING -> HALTED       what was begun goes back, nothing else is touched
 *       any of these -> REVERTING -> REVERTED   what is done goes back as well
 *       HALTING, REVERTING -> REVERT_FAILED     instead, when a container could not be brought back
 *       DONE, HALTED, REVERTED, REVERT_FAILED -> REVERTING   an operator wants it back later
 *
 *   WAITING -> CHECKING -> CHECKED | REFUSED                                   untouched so far
 *   CHECKED -> DRAINING -> DRAINED -> CONVERTING -> CONVERTED -> VERIFYING -> SOAKING -> DONE
 *   any of these -> FAILED -> REVERTING -> REVERTED | REVERT_FAILED; DONE -> REVERTING
 *
 * The one who drives it saves the record after every call that has changed it, before anything
 * else happens: one transition, one compare-and-set. An action is carried out after its transition
 * was saved. Its sequence number never comes twice for two actions, and after a crash the same
 * action is found again with rollout_in_flight(), so that it can be joined instead of repeated.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/states.h"
#include "proto/rollout.pb-c.h"

#define ROLLOUT_NO_ITEM SIZE_MAX

enum rollout_health {
	ROLLOUT_HEALTH_UNKNOWN, /* contact is lost: neither well nor dead */
	ROLLOUT_HEALTH_READY,
	ROLLOUT_HEALTH_NOT_READY,
};

enum rollout_action_kind {
	ROLLOUT_CHECK,   /* preflight of one container: looks, touches nothing */
	ROLLOUT_DRAIN,   /* tell who sends it work */
	ROLLOUT_CONVERT, /* make it as item->new says */
	ROLLOUT_VERIFY,
	ROLLOUT_REVERT,  /* end what runs on it, make it as item->old says, verify */
};

struct rollout_action {
	enum rollout_action_kind kind;
	size_t item;
	uint64_t sequence;
};

/* What the engine sees of the world. */
struct rollout_view {
	uint64_t now_ms;   /* of one clock that never goes back and goes on over restarts */
	uint64_t since_ms; /* from when on health has been watched: a soak does not count before */
	enum rollout_health (*health)(void *user, size_t item);
	void *user;
};

/* Named outcomes of rollout_step(). */
enum {
	ROLLOUT_MOVED = 1, /* one transition: save it, call again */
	ROLLOUT_ACT = 2,   /* one transition that asks for an action: save it, act, call again */
	ROLLOUT_WAIT = 3,  /* nothing to do until a result, a change of health, or wake_ms */
	ROLLOUT_ENDED = 4,
};

struct rollout_step {
	size_t item; /* that the transition changed, besides the record itself; ROLLOUT_NO_ITEM */
	struct rollout_action action; /* ROLLOUT_ACT */
	uint64_t wake_ms;             /* ROLLOUT_WAIT: call again then; 0: no need */
};

/* The moves that a rollout, and one container in it, may make. */
extern const struct states_table rollout_states;
extern const struct states_table rollout_item_states;

/*
 * Give each item its wave: canaries first, then as many as may be unavailable. With spread each
 * value of that label has its share of every wave.
 */
void rollout_plan_waves(Phoenix__RolloutRecord *record);

/*
 * Prepare a record whose id, strategy and items (name, old, new) are set: waves, limits, the first
 * state. -EINVAL with the reason when it cannot finish: nobody may be unavailable, or a deadline is
 * shorter than what has to fit into it.
 */
int rollout_begin(Phoenix__RolloutRecord *record, uint64_t now_ms, struct ph_error *error);

/* Check a strategy by itself, as rollout_begin() does. field names the key at fault; static. */
int rollout_check_strategy(const Phoenix__RolloutStrategy *strategy, const char **ret_field,
			   struct ph_error *error);

/* Make at most one transition. Returns one of the outcomes above. */
int rollout_step(Phoenix__RolloutRecord *record, const struct rollout_view *view,
		 struct rollout_step *ret_step);

/*
 * An action has ended; failure NULL on success. ROLLOUT_MOVED: save it. 0: it was not waited for,
 * because its deadline had passed or it had ended before, and nothing has changed.
 */
int rollout_finished(Phoenix__RolloutRecord *record, size_t item, uint64_t sequence,
		     const Phoenix__Failure *failure, uint64_t now_ms);

/* Carry out an operator's command. -EINVAL with the reason where it makes no sense. */
int rollout_command(Phoenix__RolloutRecord *record, Phoenix__RolloutCommandRequest__Command command,
		    uint64_t now_ms, struct ph_error *error);

/* Whether an item waits for an action's end, and which: what a restarted process joins. */
bool rollout_in_flight(const Phoenix__RolloutRecord *record, size_t item,
		       struct rollout_action *ret_action);

/* Whether nothing comes any more, unless an operator wants it back. */
bool rollout_is_over(const Phoenix__RolloutRecord *record);

/* Whether a container has not been touched by its rollout. */
bool rollout_is_untouched(const Phoenix__RolloutItem *item);

