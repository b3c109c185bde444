#include "tests/simulation/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ITEM(name) PHOENIX__ROLLOUT_ITEM__STATE__##name
#define ROLLOUT(name) PHOENIX__ROLLOUT_RECORD__STATE__##name

void check_violated(struct world *world, const char *format, ...)
{
	va_list arguments;

	if (world->violation[0])
		return;
	va_start(arguments, format);
	vsnprintf(world->violation, sizeof(world->violation), format, arguments);
	va_end(arguments);
}

static uint32_t failed(const struct world *world)
{
	uint32_t count = 0;

	for (size_t i = 0; i < world->count; i++)
		count += world->boxes[i].has_failed;
	return count;
}

/* Those in hand, and those that are unavailable without us. */
static void check_unavailable(struct world *world, size_t taken)
{
	uint32_t hands = 0, out = 0;

	for (size_t i = 0; i < world->count; i++) {
		hands += world->boxes[i].in_hand;
		out += world->boxes[i].in_hand || world_health(world, i) != ROLLOUT_HEALTH_READY;
	}
	if (hands > world->record->max_unavailable || out > world->record->max_unavailable)
		check_violated(world, "taking c%zu makes %u unavailable, %u of them in hand; %u may be",
			       taken, out, hands, world->record->max_unavailable);
}

static void check_order(struct world *world, size_t taken)
{
	uint32_t wave = world->record->items[taken]->wave;

	for (size_t i = 0; i < world->count; i++) {
		if (!world->boxes[i].has_passed)
			check_violated(world, "c%zu is touched before c%zu has passed preflight", taken, i);
		if (world->record->items[i]->wave < wave && !world->boxes[i].is_settled)
			check_violated(world, "c%zu of wave %u is touched while c%zu of an earlier one is not settled",
				       taken, wave, i);
	}
}

static void check_repeat(struct world *world, const struct rollout_action *action)
{
	const struct box *box = &world->boxes[action->item];

	/* An operator's revert may try again what could not be brought back. */
	if (box->starts[action->kind] && !(action->kind == ROLLOUT_REVERT && world->may_revert_done))
		check_violated(world, "c%zu is given action %d twice", action->item, action->kind);
	if (box->is_settled && action->kind != ROLLOUT_REVERT)
		check_violated(world, "c%zu is touched again after it was settled", action->item);
}

void check_start(struct world *world, const struct rollout_action *action)
{
	struct box *box = &world->boxes[action->item];
	bool is_new = !box->in_hand;

	world->actions++;
	check_repeat(world, action);
	if (action->kind == ROLLOUT_CHECK)
		return;
	if (action->kind == ROLLOUT_REVERT) {
		if (!box->is_touched)
			check_violated(world, "c%zu is reverted and was never touched", action->item);
		if (is_new && !world->may_revert_done)
			check_violated(world, "c%zu is reverted and nobody asked for it", action->item);
	} else if (failed(world) > world->record->failure_budget) {
		check_violated(world, "action %d on c%zu after the budget of %u has tripped",
			       action->kind, action->item, world->record->failure_budget);
	} else if (!box->is_touched) {
		check_order(world, action->item);
	}
	box->is_touched = box->in_hand = true;
	if (is_new)
		check_unavailable(world, action->item);
}

static void check_soak(struct world *world, size_t item)
{
	const Phoenix__RolloutStrategy *strategy = world->record->strategy;
	uint64_t soak = world->record->items[item]->wave ? strategy->soak_ms : strategy->canary_soak_ms;

	if (world_health(world, item) != ROLLOUT_HEALTH_READY)
		check_violated(world, "c%zu is done and not ready", item);
	if (world->now_ms - world->boxes[item].well_since_ms < soak)
		check_violated(world, "c%zu is done after %" PRIu64 " ms of %" PRIu64 " ms soak", item,
			       world->now_ms - world->boxes[item].well_since_ms, soak);
}

