/*
 * Flows: a story is a word per step for how it runs and how it is undone; the flow's doings are
 * written down as text and compared. The failure walk fails every step in every way.
 */
#include "common/flow.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/states.h"
#include "common/str.h"
#include "tests/support/aborts.h"
#include "tests/support/cmocka.h"

#define STEP_MS 5       /* how long a wait takes in these stories */
#define DEADLINE_MS 100 /* of every step */

/*
 * How a step (or its undo) behaves:
 *   n done              w waits, then done        r resumes inside its own run, then waits
 *   u unchanged         U waits, then unchanged   R resumes inside its own run with unchanged
 *   f fails             F waits, then fails       x fails and leaves the error empty
 *   d never answers     c cancels, then done      C cancels, then waits
 *   z cancels, then unchanged                     k is cancelled from outside while it waits
 *   D like n, but a bug resumes it as well
 */
struct story {
	struct flow flow;
	const char *runs;
	const char *undos;
	struct str log; /* "0 1 ~1 ~0 FAILED" */
	uint64_t now_ms;
	char waiting; /* behaviour of what waits now */
	int ends;
	struct ph_error end_error;
	uintptr_t stack_lowest, stack_highest;
};

static int behave(struct story *story, char behaviour, struct ph_error *error)
{
	char here;
	uintptr_t stack = (uintptr_t)&here;

	if (stack < story->stack_lowest || !story->stack_lowest)
		story->stack_lowest = stack;
	if (stack > story->stack_highest)
		story->stack_highest = stack;
	story->waiting = behaviour;
	switch (behaviour) {
	case 'n':
		return FLOW_NEXT;
	case 'D':
		flow_resume(&story->flow, -EIO, NULL, story->now_ms);
		return FLOW_NEXT;
	case 'u':
		return FLOW_UNCHANGED;
	case 'f':
		return error_set(error, -EACCES, "/srv", "Look there.", "denied");
	case 'x':
		return -ENOENT;
	case 'r':
		flow_resume(&story->flow, FLOW_NEXT, NULL, story->now_ms);
		return FLOW_WAIT;
	case 'R':
		flow_resume(&story->flow, FLOW_UNCHANGED, NULL, story->now_ms);
		return FLOW_WAIT;
	case 'c':
		flow_cancel(&story->flow, story->now_ms);
		return FLOW_NEXT;
	case 'z':
		flow_cancel(&story->flow, story->now_ms);
		return FLOW_UNCHANGED;
	case 'C':
		flow_cancel(&story->flow, story->now_ms);
		return FLOW_WAIT;
	default:
		return FLOW_WAIT;
	}
}

/* End the wait of a step in the way that its behaviour asks for. */
static void end_wait(struct story *story)
{
	struct ph_error error = { 0 };

	story->now_ms += STEP_MS;
	switch (story->waiting) {
	case 'w':
		flow_resume(&story->flow, FLOW_NEXT, NULL, story->now_ms);
		return;
	case 'U':
		flow_resume(&story->flow, FLOW_UNCHANGED, NULL, story->now_ms);
		return;
	case 'F':
		error_set(&error, -EACCES, "/srv", "Look there.", "denied");
		flow_resume(&story->flow, -EACCES, &error, story->now_ms);
		return;
	case 'k':
		flow_cancel(&story->flow, story->now_ms);
		return;
	case 'd':
		flow_tick(&story->flow, story->now_ms); /* too early */
		story->now_ms = flow_deadline(&story->flow);
		flow_tick(&story->flow, story->now_ms - 1);
		flow_tick(&story->flow, story->now_ms);
		return;
	default:
		fail_msg("'%c' does not wait", story->waiting);
	}
}

static int run_any(void *subject, struct ph_error *error)
{
	struct story *story = subject;

	str_appendf(&story->log, "%zu ", story->flow.current);
	return behave(story, story->runs[story->flow.current], error);
}

static int undo_any(void *subject, struct ph_error *error)
{
	struct story *story = subject;

	str_appendf(&story->log, "~%zu ", story->flow.current);
	return behave(story, story->undos[story->flow.current], error);
}

static const struct flow_step steps[] = {
	{ "zero", run_any, undo_any, DEADLINE_MS },
	{ "one", run_any, undo_any, DEADLINE_MS },
	{ "two", run_any, NULL, DEADLINE_MS },
	{ "three", run_any, undo_any, DEADLINE_MS },
};

