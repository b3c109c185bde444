/* The moves that are allowed, and the one place where a record moves. */
#include "controller/rollout/engine_private.h"

static const char *const item_names[] = {
	"waiting",    "checking",  "checked",	"refused", "draining", "drained",   "converting",
	"converted",  "verifying", "soaking",	"done",	   "failed",   "reverting", "reverted",
	"revert-failed",
};

#define BIT(name) STATE_BIT(ITEM(name))
#define OR_BACK BIT(FAILED) | BIT(REVERTING)

static const uint32_t item_moves[] = {
	[ITEM(WAITING)] = BIT(CHECKING),
	[ITEM(CHECKING)] = BIT(CHECKED) | BIT(REFUSED),
	[ITEM(CHECKED)] = BIT(DRAINING) | BIT(CONVERTING),
	[ITEM(REFUSED)] = 0,
	[ITEM(DRAINING)] = BIT(DRAINED) | OR_BACK,
	[ITEM(DRAINED)] = BIT(CONVERTING) | OR_BACK,
	[ITEM(CONVERTING)] = BIT(CONVERTED) | OR_BACK,
	[ITEM(CONVERTED)] = BIT(VERIFYING) | OR_BACK,
	[ITEM(VERIFYING)] = BIT(SOAKING) | OR_BACK,
	[ITEM(SOAKING)] = BIT(DONE) | OR_BACK,
	[ITEM(DONE)] = BIT(REVERTING),
	[ITEM(FAILED)] = BIT(REVERTING),
	[ITEM(REVERTING)] = BIT(REVERTED) | BIT(REVERT_FAILED),
	[ITEM(REVERTED)] = 0,
	[ITEM(REVERT_FAILED)] = BIT(REVERTING),
};

const struct states_table rollout_item_states = {
	.name = "container of a rollout", .states = item_names, .count = 15, .allowed = item_moves
};

static const char *const names[] = { "preflight", "canary",    "waves", "gate",	  "paused",
				     "halting",	  "reverting", "done",	"halted", "reverted",
				     "revert-failed" };

#undef BIT
#define BIT(name) STATE_BIT(ROLLOUT(name))
#define OR_STOP BIT(HALTING) | BIT(REVERTING)

static const uint32_t moves[] = {
	[ROLLOUT(PREFLIGHT)] = BIT(CANARY) | BIT(PAUSED) | OR_STOP,
	[ROLLOUT(CANARY)] = BIT(WAVES) | BIT(GATE) | BIT(PAUSED) | BIT(DONE) | OR_STOP,
	[ROLLOUT(WAVES)] = BIT(WAVES) | BIT(GATE) | BIT(PAUSED) | BIT(DONE) | OR_STOP,
	[ROLLOUT(GATE)] = BIT(WAVES) | OR_STOP,
	[ROLLOUT(PAUSED)] = BIT(PREFLIGHT) | BIT(CANARY) | BIT(WAVES) | OR_STOP,
	[ROLLOUT(HALTING)] = BIT(HALTED) | BIT(REVERT_FAILED) | BIT(REVERTING),
	[ROLLOUT(REVERTING)] = BIT(REVERTED) | BIT(REVERT_FAILED) | BIT(HALTING),
	[ROLLOUT(DONE)] = BIT(REVERTING),
	[ROLLOUT(HALTED)] = BIT(REVERTING),
	[ROLLOUT(REVERTED)] = BIT(REVERTING),
	[ROLLOUT(REVERT_FAILED)] = BIT(REVERTING),
};

const struct states_table rollout_states = {
	.name = "rollout", .states = names, .count = 11, .allowed = moves
};

void rollout_move(Phoenix__RolloutRecord *record, unsigned int to, uint64_t now_ms)
{
	unsigned int state = record->state;

	states_move(&rollout_states, &state, to);
	record->state = state;
	record->progress_ms = now_ms;
	record->ended_ms = rollout_is_over(record) ? now_ms : 0;
}

void rollout_move_item(Phoenix__RolloutRecord *record, Phoenix__RolloutItem *item, unsigned int to,
		      uint64_t deadline_ms, uint64_t now_ms)
{
	unsigned int state = item->state;

	states_move(&rollout_item_states, &state, to);
	item->state = state;
	item->since_ms = record->progress_ms = now_ms;
	item->deadline_ms = deadline_ms ? now_ms + deadline_ms : 0;
	item->ready_ms = 0;
}

bool rollout_is_over(const Phoenix__RolloutRecord *record)
{
	return record->state == ROLLOUT(DONE) || record->state == ROLLOUT(HALTED) ||
	       record->state == ROLLOUT(REVERTED) || record->state == ROLLOUT(REVERT_FAILED);
}

bool rollout_is_untouched(const Phoenix__RolloutItem *item)
{
	return item->state <= ITEM(REFUSED);
}

bool rollout_is_settled(const Phoenix__RolloutItem *item)
{
	return rollout_is_untouched(item) || item->state == ITEM(DONE) ||
	       item->state == ITEM(REVERTED) || item->state == ITEM(REVERT_FAILED);
}

void rollout_fail_item(Phoenix__RolloutRecord *record, Phoenix__RolloutItem *item, uint64_t now_ms)
{
	if (item->state == ITEM(CHECKING)) {
		rollout_move_item(record, item, ITEM(REFUSED), 0, now_ms);
		return;
	}
	if (item->state == ITEM(REVERTING)) {
		rollout_move_item(record, item, ITEM(REVERT_FAILED), 0, now_ms);
		return;
	}
	rollout_move_item(record, item, MUTANT(LEFT_HALFWAY) && record->failures ? ITEM(REVERTING) : ITEM(FAILED),
		  0, now_ms);
	record->failures += !item->has_failed;
	item->has_failed = true;
}
