/*
 * What the engine decides, in the order in which it looks: an action whose deadline has passed; a
 * limit that has tripped; a container that was begun and goes on or back; the end of a wave; a new
 * container. At most one of these happens per call, so that each is one compare-and-set.
 */
#include "controller/rollout/engine_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "common/memory.h"
#include "common/message.h"
#include "controller/rollout/mutants.h"

#define NAMED_MAXIMUM 8 /* containers in a note */

/* ---- what state it is in ---- */

/* The rollout has its hands on it, or has left it in a state that is neither old nor new. */
static bool is_disturbed(const Phoenix__RolloutItem *item)
{
	return !rollout_is_settled(item) || item->state == ITEM(REVERT_FAILED);
}

/* Containers may still be begun, now or after an operator's word. */
static bool is_forward(const Phoenix__RolloutRecord *record)
{
	return record->state <= ROLLOUT(PAUSED);
}

/* ---- parts of a call of rollout_step() ---- */

struct call {
	Phoenix__RolloutRecord *record;
	const struct rollout_view *view;
	struct rollout_step *step;
	uint64_t wake_ms; /* the soonest of what has to be looked at again; 0: nothing */
};

static void wake_at(struct call *call, uint64_t when_ms)
{
	if (!call->wake_ms || when_ms < call->wake_ms)
		call->wake_ms = when_ms;
}

static int moved(struct call *call, size_t item)
{
	call->step->item = item;
	return ROLLOUT_MOVED;
}

static int act(struct call *call, size_t index, enum rollout_action_kind kind, unsigned int to)
{
	Phoenix__RolloutRecord *record = call->record;
	Phoenix__RolloutItem *item = record->items[index];
	uint64_t deadline_ms = record->strategy->step_deadline_ms;

	rollout_move_item(record, item, to, MUTANT(NO_DEADLINE) ? 0 : deadline_ms, call->view->now_ms);
	item->sequence = ++record->sequence;
	call->step->item = index;
	call->step->action = (struct rollout_action){ kind, index, item->sequence };
	return ROLLOUT_ACT;
}

static void set_failure(Phoenix__RolloutItem *item, int code, const char *why, const char *remedy)
{
	Phoenix__Failure failure = PHOENIX__FAILURE__INIT;

	failure.code = code;
	failure.why = (char *)why;
	failure.remedy = (char *)remedy;
	failure.where = item->name;
	MESSAGE_REPLACE(item->failure, &failure);
}

static int overdue(struct call *call)
{
	static const char remedy[] = "phoenixctl events tells what it was doing; "
				     "rollout.step_deadline gives it more time";
	Phoenix__RolloutRecord *record = call->record;

	for (size_t i = 0; i < record->n_items; i++) {
		Phoenix__RolloutItem *item = record->items[i];
		char why[160];

		if (!item->deadline_ms)
			continue;
		if (call->view->now_ms < item->deadline_ms) {
			wake_at(call, item->deadline_ms);
			continue;
		}
		snprintf(why, sizeof(why), item->state == ITEM(SOAKING) ?
				 "contact was lost while it was %s" :
				 "it was still %s when its deadline passed",
			 states_name(&rollout_item_states, item->state));
		set_failure(item, -ETIMEDOUT, why, remedy);
		rollout_fail_item(record, item, call->view->now_ms);
		return moved(call, i);
	}
	return 0;
}

/* ---- limits ---- */

static int stop(struct call *call, unsigned int to, Phoenix__RolloutRecord__Cause cause,
		const char *note)
{
	call->record->cause = cause;
	message_set_text(&call->record->note, note);
	rollout_move(call->record, to, call->view->now_ms);
	return moved(call, ROLLOUT_NO_ITEM);
}

static int trip(struct call *call, Phoenix__RolloutRecord__Cause cause, const char *note)
{
	bool is_revert = call->record->strategy->on_failure ==
			 PHOENIX__ROLLOUT_STRATEGY__ON_FAILURE__REVERT;

	return stop(call, is_revert ? ROLLOUT(REVERTING) : ROLLOUT(HALTING), cause, note);
}