static void step_undone(void *subject, const struct flow *flow, size_t index, int result,
			const struct ph_error *error)
{
	struct story *story = subject;

	assert_int_equal(index, flow->current);
	assert_int_equal(result < 0, error != NULL);
	if (error)
		str_appendf(&story->log, "(%s in %s) ", strerrorname_np(-result), error->step);
}

static void finished(void *subject, const struct flow *flow, const struct ph_error *error)
{
	struct story *story = subject;

	story->ends++;
	assert_int_equal(flow->state, error ? FLOW_FAILED : FLOW_DONE);
	if (error) {
		story->end_error = *error;
		str_appendf(&story->log, "%s in %s", strerrorname_np(-error->code), error->step);
	} else {
		str_append(&story->log, "done");
	}
}

static const struct flow_observer observer = { .step_undone = step_undone, .finished = finished };

static void story_init(struct story *story, const char *runs, const char *undos)
{
	*story = (struct story){ .runs = runs, .undos = undos, .now_ms = 1000 };
	flow_init(&story->flow, steps, ARRAY_LENGTH(steps), &observer, story);
}

static bool has_ended(const struct story *story)
{
	return story->flow.state == FLOW_DONE || story->flow.state == FLOW_FAILED;
}

/* Let waits end until the flow has ended. */
static void tell(struct story *story)
{
	for (size_t waits = 0; !has_ended(story); waits++) {
		assert_true(waits < 1000);
		end_wait(story);
	}
	assert_int_equal(story->ends, 1);
	assert_int_equal(flow_deadline(&story->flow), 0);
}

struct story_case {
	const char *name;
	const char *runs, *undos;
	size_t first;
	const char *log;
};

static const struct story_case story_cases[] = {
	{ "all at once", "nnnn", "nnnn", 0, "0 1 2 3 done" },
	{ "all wait", "wwww", "nnnn", 0, "0 1 2 3 done" },
	{ "all resume inside run", "rrrr", "nnnn", 0, "0 1 2 3 done" },
	{ "mixed", "nwru", "nnnn", 0, "0 1 2 3 done" },
	{ "nothing to do at all", "uURu", "nnnn", 0, "0 1 2 3 done" },
	{ "from a recorded step", "ffnn", "nnnn", 2, "2 3 done" },
	{ "from behind the last step", "ffff", "nnnn", 4, "done" },
	{ "a resumed flow undoes what was done before", "nnnf", "nnnn", 3,
	  "3 ~3 ~1 ~0 EACCES in three" },
	{ "unchanged steps are not undone", "nuuf", "nnnn", 0, "0 1 2 3 ~3 ~0 EACCES in three" },
	{ "unchanged after a wait, too", "nUnf", "nnnn", 0, "0 1 2 3 ~3 ~0 EACCES in three" },
	{ "unchanged inside run, too", "nRnf", "nnnn", 0, "0 1 2 3 ~3 ~0 EACCES in three" },
	{ "all unchanged but the failed one", "uuuf", "nnnn", 0, "0 1 2 3 ~3 EACCES in three" },
	{ "a step without undo", "nnf", "nnnn", 0, "0 1 2 ~1 ~0 EACCES in two" },
	{ "waiting undo", "nnnf", "wnwr", 0, "0 1 2 3 ~3 ~1 ~0 EACCES in three" },
	{ "undo fails at once", "nnnf", "nfnn", 0,
	  "0 1 2 3 ~3 ~1 (EACCES in one) ~0 EACCES in three" },
	{ "undo fails later", "nnnf", "nnnF", 0,
	  "0 1 2 3 ~3 (EACCES in three) ~1 ~0 EACCES in three" },
	{ "undo never answers", "nnnx", "ndnn", 0,
	  "0 1 2 3 ~3 ~1 (ETIMEDOUT in one) ~0 ENOENT in three" },
	{ "all undos fail, the first failure counts", "nnnd", "xfnF", 0,
	  "0 1 2 3 ~3 (EACCES in three) ~1 (EACCES in one) ~0 (ENOENT in zero) "
	  "ETIMEDOUT in three" },
	{ "undo with nothing to undo", "fnnn", "unnn", 0, "0 ~0 EACCES in zero" },
	{ "cancel inside a step", "nncn", "nnnn", 0, "0 1 2 ~1 ~0 ECANCELED in two" },
	{ "cancel inside a step that changed", "ncnn", "nnnn", 0, "0 1 ~1 ~0 ECANCELED in one" },
	{ "cancel inside an unchanged step", "nznn", "nnnn", 0, "0 1 ~0 ECANCELED in one" },
	{ "cancel inside a step that waits", "nCnn", "nnnn", 0, "0 1 ~1 ~0 ECANCELED in one" },
	{ "cancel inside the last step", "nnnc", "nnnn", 0, "0 1 2 3 ~3 ~1 ~0 ECANCELED in three" },
	{ "cancel while waiting", "nnnk", "nnnn", 0, "0 1 2 3 ~3 ~1 ~0 ECANCELED in three" },
	{ "cancel inside an undo changes nothing", "nnnf", "ncnn", 0,
	  "0 1 2 3 ~3 ~1 ~0 EACCES in three" },
	{ "a result nobody waited for", "DDnf", "nnnn", 0, "0 1 2 3 ~3 ~1 ~0 EACCES in three" },
	{ "such a result is not taken by the next wait", "Dwnn", "nnnn", 0, "0 1 2 3 done" },
};

