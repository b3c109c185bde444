/* What comes from outside: the end of an action, an operator's command, a new rollout. */
#include <errno.h>

#include "common/message.h"
#include "controller/rollout/engine_private.h"

bool rollout_in_flight(const Phoenix__RolloutRecord *record, size_t index,
		       struct rollout_action *ret_action)
{
	const Phoenix__RolloutItem *item = record->items[index];
	enum rollout_action_kind kind;

	switch (item->state) {
	case ITEM(CHECKING):
		kind = ROLLOUT_CHECK;
		break;
	case ITEM(DRAINING):
		kind = ROLLOUT_DRAIN;
		break;
	case ITEM(CONVERTING):
		kind = ROLLOUT_CONVERT;
		break;
	case ITEM(VERIFYING):
		kind = ROLLOUT_VERIFY;
		break;
	case ITEM(REVERTING):
		kind = ROLLOUT_REVERT;
		break;
	default:
		return false;
	}
	*ret_action = (struct rollout_action){ kind, index, item->sequence };
	return true;
}

/* Where a successful action leads. */
static unsigned int behind(enum rollout_action_kind kind)
{
	static const unsigned int states[] = {
		[ROLLOUT_CHECK] = ITEM(CHECKED),     [ROLLOUT_DRAIN] = ITEM(DRAINED),
		[ROLLOUT_CONVERT] = ITEM(CONVERTED), [ROLLOUT_VERIFY] = ITEM(SOAKING),
		[ROLLOUT_REVERT] = ITEM(REVERTED),
	};

	return states[kind];
}

int rollout_finished(Phoenix__RolloutRecord *record, size_t index, uint64_t sequence,
		     const Phoenix__Failure *failure, uint64_t now_ms)
{
	Phoenix__RolloutItem *item = record->items[index];
	struct rollout_action action;

	if (rollout_is_over(record) || !rollout_in_flight(record, index, &action) ||
	    (action.sequence != sequence && !MUTANT(STALE_RESULTS)))
		return 0;
	if (failure) {
		MESSAGE_REPLACE(item->failure, failure);
		rollout_fail_item(record, item, now_ms);
		return ROLLOUT_MOVED;
	}
	rollout_move_item(record, item, behind(action.kind),
		  action.kind == ROLLOUT_VERIFY ? record->strategy->step_deadline_ms : 0, now_ms);
	return ROLLOUT_MOVED;
}

static int refuse(const Phoenix__RolloutRecord *record, const char *what, const char *remedy,
		  struct ph_error *error)
{
	return error_set(error, -EINVAL, record->id, remedy, "a rollout that is %s cannot be %s",
			 states_name(&rollout_states, record->state), what);
}

static int resume(Phoenix__RolloutRecord *record, uint64_t now_ms, struct ph_error *error)
{
	if (record->state != ROLLOUT(PAUSED) && record->state != ROLLOUT(GATE))
		return refuse(record, "resumed", "one that was stopped is started anew: "
			      "phoenixctl rollout start", error);
	record->wave += record->state == ROLLOUT(GATE);
	rollout_move(record, record->resume_state, now_ms);
	message_set_text(&record->note, "");
	return 0;
}

int rollout_command(Phoenix__RolloutRecord *record, Phoenix__RolloutCommandRequest__Command command,
		    uint64_t now_ms, struct ph_error *error)
{
	switch (command) {
	case PHOENIX__ROLLOUT_COMMAND_REQUEST__COMMAND__PAUSE:
		if (!states_may_move(&rollout_states, record->state, ROLLOUT(PAUSED)) ||
		    record->state == ROLLOUT(PAUSED))
			return refuse(record, "paused", NULL, error);
		record->resume_state = record->state;
		rollout_move(record, ROLLOUT(PAUSED), now_ms);
		break;
	case PHOENIX__ROLLOUT_COMMAND_REQUEST__COMMAND__RESUME:
		return resume(record, now_ms, error);
	case PHOENIX__ROLLOUT_COMMAND_REQUEST__COMMAND__ABORT:
		if (rollout_is_over(record) || record->state == ROLLOUT(HALTING))
			return refuse(record, "aborted", NULL, error);
		record->cause = CAUSE(OPERATOR);
		rollout_move(record, ROLLOUT(HALTING), now_ms);
		break;
	case PHOENIX__ROLLOUT_COMMAND_REQUEST__COMMAND__REVERT:
		if (record->state == ROLLOUT(REVERTING))
			return refuse(record, "reverted", "it is being reverted already", error);
		record->cause = CAUSE(OPERATOR);
		record->retry_sequence = record->sequence;
		rollout_move(record, ROLLOUT(REVERTING), now_ms);
		break;
	default:
		return error_set(error, -EINVAL, "command", "use a newer Phoenix",
				 "there is no command %d", (int)command);
	}
	message_set_text(&record->note, "by an operator");
	return 0;
}

int rollout_begin(Phoenix__RolloutRecord *record, uint64_t now_ms, struct ph_error *error)
{
	const char *field;
	int r;

	if (!record->strategy || record->n_items == 0)
		return error_set(error, -EINVAL, NULL, "phoenixctl list --names shows what there is",
				 "the rollout has no container");
	r = rollout_check_strategy(record->strategy, &field, error);
	if (r < 0)
		return r;
	rollout_plan_waves(record);
	record->state = ROLLOUT(PREFLIGHT);
	record->created_ms = record->progress_ms = now_ms;
	return 0;
}