static size_t count_in(const Phoenix__RolloutRecord *record, unsigned int state)
{
	size_t count = 0;

	for (size_t i = 0; i < record->n_items; i++)
		count += record->items[i]->state == state;
	return count;
}

static bool is_out_of_time(struct call *call)
{
	const Phoenix__RolloutRecord *record = call->record;
	uint64_t end_ms = record->progress_ms + record->strategy->progress_deadline_ms;

	if (record->state == ROLLOUT(GATE) || record->state == ROLLOUT(PAUSED) ||
	    record->state == ROLLOUT(HALTING) || MUTANT(NO_PROGRESS_DEADLINE))
		return false;
	wake_at(call, end_ms);
	return call->view->now_ms >= end_ms;
}

static int limits(struct call *call)
{
	Phoenix__RolloutRecord *record = call->record;
	char note[160];

	if (is_forward(record) && record->failures > record->failure_budget + MUTANT(BUDGET_OFF_BY_ONE)) {
		snprintf(note, sizeof(note), "%" PRIu32 " containers have failed and %" PRIu32
			 " may", record->failures, record->failure_budget);
		return trip(call, CAUSE(BUDGET), note);
	}
	if (is_forward(record) && count_in(record, ITEM(REVERT_FAILED)))
		return stop(call, ROLLOUT(HALTING), CAUSE(CANNOT_REVERT),
			    "a container could not be brought back: nothing else is touched");
	if (!is_out_of_time(call))
		return 0;
	if (record->state == ROLLOUT(REVERTING))
		return stop(call, ROLLOUT(HALTING), CAUSE(NO_PROGRESS),
			    "the revert did not get on before the progress deadline");
	return trip(call, CAUSE(NO_PROGRESS), "nothing moved on before the progress deadline");
}

/* ---- containers that were begun ---- */

static uint64_t soak_of(const Phoenix__RolloutRecord *record, const Phoenix__RolloutItem *item)
{
	return item->wave == 0 ? record->strategy->canary_soak_ms : record->strategy->soak_ms;
}

/*
 * Ready without a break for the soak's time. Contact that is lost is waited for, and the soak begins
 * anew then, as it does when nobody has watched for a while.
 */
static int soak(struct call *call, size_t index)
{
	Phoenix__RolloutRecord *record = call->record;
	Phoenix__RolloutItem *item = record->items[index];
	uint64_t now_ms = call->view->now_ms;
	enum rollout_health health = call->view->health(call->view->user, index);

	if (health == ROLLOUT_HEALTH_NOT_READY) {
		set_failure(item, -EBADE, "it was not ready any more while it was soaking",
			    "phoenixctl events --container tells what changed");
		rollout_fail_item(record, item, now_ms);
		return moved(call, index);
	}
	if (health == ROLLOUT_HEALTH_UNKNOWN) {
		if (item->deadline_ms)
			return 0;
		item->ready_ms = 0;
		item->deadline_ms = now_ms + record->strategy->step_deadline_ms;
		return moved(call, index);
	}
	if (!item->ready_ms || item->ready_ms < call->view->since_ms) {
		item->ready_ms = now_ms;
		item->deadline_ms = 0;
		return moved(call, index);
	}
	if (now_ms < item->ready_ms + soak_of(record, item) && !MUTANT(NO_SOAK)) {
		wake_at(call, item->ready_ms + soak_of(record, item));
		return 0;
	}
	rollout_move_item(record, item, ITEM(DONE), 0, now_ms);
	return moved(call, index);
}