static void stories_are_told(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(story_cases); i++) {
		const struct story_case *expected = &story_cases[i];
		struct story story;

		story_init(&story, expected->runs, expected->undos);
		flow_start(&story.flow, expected->first, story.now_ms);
		tell(&story);
		if (strcmp(str_text(&story.log), expected->log) != 0)
			fail_msg("%s:\n  %s, not\n  %s", expected->name, str_text(&story.log),
				 expected->log);
		str_fini(&story.log);
	}
}

/* Every step fails in every way, before, between and after steps and undos of every kind. */
static void failure_walk(void **state)
{
	static const struct {
		char kind;
		int code;
	} failures[] = { { 'f', -EACCES },    { 'F', -EACCES },    { 'x', -ENOENT },
			 { 'd', -ETIMEDOUT }, { 'k', -ECANCELED }, { 'C', -ECANCELED },
			 { 'c', -ECANCELED } };
	static const char successes[] = "nwr", undo_kinds[] = "nwrufFxd";

	for (size_t failing = 0; failing < ARRAY_LENGTH(steps); failing++)
		for (size_t f = 0; f < ARRAY_LENGTH(failures); f++)
			for (size_t s = 0; successes[s]; s++)
				for (size_t u = 0; undo_kinds[u]; u++) {
					char runs[8] = "", undos[8] = "", *place;
					struct story story;

					memset(runs, successes[s], ARRAY_LENGTH(steps));
					memset(undos, undo_kinds[u], ARRAY_LENGTH(steps));
					runs[failing] = failures[f].kind;
					story_init(&story, runs, undos);
					flow_start(&story.flow, 0, story.now_ms);
					tell(&story);
					assert_int_equal(story.flow.state, FLOW_FAILED);
					assert_int_equal(story.end_error.code, failures[f].code);
					assert_string_equal(story.end_error.step,
							    steps[failing].name);
					assert_true(story.end_error.why[0]);

					/* each step up to the failing one ran once and, if it can
					 * be, was undone once, in reverse order */
					place = story.log.data;
					for (size_t i = 0; i <= failing; i++) {
						assert_int_equal(strtoul(place, &place, 10), i);
						place++;
					}
					for (size_t i = failing + 1; i-- > 0;) {
						if (!steps[i].undo)
							continue;
						place = strchr(place, '~');
						assert_non_null(place);
						assert_int_equal(place[1] - '0', i);
						place++;
					}
					assert_null(strchr(place, '~'));
					str_fini(&story.log);
				}
}

static void empty_errors_are_completed(void **state)
{
	struct story story;

	story_init(&story, "x", "n");
	flow_start(&story.flow, 0, 1);
	assert_string_equal(story.end_error.why, "zero: No such file or directory");
	str_fini(&story.log);

	story_init(&story, "d", "n");
	flow_start(&story.flow, 0, 1);
	flow_resume(&story.flow, -EPIPE, NULL, 2);
	assert_string_equal(story.end_error.why, "zero: Broken pipe");
	str_fini(&story.log);
}

