/*
 * Flows: a long operation as a table of steps that can be read as a story. Steps run in order; when
 * one fails or passes its deadline, the steps done before it (and the failed one) are undone last
 * first. The runner is a loop and knows no I/O: a step that has to wait returns FLOW_WAIT and its
 * owner calls flow_resume() later. The current step's name is the progress that users see and what
 * a crash resumes from.
 *
 *   IDLE -> RUNNING <-> WAITING         RUNNING -> DONE
 *     \        |           |
 *      ---> UNDOING <-> UNDO_WAITING    UNDOING -> FAILED
 *
 * Single-threaded. The flow is embedded in its owner, which outlives it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

enum flow_outcome {
	FLOW_NEXT = 0,      /* the step is done and changed something */
	FLOW_WAIT = 1,      /* flow_resume() will be called */
	FLOW_UNCHANGED = 2, /* the step found nothing to do: it is not undone later */
};

/* Run one step, or its undo: a flow_outcome or a negative errno with the error filled. */
typedef int (*flow_step_fn)(void *subject, struct ph_error *error);

struct flow_step {
	const char *name; /* what users read: "start container" */
	flow_step_fn run;
	flow_step_fn undo;    /* NULL: nothing to undo; must be idempotent, may be called for a
				 step that failed half-way */
	uint32_t deadline_ms; /* 0: none; for each of run and undo */
};

enum flow_state {
	FLOW_IDLE,
	FLOW_RUNNING,
	FLOW_WAITING,
	FLOW_UNDOING,
	FLOW_UNDO_WAITING,
	FLOW_DONE,
	FLOW_FAILED,
};

struct flow;

struct flow_observer {
	/* A step begins; index is 0-based. Called before run: the place to record it. */
	void (*step_started)(void *subject, const struct flow *flow, size_t index);
	/* A step ended: outcome FLOW_NEXT, FLOW_UNCHANGED or a negative errno (then error is set). */
	void (*step_finished)(void *subject, const struct flow *flow, size_t index, int outcome,
			      uint64_t duration_ms, const struct ph_error *error);
	/* The step at index has failed or was cancelled, and is undone, then the ones before it. Called
	 * before the first undo: the place to record it. */
	void (*undo_started)(void *subject, const struct flow *flow, size_t index,
			     const struct ph_error *error);
	/* A step was undone; result 0, or a negative errno when the undo itself failed. */
	void (*step_undone)(void *subject, const struct flow *flow, size_t index, int result,
			    const struct ph_error *error);
	/* The flow is DONE or FAILED (error then holds the first failure). The owner may free the
	 * flow in here: the runner does not touch it afterwards. */
	void (*finished)(void *subject, const struct flow *flow, const struct ph_error *error);
};

struct flow {
	const struct flow_step *steps; /* borrowed */
	size_t count;
	const struct flow_observer *observer; /* borrowed */
	void *subject;                        /* borrowed */
	/* Optional, set between flow_init() and the start: reads the time at each step, so that
	 * durations are right when steps block. NULL: the time last passed in. */
	uint64_t (*clock)(void);
	unsigned int state; /* enum flow_state */
	size_t current;
	uint64_t now_ms;
	uint64_t step_started_ms;
	uint64_t deadline_at_ms; /* 0: none */
	uint64_t unchanged;      /* bit per step that reported FLOW_UNCHANGED */
	bool undo_on_failure;    /* true after flow_init(); false: FAILED without undoing */
	bool undo_unchanged;     /* resumed: a process before may have done what is found done */
	bool keep_running;       /* the runner's loop is on the stack */
	bool cancelled;
	bool resumed; /* the wait of the current step has ended with: */
	int resumed_outcome;
	struct ph_error resumed_error;
	struct ph_error error; /* the first failure */
};

#define FLOW_STEPS_MAXIMUM 64

/* Prepare a flow of count steps (at most FLOW_STEPS_MAXIMUM); nothing runs yet. */
void flow_init(struct flow *flow, const struct flow_step *steps, size_t count,
	       const struct flow_observer *observer, void *subject);

/*
 * Run from step first (0 for a new flow, the recorded step for a resumed one) at time now_ms. Once
 * per flow_init(). The flow may have ended, and finished() been called, when this returns.
 */
void flow_start(struct flow *flow, size_t first, uint64_t now_ms);

/* Start by undoing from step first down to 0: a crash happened while a flow was being undone. */
void flow_start_undo(struct flow *flow, size_t first, const struct ph_error *error,
		     uint64_t now_ms);

/*
 * End the wait of the current step (or undo) with an outcome, or a negative errno and error (NULL:
 * made from the errno). May be called from inside the step's own run. Does nothing when no step
 * waits, but a result that comes after its step's deadline must not be passed on: the next wait
 * would take it for its own.
 */
void flow_resume(struct flow *flow, int outcome, const struct ph_error *error, uint64_t now_ms);

/*
 * Fail the waiting step with -ECANCELED and undo. From inside a step: once that step has ended or
 * waits. Does nothing when the flow has not started, is being undone already, or has ended.
 */
void flow_cancel(struct flow *flow, uint64_t now_ms);

/* Fail the waiting step with -ETIMEDOUT when its deadline has passed. */
void flow_tick(struct flow *flow, uint64_t now_ms);

/* When flow_tick() has to be called at the latest; 0: no need. */
uint64_t flow_deadline(const struct flow *flow);

/* Find a step by the name it was recorded with; -ENOENT when this table has none such. */
int flow_find_step(const struct flow_step *steps, size_t count, const char *name,
		   size_t *ret_index);
