/*
 * One loop takes a flow from state to state; everything from outside (a result, a cancel, a passed
 * deadline) is only noted in the flow and picked up by the loop. So steps that complete at once,
 * or from inside their own run, cost no stack, and there is one place where a step begins and ends.
 */
#include "common/flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/states.h"

static const char *const state_names[] = {
	[FLOW_IDLE] = "idle",
	[FLOW_RUNNING] = "running",
	[FLOW_WAITING] = "waiting",
	[FLOW_UNDOING] = "undoing",
	[FLOW_UNDO_WAITING] = "undo-waiting",
	[FLOW_DONE] = "done",
	[FLOW_FAILED] = "failed",
};

static const uint32_t allowed_moves[] = {
	[FLOW_IDLE] = STATE_BIT(FLOW_RUNNING) | STATE_BIT(FLOW_UNDOING),
	[FLOW_RUNNING] = STATE_BIT(FLOW_WAITING) | STATE_BIT(FLOW_UNDOING) | STATE_BIT(FLOW_DONE),
	[FLOW_WAITING] = STATE_BIT(FLOW_RUNNING),
	[FLOW_UNDOING] = STATE_BIT(FLOW_UNDO_WAITING) | STATE_BIT(FLOW_FAILED),
	[FLOW_UNDO_WAITING] = STATE_BIT(FLOW_UNDOING),
	[FLOW_DONE] = 0,
	[FLOW_FAILED] = 0,
};

static const struct states_table flow_states = {
	.name = "flow",
	.states = state_names,
	.count = ARRAY_LENGTH(state_names),
	.allowed = allowed_moves,
};

void flow_init(struct flow *flow, const struct flow_step *steps, size_t count,
	       const struct flow_observer *observer, void *subject)
{
	if (count > FLOW_STEPS_MAXIMUM)
		abort();
	*flow = (struct flow){
		.steps = steps,
		.count = count,
		.observer = observer,
		.subject = subject,
		.undo_on_failure = true,
	};
}

static uint64_t step_bit(const struct flow *flow)
{
	return UINT64_C(1) << flow->current;
}

static const struct flow_step *current_step(const struct flow *flow)
{
	return &flow->steps[flow->current];
}

static bool has_ended(const struct flow *flow)
{
	return flow->state == FLOW_DONE || flow->state == FLOW_FAILED;
}

static void read_clock(struct flow *flow)
{
	if (flow->clock)
		flow->now_ms = flow->clock();
}

/* A step begins to run or to be undone: its time starts and older results are void. */
static void start_timing(struct flow *flow)
{
	uint32_t deadline_ms = current_step(flow)->deadline_ms;

	read_clock(flow);
	flow->step_started_ms = flow->now_ms;
	flow->deadline_at_ms = deadline_ms ? flow->now_ms + deadline_ms : 0;
	flow->resumed = false;
}

/* Make an error complete that a step may have left empty, and name the step in it. */
static void complete_error(const struct flow *flow, int result, struct ph_error *error)
{
	const char *name = current_step(flow)->name;

	if (!error_is_set(error))
		error_errno(error, result, NULL, NULL, name);
	error->code = result;
	error_step(error, name);
}

static void begin_undo(struct flow *flow, const struct ph_error *error)
{
	flow->error = *error;
	states_move(&flow_states, &flow->state, FLOW_UNDOING);
	if (!flow->undo_on_failure)
		states_move(&flow_states, &flow->state, FLOW_FAILED);
	else if (flow->observer && flow->observer->undo_started)
		flow->observer->undo_started(flow->subject, flow, flow->current, error);
}

static void set_cancelled(const struct flow *flow, struct ph_error *error)
{
	error_set(error, -ECANCELED, NULL, NULL, "cancelled");
	error_step(error, current_step(flow)->name);
}

/* The current step has ended: go on with the next one, or turn round. */
static void step_ended(struct flow *flow, int outcome, struct ph_error *error)
{
	read_clock(flow);
	if (outcome < 0)
		complete_error(flow, outcome, error);
	else if (outcome == FLOW_UNCHANGED && !flow->undo_unchanged)
		flow->unchanged |= step_bit(flow);
	if (flow->observer && flow->observer->step_finished)
		flow->observer->step_finished(flow->subject, flow, flow->current, outcome,
					      flow->now_ms - flow->step_started_ms,
					      outcome < 0 ? error : NULL);
	if (outcome >= 0 && flow->cancelled) {
		set_cancelled(flow, error);
		outcome = -ECANCELED;
	}
	if (outcome < 0)
		begin_undo(flow, error);
	else
		flow->current++;
}

/* The current step has been undone, or could not be: the ones before it are undone either way. */
static void undo_ended(struct flow *flow, int outcome, struct ph_error *error)
{
	if (outcome < 0)
		complete_error(flow, outcome, error);
	if (flow->observer && flow->observer->step_undone)
		flow->observer->step_undone(flow->subject, flow, flow->current,
					    outcome < 0 ? outcome : 0, outcome < 0 ? error : NULL);
	if (flow->current == 0)
		states_move(&flow_states, &flow->state, FLOW_FAILED);
	else
		flow->current--;
}