/* What a flow fails with is the outcome, whatever a step wrote into its error. */
static void the_outcome_decides_the_code(void **state)
{
	struct ph_error error = { 0 };
	struct story story;

	story_init(&story, "d", "n");
	flow_start(&story.flow, 0, 1);
	error_set(&error, -EIO, NULL, NULL, "bad block");
	flow_resume(&story.flow, -ENOSPC, &error, 2);
	assert_int_equal(story.end_error.code, -ENOSPC);
	assert_string_equal(story.end_error.why, "bad block");
	str_fini(&story.log);
}

/* Without an error the reason is made anew, not taken from an earlier wait. */
static void a_reason_is_not_used_twice(void **state)
{
	struct ph_error error = { 0 };
	struct story story;

	story_init(&story, "dd", "nn");
	flow_start(&story.flow, 0, 1);
	error_set(&error, -EIO, NULL, NULL, "only a warning");
	flow_resume(&story.flow, FLOW_NEXT, &error, 2);
	flow_resume(&story.flow, -EPIPE, NULL, 3);
	assert_string_equal(story.end_error.why, "one: Broken pipe");
	str_fini(&story.log);
}

static void the_inner_step_and_remedy_reach_the_owner(void **state)
{
	struct story story;
	struct ph_error error = { 0 };

	story_init(&story, "d", "n");
	flow_start(&story.flow, 0, 1);
	error_set(&error, -EIO, "/dev/sda", "Replace the disk.", "bad block");
	error_step(&error, "unpack");
	flow_resume(&story.flow, -EIO, &error, 2);
	assert_string_equal(story.end_error.step, "unpack");
	assert_string_equal(story.end_error.remedy, "Replace the disk.");
	str_fini(&story.log);
}

static void a_flow_may_be_left_as_it_failed(void **state)
{
	struct story story;

	story_init(&story, "nnf", "nnn");
	story.flow.undo_on_failure = false;
	flow_start(&story.flow, 0, 1);
	assert_string_equal(str_text(&story.log), "0 1 2 EACCES in two");
	assert_int_equal(story.flow.current, 2);
	str_fini(&story.log);
}

static void undoing_is_resumed_after_a_crash(void **state)
{
	struct ph_error first = { 0 };
	struct story story;

	error_set(&first, -ENOSPC, NULL, NULL, "disk full");
	error_step(&first, "three");
	story_init(&story, "ffff", "wrnf");
	flow_start_undo(&story.flow, 3, &first, story.now_ms);
	tell(&story);
	assert_string_equal(str_text(&story.log), "~3 (EACCES in three) ~1 ~0 ENOSPC in three");
	str_fini(&story.log);

	story_init(&story, "ffff", "n");
	flow_start_undo(&story.flow, 0, &first, story.now_ms);
	tell(&story);
	assert_string_equal(str_text(&story.log), "~0 ENOSPC in three");
	str_fini(&story.log);

	story_init(&story, "ffff", "d");
	flow_start_undo(&story.flow, 0, &first, 5000);
	assert_int_equal(flow_deadline(&story.flow), 5000 + DEADLINE_MS);
	flow_tick(&story.flow, UINT64_MAX);
	str_fini(&story.log);
}

static void steps_known_to_be_unchanged_are_not_undone_after_a_crash(void **state)
{
	struct story story;

	story_init(&story, "nnnf", "nnnn");
	story.flow.unchanged = 1u << 1 | 1u << 3; /* three runs again: its mark is void */
	flow_start(&story.flow, 3, 1);
	assert_string_equal(str_text(&story.log), "3 ~3 ~0 EACCES in three");
	str_fini(&story.log);
}

/* "Nothing to do" of a resumed flow may be the work of a process before. */
static void what_a_resumed_flow_finds_done_is_undone(void **state)
{
	struct story story;

	story_init(&story, "uuuf", "nnnn");
	story.flow.undo_unchanged = true;
	flow_start(&story.flow, 1, 1);
	assert_string_equal(str_text(&story.log), "1 2 3 ~3 ~1 ~0 EACCES in three");
	str_fini(&story.log);
}