/* A container that waits for its next step takes it, or goes back when nothing may go forward. */
static int go_on(struct call *call, size_t index)
{
	Phoenix__RolloutItem *item = call->record->items[index];
	bool is_on = is_forward(call->record);

	switch (item->state) {
	case ITEM(FAILED):
		return act(call, index, ROLLOUT_REVERT, ITEM(REVERTING));
	case ITEM(DRAINED):
		return is_on ? act(call, index, ROLLOUT_CONVERT, ITEM(CONVERTING)) :
			       act(call, index, ROLLOUT_REVERT, ITEM(REVERTING));
	case ITEM(CONVERTED):
		return is_on ? act(call, index, ROLLOUT_VERIFY, ITEM(VERIFYING)) :
			       act(call, index, ROLLOUT_REVERT, ITEM(REVERTING));
	case ITEM(SOAKING):
		if (MUTANT(SOAKING_FORGOTTEN) && !is_on)
			return 0;
		return is_on ? soak(call, index) :
			       act(call, index, ROLLOUT_REVERT, ITEM(REVERTING));
	default:
		return 0;
	}
}

static int begun(struct call *call)
{
	int r = 0;

	for (size_t i = 0; i < call->record->n_items && r == 0; i++)
		r = go_on(call, i);
	return r;
}

/* ---- new containers ---- */

/*
 * Whether one more may be touched: those in hand, those left half-way, and those that are not ready
 * for reasons of their own are together fewer than may be unavailable, this one not counted.
 */
static bool has_room(struct call *call, size_t index)
{
	const Phoenix__RolloutRecord *record = call->record;
	uint32_t unavailable = 0;

	for (size_t i = 0; i < record->n_items; i++) {
		if (i == index)
			continue;
		unavailable += is_disturbed(record->items[i]) ||
			       (call->view->health(call->view->user, i) != ROLLOUT_HEALTH_READY &&
				!MUTANT(BLIND_TO_HEALTH));
		if (unavailable >= record->max_unavailable + MUTANT(ONE_TOO_MANY))
			return false;
	}
	return true;
}

static int begin_check(struct call *call)
{
	Phoenix__RolloutRecord *record = call->record;

	for (size_t i = 0; i < record->n_items; i++)
		if (record->items[i]->state == ITEM(WAITING))
			return act(call, i, ROLLOUT_CHECK, ITEM(CHECKING));
	if (count_in(record, ITEM(CHECKING)))
		return 0;
	if (count_in(record, ITEM(REFUSED)))
		return stop(call, ROLLOUT(HALTING), CAUSE(PREFLIGHT_REFUSED),
			    "preflight has refused: no container was touched");
	rollout_move(record, ROLLOUT(CANARY), call->view->now_ms);
	return moved(call, ROLLOUT_NO_ITEM);
}

/* The wave is over: the next one, a gate before it, or the end. */
static int end_wave(struct call *call, bool was_empty)
{
	Phoenix__RolloutRecord *record = call->record;
	bool gate = record->wave == 0 ? record->strategy->gate_canary && !was_empty :
					record->strategy->gate_waves;

	if (record->wave == record->waves) {
		rollout_move(record, ROLLOUT(DONE), call->view->now_ms);
	} else if (gate) {
		record->resume_state = ROLLOUT(WAVES);
		rollout_move(record, ROLLOUT(GATE), call->view->now_ms);
	} else {
		record->wave++;
		rollout_move(record, ROLLOUT(WAVES), call->view->now_ms);
	}
	return moved(call, ROLLOUT_NO_ITEM);
}

static int begin_next(struct call *call)
{
	Phoenix__RolloutRecord *record = call->record;
	bool is_settled_wave = true, is_empty = true;
	bool drains = record->strategy->drain_ms > 0;

	for (size_t i = 0; i < record->n_items; i++) {
		const Phoenix__RolloutItem *item = record->items[i];

		if (item->wave != record->wave && !MUTANT(NO_WAVES))
			continue;
		is_empty = false;
		is_settled_wave &= rollout_is_settled(item) && item->state != ITEM(CHECKED);
		if (item->state == ITEM(CHECKED) && has_room(call, i))
			return act(call, i, drains ? ROLLOUT_DRAIN : ROLLOUT_CONVERT,
				   drains ? ITEM(DRAINING) : ITEM(CONVERTING));
	}
	return is_settled_wave ? end_wave(call, is_empty) : 0;
}