static bool run_step(struct flow *flow)
{
	struct ph_error error = { 0 };
	int outcome;

	if (flow->current == flow->count) {
		states_move(&flow_states, &flow->state, FLOW_DONE);
		return false;
	}
	flow->unchanged &= ~step_bit(flow);
	start_timing(flow);
	if (flow->observer && flow->observer->step_started)
		flow->observer->step_started(flow->subject, flow, flow->current);
	outcome = current_step(flow)->run(flow->subject, &error);
	if (outcome == FLOW_WAIT)
		states_move(&flow_states, &flow->state, FLOW_WAITING);
	else
		step_ended(flow, outcome, &error);
	return true;
}

static bool undo_step(struct flow *flow)
{
	struct ph_error error = { 0 };
	int outcome;

	if (!current_step(flow)->undo || (flow->unchanged & step_bit(flow))) {
		if (flow->current == 0)
			states_move(&flow_states, &flow->state, FLOW_FAILED);
		else
			flow->current--;
		return true;
	}
	start_timing(flow);
	outcome = current_step(flow)->undo(flow->subject, &error);
	if (outcome == FLOW_WAIT)
		states_move(&flow_states, &flow->state, FLOW_UNDO_WAITING);
	else
		undo_ended(flow, outcome, &error);
	return true;
}

/* Pick up what ended the wait; false while nothing has. */
static bool end_wait(struct flow *flow)
{
	bool undoing = flow->state == FLOW_UNDO_WAITING;

	if (!flow->resumed && flow->cancelled && !undoing) {
		flow->resumed_outcome = -ECANCELED;
		set_cancelled(flow, &flow->resumed_error);
		flow->resumed = true;
	}
	if (!flow->resumed)
		return false;
	states_move(&flow_states, &flow->state, undoing ? FLOW_UNDOING : FLOW_RUNNING);
	if (undoing)
		undo_ended(flow, flow->resumed_outcome, &flow->resumed_error);
	else
		step_ended(flow, flow->resumed_outcome, &flow->resumed_error);
	return true;
}

/* Take the flow one move further; false when it waits or has ended. */
static bool advance(struct flow *flow)
{
	switch (flow->state) {
	case FLOW_RUNNING:
		return run_step(flow);
	case FLOW_UNDOING:
		return undo_step(flow);
	case FLOW_WAITING:
	case FLOW_UNDO_WAITING:
		return end_wait(flow);
	default:
		return false;
	}
}

/* The owner may free the flow in finished(), or prepare it anew: nothing is touched after it. */
static void run_loop(struct flow *flow)
{
	if (flow->keep_running)
		return;
	flow->keep_running = true;
	while (advance(flow))
		;
	flow->keep_running = false;
	if (has_ended(flow) && flow->observer && flow->observer->finished)
		flow->observer->finished(flow->subject, flow,
					 flow->state == FLOW_FAILED ? &flow->error : NULL);
}

void flow_start(struct flow *flow, size_t first, uint64_t now_ms)
{
	if (first > flow->count)
		abort();
	flow->current = first;
	flow->now_ms = now_ms;
	states_move(&flow_states, &flow->state, FLOW_RUNNING);
	run_loop(flow);
}

void flow_start_undo(struct flow *flow, size_t first, const struct ph_error *error, uint64_t now_ms)
{
	if (first >= flow->count)
		abort();
	flow->current = first;
	flow->now_ms = now_ms;
	flow->error = *error;
	states_move(&flow_states, &flow->state, FLOW_UNDOING);
	run_loop(flow);
}

void flow_resume(struct flow *flow, int outcome, const struct ph_error *error, uint64_t now_ms)
{
	bool waits = flow->state == FLOW_WAITING || flow->state == FLOW_UNDO_WAITING;

	if (outcome == FLOW_WAIT || (!waits && !flow->keep_running))
		return;
	flow->now_ms = now_ms;
	flow->resumed = true;
	flow->resumed_outcome = outcome;
	if (error)
		flow->resumed_error = *error;
	else
		error_clear(&flow->resumed_error);
	run_loop(flow);
}

void flow_cancel(struct flow *flow, uint64_t now_ms)
{
	if (flow->state != FLOW_RUNNING && flow->state != FLOW_WAITING)
		return;
	flow->now_ms = now_ms;
	flow->cancelled = true;
	run_loop(flow);
}

void flow_tick(struct flow *flow, uint64_t now_ms)
{
	struct ph_error error = { 0 };
	uint64_t deadline = flow_deadline(flow);

	if (deadline == 0 || now_ms < deadline)
		return;
	error_set(&error, -ETIMEDOUT, NULL, NULL, "not finished within %u ms",
		  current_step(flow)->deadline_ms);
	flow_resume(flow, -ETIMEDOUT, &error, now_ms);
}

uint64_t flow_deadline(const struct flow *flow)
{
	if (flow->state != FLOW_WAITING && flow->state != FLOW_UNDO_WAITING)
		return 0;
	return flow->deadline_at_ms;
}

int flow_find_step(const struct flow_step *steps, size_t count, const char *name, size_t *ret_index)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(steps[i].name, name) == 0) {
			*ret_index = i;
			return 0;
		}
	}
	return -ENOENT;
}