static void deadlines_belong_to_the_waiting_step(void **state)
{
	struct story story;

	story_init(&story, "nd", "dn");
	assert_int_equal(flow_deadline(&story.flow), 0);
	flow_start(&story.flow, 0, 1000);
	assert_int_equal(flow_deadline(&story.flow), 1000 + DEADLINE_MS);
	flow_tick(&story.flow, 1000 + DEADLINE_MS - 1);
	assert_int_equal(story.flow.state, FLOW_WAITING);
	flow_tick(&story.flow, 1000 + DEADLINE_MS + 7);
	assert_int_equal(story.flow.state, FLOW_UNDO_WAITING);
	assert_int_equal(flow_deadline(&story.flow), 1000 + DEADLINE_MS + 7 + DEADLINE_MS);
	flow_cancel(&story.flow, 2000); /* already being undone */
	assert_int_equal(story.flow.state, FLOW_UNDO_WAITING);
	flow_resume(&story.flow, FLOW_WAIT, NULL, 2000); /* still waiting */
	assert_int_equal(story.flow.state, FLOW_UNDO_WAITING);
	flow_resume(&story.flow, FLOW_NEXT, NULL, 2000);
	assert_string_equal(str_text(&story.log), "0 1 ~1 ~0 ETIMEDOUT in one");
	str_fini(&story.log);
}

static void a_step_without_deadline_waits_for_ever(void **state)
{
	static const struct flow_step patient[] = { { "zero", run_any, undo_any, 0 } };
	struct story story;

	story_init(&story, "d", "n");
	flow_init(&story.flow, patient, 1, &observer, &story);
	flow_start(&story.flow, 0, 1);
	assert_int_equal(flow_deadline(&story.flow), 0);
	flow_tick(&story.flow, UINT64_MAX);
	assert_int_equal(story.flow.state, FLOW_WAITING);
	flow_resume(&story.flow, FLOW_NEXT, NULL, 2);
	assert_int_equal(story.flow.state, FLOW_DONE);
	str_fini(&story.log);
}

static void nothing_happens_before_the_start_and_after_the_end(void **state)
{
	struct story story;

	story_init(&story, "nnnn", "nnnn");
	flow_cancel(&story.flow, 1);
	flow_tick(&story.flow, 1);
	flow_resume(&story.flow, FLOW_NEXT, NULL, 1);
	assert_int_equal(story.flow.state, FLOW_IDLE);
	flow_start(&story.flow, 0, 2);
	flow_cancel(&story.flow, 3);
	flow_tick(&story.flow, UINT64_MAX);
	flow_resume(&story.flow, -EIO, NULL, 3);
	assert_int_equal(story.flow.state, FLOW_DONE);
	assert_int_equal(story.ends, 1);
	str_fini(&story.log);
}

static void an_empty_flow_is_done(void **state)
{
	struct story story;

	story_init(&story, "", "");
	flow_init(&story.flow, steps, 0, &observer, &story);
	flow_start(&story.flow, 0, 1);
	assert_string_equal(str_text(&story.log), "done");
	str_fini(&story.log);
}

static void nobody_has_to_observe(void **state)
{
	static const struct flow_observer deaf = { 0 };
	const struct flow_observer *observers[] = { NULL, &deaf };

	for (size_t i = 0; i < ARRAY_LENGTH(observers); i++) {
		struct story story;

		story_init(&story, "nnnf", "fnnn");
		story.flow.observer = observers[i];
		flow_start(&story.flow, 0, 1);
		assert_int_equal(story.flow.state, FLOW_FAILED);
		assert_int_equal(story.flow.error.code, -EACCES);
		str_fini(&story.log);
	}
}

/* --- what observers are told --- */

static void told_started(void *subject, const struct flow *flow, size_t index)
{
	struct story *story = subject;

	assert_int_equal(flow->state, FLOW_RUNNING);
	str_appendf(&story->log, "start%zu ", index);
}

static void told_finished(void *subject, const struct flow *flow, size_t index, int outcome,
			  uint64_t duration_ms, const struct ph_error *error)
{
	struct story *story = subject;

	assert_int_equal(outcome < 0, error != NULL);
	str_appendf(&story->log, "end%zu:%d after %u%s%s ", index, outcome,
		    (unsigned int)duration_ms, error ? " " : "", error ? error->step : "");
}

static void told_undone(void *subject, const struct flow *flow, size_t index, int result,
			const struct ph_error *error)
{
	struct story *story = subject;

	str_appendf(&story->log, "undone%zu:%d ", index, result);
}