void check_transition(struct world *world, size_t item)
{
	unsigned int state;

	world->transitions++;
	if (item == ROLLOUT_NO_ITEM) {
		world->progress_ms = world->now_ms;
		world_trace(world, states_name(&rollout_states, world->record->state), item,
			    world->record->wave);
		return;
	}
	state = world->record->items[item]->state;
	if (state == world->boxes[item].state)
		return; /* its soak began anew */
	if (!states_may_move(&rollout_item_states, world->boxes[item].state, state))
		check_violated(world, "c%zu may not become %s", item,
			       states_name(&rollout_item_states, state));
	world->boxes[item].state = state;
	world->progress_ms = world->now_ms;
	world_trace(world, states_name(&rollout_item_states, state), item, 0);
	if (state == ITEM(SOAKING))
		world->boxes[item].well_since_ms = world->now_ms;
	if (state == ITEM(FAILED))
		world->boxes[item].has_failed = true;
	if (state == ITEM(DONE))
		check_soak(world, item);
	if (state == ITEM(DONE) || state == ITEM(REVERTED))
		world->boxes[item].in_hand = false;
	if (state == ITEM(DONE) || state == ITEM(REVERTED) || state == ITEM(REVERT_FAILED))
		world->boxes[item].is_settled = true;
}

void check_wait(struct world *world, uint64_t wake_ms)
{
	const Phoenix__RolloutRecord *record = world->record;
	bool is_held = record->state == ROLLOUT(PAUSED) || record->state == ROLLOUT(GATE);

	if (wake_ms && wake_ms <= world->now_ms)
		check_violated(world, "the engine waits for a time that has passed");
	if (!is_held && record->state != ROLLOUT(HALTING) &&
	    world->now_ms >= world->progress_ms + record->strategy->progress_deadline_ms)
		check_violated(world, "the progress deadline has passed and nothing was done about it");
	for (size_t i = 0; i < world->count; i++) {
		const Phoenix__RolloutItem *item = record->items[i];
		struct rollout_action action;

		if (rollout_in_flight(record, i, &action) &&
		    world->now_ms >= item->since_ms + record->strategy->step_deadline_ms)
			check_violated(world, "c%zu is %s beyond its deadline", i,
				       states_name(&rollout_item_states, item->state));
	}
}

static void check_box(struct world *world, size_t index)
{
	const struct box *box = &world->boxes[index];
	unsigned int state = world->record->items[index]->state;
	bool is_right = box->spec == SPEC_OLD;

	if (state == ITEM(DONE))
		is_right = box->spec == SPEC_NEW;
	else if (state == ITEM(REVERT_FAILED))
		is_right = true; /* told to the operator as what it is */
	else if (state != ITEM(REVERTED))
		is_right = is_right && !box->is_touched;
	if (!is_right)
		check_violated(world, "c%zu is left half-way: %s", index,
			       states_name(&rollout_item_states, state));
	if (box->work.is_going && box->work.kind != ROLLOUT_CHECK && state != ITEM(REVERT_FAILED))
		check_violated(world, "c%zu is %s and still worked on", index,
			       states_name(&rollout_item_states, state));
}

/* Whether somebody was left between old and new is the first thing that an operator has to be told. */
static void check_told(struct world *world)
{
	const Phoenix__RolloutRecord *record = world->record;
	bool is_told = record->state == ROLLOUT(REVERT_FAILED);
	size_t lost = 0;

	for (size_t i = 0; i < world->count; i++) {
		if (record->items[i]->state != ITEM(REVERT_FAILED))
			continue;
		if (!lost++ && is_told && !strstr(record->note, record->items[i]->name))
			check_violated(world, "the note '%s' does not name c%zu", record->note, i);
	}
	if (is_told != (lost > 0))
		check_violated(world, "the rollout has ended as %s with %zu containers not brought back",
			       states_name(&rollout_states, record->state), lost);
}

void check_end(struct world *world)
{
	const Phoenix__RolloutRecord *record = world->record;

	check_told(world);
	for (size_t i = 0; i < world->count; i++) {
		check_box(world, i);
		if (record->state == ROLLOUT(DONE) && rollout_is_untouched(record->items[i]))
			check_violated(world, "the rollout is done and c%zu was never touched", i);
		if (record->state == ROLLOUT(REVERTED) &&
		    record->items[i]->state == ITEM(DONE))
			check_violated(world, "the rollout is reverted and c%zu is not", i);
	}
	if (record->state == ROLLOUT(DONE) && failed(world) > record->failure_budget)
		check_violated(world, "the rollout is done with more failures than may be");
}