static bool is_to_revert(const Phoenix__RolloutRecord *record, const Phoenix__RolloutItem *item)
{
	return item->state == ITEM(DONE) || (item->state == ITEM(REVERT_FAILED) &&
					     item->sequence <= record->retry_sequence);
}

/* "web1, web2 and 3 more": those that could not be brought back, as far as a note has room. */
static void name_lost(const Phoenix__RolloutRecord *record, char *names, size_t size)
{
	size_t lost = count_in(record, ITEM(REVERT_FAILED)), named = 0, length = 0;

	for (size_t i = 0; i < record->n_items && named < NAMED_MAXIMUM; i++) {
		if (record->items[i]->state != ITEM(REVERT_FAILED))
			continue;
		length += (size_t)snprintf(names + length, size - length, "%s%s", named ? ", " : "",
					   record->items[i]->name);
		if (length >= size)
			return;
		named++;
	}
	if (named < lost)
		snprintf(names + length, size - length, " and %zu more", lost - named);
}

/* Nothing comes any more. Halted or reverted is only what has left nobody between old and new. */
static int end(struct call *call, unsigned int to)
{
	Phoenix__RolloutRecord *record = call->record;
	char names[NAMED_MAXIMUM * 80], note[sizeof(names) + 80];

	if (count_in(record, ITEM(REVERT_FAILED)) && !MUTANT(REVERT_GLOSSED_OVER)) {
		name_lost(record, names, sizeof(names));
		snprintf(note, sizeof(note), "not at the last good state: %s", names);
		message_set_text(&record->note, note);
		to = ROLLOUT(REVERT_FAILED);
	}
	rollout_move(record, to, call->view->now_ms);
	return moved(call, ROLLOUT_NO_ITEM);
}

static int revert_next(struct call *call)
{
	Phoenix__RolloutRecord *record = call->record;
	bool is_over = true;

	for (size_t i = 0; i < record->n_items; i++) {
		const Phoenix__RolloutItem *item = record->items[i];

		is_over &= rollout_is_settled(item) && !is_to_revert(record, item);
		if (is_to_revert(record, item) && (MUTANT(REVERT_AT_ONCE) || has_room(call, i)))
			return act(call, i, ROLLOUT_REVERT, ITEM(REVERTING));
	}
	return is_over ? end(call, ROLLOUT(REVERTED)) : 0;
}

static int halt_when_settled(struct call *call)
{
	for (size_t i = 0; i < call->record->n_items; i++)
		if (!rollout_is_settled(call->record->items[i]))
			return 0;
	return end(call, ROLLOUT(HALTED));
}

static int next(struct call *call)
{
	switch (call->record->state) {
	case ROLLOUT(PREFLIGHT):
		return begin_check(call);
	case ROLLOUT(CANARY):
	case ROLLOUT(WAVES):
		return begin_next(call);
	case ROLLOUT(HALTING):
		return halt_when_settled(call);
	case ROLLOUT(REVERTING):
		return revert_next(call);
	default:
		return 0;
	}
}

int rollout_step(Phoenix__RolloutRecord *record, const struct rollout_view *view,
		 struct rollout_step *ret_step)
{
	struct call call = { .record = record, .view = view, .step = ret_step };
	int r;

	*ret_step = (struct rollout_step){ .item = ROLLOUT_NO_ITEM };
	if (rollout_is_over(record))
		return ROLLOUT_ENDED;
	r = overdue(&call);
	if (r == 0)
		r = limits(&call);
	if (r == 0)
		r = begun(&call);
	if (r == 0)
		r = next(&call);
	if (r != 0)
		return r;
	ret_step->wake_ms = call.wake_ms;
	return ROLLOUT_WAIT;
}