static const struct flow_observer attentive = {
	.step_started = told_started,
	.step_finished = told_finished,
	.step_undone = told_undone,
	.finished = finished,
};

static void observers_see_each_step_begin_and_end(void **state)
{
	struct story story;

	story_init(&story, "nUwF", "wfnn");
	story.flow.observer = &attentive;
	flow_start(&story.flow, 0, story.now_ms);
	tell(&story);
	assert_string_equal(str_text(&story.log), "start0 0 end0:0 after 0 "
						  "start1 1 end1:2 after 5 "
						  "start2 2 end2:0 after 5 "
						  "start3 3 end3:-13 after 5 three "
						  "~3 undone3:0 ~0 undone0:0 EACCES in three");
	str_fini(&story.log);
}

/* A cancelled step's own outcome is told as it was. */
static void a_cancel_does_not_change_what_the_step_did(void **state)
{
	struct story story;

	story_init(&story, "c", "n");
	story.flow.observer = &attentive;
	flow_start(&story.flow, 0, story.now_ms);
	assert_string_equal(str_text(&story.log),
			    "start0 0 end0:0 after 0 ~0 undone0:0 ECANCELED in zero");
	str_fini(&story.log);
}

static void a_cancelled_wait_is_told_as_such(void **state)
{
	struct story story;

	story_init(&story, "k", "n");
	story.flow.observer = &attentive;
	flow_start(&story.flow, 0, story.now_ms);
	tell(&story);
	assert_string_equal(str_text(&story.log),
			    "start0 0 end0:-125 after 5 zero ~0 undone0:0 ECANCELED in zero");
	assert_string_equal(story.end_error.why, "cancelled");
	str_fini(&story.log);
}

static uint64_t ticking_clock(void)
{
	static uint64_t now_ms; /* a test's own time */

	return now_ms += 10;
}

static void a_clock_times_steps_that_block(void **state)
{
	struct story story;

	story_init(&story, "nn", "nn");
	flow_init(&story.flow, steps, 2, &attentive, &story);
	story.flow.clock = ticking_clock;
	flow_start(&story.flow, 0, 0);
	assert_string_equal(str_text(&story.log),
			    "start0 0 end0:0 after 10 start1 1 end1:0 after 10 done");
	assert_int_equal(story.flow.now_ms - story.flow.step_started_ms, 10);
	assert_int_equal(story.flow.now_ms, 40); /* read at each begin and each end */
	str_fini(&story.log);
}

/* --- the runner is a loop --- */

static void no_step_costs_stack(void **state)
{
	static const char kinds[] = "nrRucf";
	struct flow_step many[FLOW_STEPS_MAXIMUM];
	char runs[FLOW_STEPS_MAXIMUM + 1] = "", undos[FLOW_STEPS_MAXIMUM + 1] = "";

	for (size_t i = 0; i < FLOW_STEPS_MAXIMUM; i++)
		many[i] = (struct flow_step){ "many", run_any, undo_any, 0 };
	for (size_t round = 0; round < 180; round++) {
		struct story story = { .runs = runs, .undos = undos };

		memset(runs, kinds[round % 4], FLOW_STEPS_MAXIMUM);
		memset(undos, kinds[round % 2], FLOW_STEPS_MAXIMUM);
		if (round % 3)
			runs[FLOW_STEPS_MAXIMUM - 1] = kinds[4 + round % 2];
		flow_init(&story.flow, many, FLOW_STEPS_MAXIMUM, &observer, &story);
		flow_start(&story.flow, 0, 1);
		assert_int_equal(story.ends, 1);
		/* runs and undos are called from two places of one loop, never deeper */
		assert_true(story.stack_highest - story.stack_lowest < 8192);
		str_fini(&story.log);
	}
}

static void the_stack_is_the_same_after_ten_thousand_waits(void **state)
{
	struct story story = { .runs = "wwww", .undos = "nnnn" };

	for (size_t round = 0; round < 2500; round++) {
		flow_init(&story.flow, steps, ARRAY_LENGTH(steps), &observer, &story);
		flow_start(&story.flow, 0, 1);
		while (!has_ended(&story))
			end_wait(&story);
	}
	assert_int_equal(story.ends, 2500);
	assert_true(story.stack_highest - story.stack_lowest < 8192);
	str_fini(&story.log);
}

/* --- the owner frees in finished() --- */

static void free_story(void *subject, const struct flow *flow, const struct ph_error *error)
{
	struct story *story = subject;

	str_fini(&story->log);
	free(story);
}

static void the_owner_may_free_the_flow_at_its_end(void **state)
{
	static const struct flow_observer frees = { .finished = free_story };
	static const char *const endings[] = { "nnnn", "nnnw", "nnnf", "nnnF", "nnnd", "nnnk" };

	for (size_t i = 0; i < ARRAY_LENGTH(endings); i++) {
		struct story *story = ph_alloc(sizeof(*story));

		story_init(story, endings[i], "nnnn");
		story->flow.observer = &frees;
		flow_start(&story->flow, 0, story->now_ms);
		if (strchr("wFdk", endings[i][3]))
			end_wait(story);
	}
}

static void steps_are_found_by_name(void **state)
{
	size_t index = 4711;

	assert_int_equal(flow_find_step(steps, ARRAY_LENGTH(steps), "three", &index), 0);
	assert_int_equal(index, 3);
	assert_int_equal(flow_find_step(steps, ARRAY_LENGTH(steps), "four", &index), -ENOENT);
	assert_int_equal(flow_find_step(steps, ARRAY_LENGTH(steps), "", &index), -ENOENT);
	assert_int_equal(flow_find_step(steps, 3, "three", &index), -ENOENT);
	assert_int_equal(index, 3);
}

/* --- our own bugs --- */

static void start_twice(void)
{
	struct story story;

	story_init(&story, "nnnn", "nnnn");
	flow_start(&story.flow, 0, 1);
	flow_start(&story.flow, 0, 1);
}

static void too_many_steps(void)
{
	struct flow flow;

	fputs("too many", stderr);
	flow_init(&flow, steps, FLOW_STEPS_MAXIMUM + 1, NULL, NULL);
}

static void start_behind_the_end(void)
{
	struct story story;

	fputs("behind", stderr);
	story_init(&story, "nnnn", "nnnn");
	flow_start(&story.flow, 5, 1);
}

static void undo_behind_the_end(void)
{
	struct ph_error error = { 0 };
	struct story story;

	fputs("undo", stderr);
	story_init(&story, "nnnn", "nnnn");
	flow_start_undo(&story.flow, 4, &error, 1);
}

static void misuse_aborts(void **state)
{
	assert_true(aborts_saying(start_twice, "flow may not move from done to running"));
	assert_true(aborts_saying(too_many_steps, "too many"));
	assert_true(aborts_saying(start_behind_the_end, "behind"));
	assert_true(aborts_saying(undo_behind_the_end, "undo"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stories_are_told),
		cmocka_unit_test(failure_walk),
		cmocka_unit_test(empty_errors_are_completed),
		cmocka_unit_test(the_outcome_decides_the_code),
		cmocka_unit_test(a_reason_is_not_used_twice),
		cmocka_unit_test(the_inner_step_and_remedy_reach_the_owner),
		cmocka_unit_test(a_flow_may_be_left_as_it_failed),
		cmocka_unit_test(undoing_is_resumed_after_a_crash),
		cmocka_unit_test(steps_known_to_be_unchanged_are_not_undone_after_a_crash),
		cmocka_unit_test(what_a_resumed_flow_finds_done_is_undone),
		cmocka_unit_test(deadlines_belong_to_the_waiting_step),
		cmocka_unit_test(a_step_without_deadline_waits_for_ever),
		cmocka_unit_test(nothing_happens_before_the_start_and_after_the_end),
		cmocka_unit_test(an_empty_flow_is_done),
		cmocka_unit_test(nobody_has_to_observe),
		cmocka_unit_test(observers_see_each_step_begin_and_end),
		cmocka_unit_test(a_cancel_does_not_change_what_the_step_did),
		cmocka_unit_test(a_cancelled_wait_is_told_as_such),
		cmocka_unit_test(a_clock_times_steps_that_block),
		cmocka_unit_test(no_step_costs_stack),
		cmocka_unit_test(the_stack_is_the_same_after_ten_thousand_waits),
		cmocka_unit_test(the_owner_may_free_the_flow_at_its_end),
		cmocka_unit_test(steps_are_found_by_name),
		cmocka_unit_test(misuse_aborts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
