/*
 * The rollout engine, case by case: what it refuses to begin, how it counts out waves, the way of one
 * container, and what each command does in each state. What may never happen, whatever comes, is the
 * simulation's business (tests/simulation).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/message.h"
#include "common/str.h"
#include "controller/rollout/engine.h"
#include "tests/support/cmocka.h"

#define ITEM(name) PHOENIX__ROLLOUT_ITEM__STATE__##name
#define ROLLOUT(name) PHOENIX__ROLLOUT_RECORD__STATE__##name
#define COMMAND(name) PHOENIX__ROLLOUT_COMMAND_REQUEST__COMMAND__##name

#define ITEMS 12

/* ---- making records ---- */

static Phoenix__RolloutStrategy strategy_default(void)
{
	Phoenix__RolloutStrategy strategy = PHOENIX__ROLLOUT_STRATEGY__INIT;

	strategy.step_deadline_ms = 60000;
	strategy.progress_deadline_ms = 120000;
	return strategy;
}

static Phoenix__RolloutRecord *record_new(Phoenix__RolloutStrategy *strategy, size_t count,
					  const char *const *zones)
{
	Phoenix__RolloutRecord record = PHOENIX__ROLLOUT_RECORD__INIT;
	Phoenix__RolloutItem items[ITEMS], *pointers[ITEMS];
	Phoenix__ContainerSpec specs[ITEMS];
	Phoenix__Pair labels[ITEMS], *label_pointers[ITEMS];
	char names[ITEMS][16];

	for (size_t i = 0; i < count; i++) {
		snprintf(names[i], sizeof(names[i]), "c%02u", (unsigned int)(i % 100));
		phoenix__pair__init(&labels[i]);
		labels[i].key = (char *)"zone";
		labels[i].value = (char *)(zones ? zones[i] : "a");
		label_pointers[i] = &labels[i];
		phoenix__container_spec__init(&specs[i]);
		specs[i].n_labels = 1;
		specs[i].labels = &label_pointers[i];
		phoenix__rollout_item__init(&items[i]);
		items[i].name = names[i];
		items[i].new_ = &specs[i];
		pointers[i] = &items[i];
	}
	record.id = (char *)"1";
	record.strategy = strategy;
	record.n_items = count;
	record.items = pointers;
	return MESSAGE_COPY(&record);
}

/* ---- what is refused ---- */

static void test_strategies_that_cannot_finish(void **state)
{
	static Phoenix__RolloutAmount none = PHOENIX__ROLLOUT_AMOUNT__INIT;
	static Phoenix__RolloutAmount much = PHOENIX__ROLLOUT_AMOUNT__INIT;
	static const struct {
		const char *name;
		Phoenix__RolloutAmount *unavailable, *canary;
		uint64_t soak, drain, step, progress;
		const char *field; /* NULL: good */
	} cases[] = {
		{ "the defaults", NULL, NULL, 0, 0, 60000, 120000, NULL },
		{ "nobody may be out", &none, NULL, 0, 0, 60000, 120000, "rollout.max_unavailable" },
		{ "more than all", &much, NULL, 0, 0, 60000, 120000, "rollout.max_unavailable" },
		{ "more canaries than all", NULL, &much, 0, 0, 60000, 120000, "rollout.canary" },
		{ "no canary", NULL, &none, 0, 0, 60000, 120000, NULL },
		{ "no step deadline", NULL, NULL, 0, 0, 0, 120000, "rollout.step_deadline" },
		{ "no time for a step", NULL, NULL, 0, 0, 60000, 60000, "rollout.progress_deadline" },
		{ "no time for a soak", NULL, NULL, 120000, 0, 60000, 120000,
		  "rollout.progress_deadline" },
		{ "no time for a drain", NULL, NULL, 0, 60000, 60000, 120000, "rollout.drain" },
		{ "for ever", NULL, NULL, 0, 0, 60000, UINT64_MAX, "rollout.progress_deadline" },
	};

	much.percent = 101;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		Phoenix__RolloutStrategy strategy = strategy_default();
		const char *field = NULL;
		struct ph_error error;
		int r;

		strategy.max_unavailable = cases[i].unavailable;
		strategy.canary = cases[i].canary;
		strategy.soak_ms = cases[i].soak;
		strategy.drain_ms = cases[i].drain;
		strategy.step_deadline_ms = cases[i].step;
		strategy.progress_deadline_ms = cases[i].progress;
		r = rollout_check_strategy(&strategy, &field, &error);
		if ((r == 0) != !cases[i].field || (r < 0 && !text_equal(field, cases[i].field)))
			fail_msg("%s: %d, %s", cases[i].name, r, field ? field : "no field");
	}
}

static void test_an_empty_rollout_is_refused(void **state)
{
	Phoenix__RolloutStrategy strategy = strategy_default();
	Phoenix__RolloutRecord *record = record_new(&strategy, 0, NULL);
	struct ph_error error;

	assert_int_equal(rollout_begin(record, 1, &error), -EINVAL);
	assert_non_null(strstr(error.why, "no container"));
	message_free(record);
}

/* ---- waves ---- */

static void test_waves(void **state)
{
	static const char *const zones[] = { "a", "a", "a", "a", "a", "a", "b", "b", "b" };
	static const struct {
		const char *name;
		size_t total;
		uint32_t canary, canary_percent, unavailable, percent;
		const char *spread;
		uint32_t waves[9];
	} cases[] = {
		{ "one by one", 3, 1, 0, 1, 0, "", { 0, 1, 2 } },
		{ "no canary", 3, 0, 0, 1, 0, "", { 1, 2, 3 } },
		{ "all canaries", 3, 9, 0, 1, 0, "", { 0, 0, 0 } },
		{ "waves of two", 6, 1, 0, 2, 0, "", { 0, 1, 1, 2, 2, 3 } },
		{ "a third, rounded down", 8, 0, 13, 0, 33, "", { 0, 1, 1, 2, 2, 3, 3, 4 } },
		{ "a share is at least one", 3, 0, 1, 0, 1, "", { 0, 1, 2 } },
		{ "each zone has its share", 9, 0, 0, 3, 0, "zone", { 1, 1, 2, 2, 3, 3, 1, 2, 3 } },
		{ "an unknown label changes nothing", 4, 1, 0, 2, 0, "rack", { 0, 1, 1, 2 } },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		Phoenix__RolloutAmount canary = PHOENIX__ROLLOUT_AMOUNT__INIT;
		Phoenix__RolloutAmount unavailable = PHOENIX__ROLLOUT_AMOUNT__INIT;
		Phoenix__RolloutStrategy strategy = strategy_default();
		Phoenix__RolloutRecord *record;
		struct ph_error error;

		canary.count = cases[i].canary;
		canary.percent = cases[i].canary_percent;
		unavailable.count = cases[i].unavailable;
		unavailable.percent = cases[i].percent;
		strategy.canary = &canary;
		strategy.max_unavailable = &unavailable;
		strategy.spread = (char *)cases[i].spread;
		record = record_new(&strategy, cases[i].total, zones);
		assert_int_equal(rollout_begin(record, 1, &error), 0);
		for (size_t j = 0; j < cases[i].total; j++)
			if (record->items[j]->wave != cases[i].waves[j])
				fail_msg("%s: %s is in wave %u, not %u", cases[i].name,
					 record->items[j]->name, record->items[j]->wave,
					 cases[i].waves[j]);
		message_free(record);
	}
}

/* ---- the way of one container ---- */

static enum rollout_health health_of(void *user, size_t item)
{
	return *(enum rollout_health *)user;
}

static int step(Phoenix__RolloutRecord *record, uint64_t now_ms, enum rollout_health health,
		struct rollout_step *ret_step)
{
	const struct rollout_view view = { now_ms, 0, health_of, &health };

	return rollout_step(record, &view, ret_step);
}

/* Go on until something is to be done or to be waited for. */
static int settle(Phoenix__RolloutRecord *record, uint64_t now_ms, enum rollout_health health,
		  struct rollout_step *ret_step)
{
	int r;

	do
		r = step(record, now_ms, health, ret_step);
	while (r == ROLLOUT_MOVED);
	return r;
}

static void test_one_container(void **state)
{
	static const enum rollout_action_kind kinds[] = { ROLLOUT_CHECK, ROLLOUT_DRAIN,
							  ROLLOUT_CONVERT, ROLLOUT_VERIFY };
	Phoenix__RolloutStrategy strategy = strategy_default();
	Phoenix__RolloutRecord *record;
	struct rollout_step made;
	struct ph_error error;

	strategy.drain_ms = 1000;
	strategy.canary_soak_ms = 5000;
	record = record_new(&strategy, 1, NULL);
	assert_int_equal(rollout_begin(record, 1000, &error), 0);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct rollout_action action;

		assert_int_equal(settle(record, 1000, ROLLOUT_HEALTH_READY, &made), ROLLOUT_ACT);
		assert_int_equal(made.action.kind, kinds[i]);
		assert_int_equal(made.action.sequence, i + 1);
		assert_true(rollout_in_flight(record, 0, &action));
		assert_int_equal(action.kind, kinds[i]);
		assert_int_equal(action.sequence, i + 1);
		assert_int_equal(settle(record, 1000, ROLLOUT_HEALTH_READY, &made), ROLLOUT_WAIT);
		assert_int_equal(made.wake_ms, 61000);
		assert_int_equal(rollout_finished(record, 0, i, NULL, 1000), 0); /* an old one's end */
		assert_int_equal(rollout_finished(record, 0, i + 1, NULL, 1000), ROLLOUT_MOVED);
		assert_int_equal(rollout_finished(record, 0, i + 1, NULL, 1000), 0); /* once */
	}
	assert_int_equal(settle(record, 1000, ROLLOUT_HEALTH_READY, &made), ROLLOUT_WAIT);
	assert_int_equal(made.wake_ms, 6000);
	assert_int_equal(settle(record, 3000, ROLLOUT_HEALTH_UNKNOWN, &made), ROLLOUT_WAIT);
	assert_int_equal(settle(record, 4000, ROLLOUT_HEALTH_READY, &made), ROLLOUT_WAIT);
	assert_int_equal(made.wake_ms, 9000); /* contact was lost: it soaks anew */
	assert_int_equal(settle(record, 9000, ROLLOUT_HEALTH_READY, &made), ROLLOUT_ENDED);
	assert_int_equal(record->state, ROLLOUT(DONE));
	assert_int_equal(record->ended_ms, 9000);
	message_free(record);
}

static void test_a_failure_goes_back(void **state)
{
	Phoenix__Failure failure = PHOENIX__FAILURE__INIT;
	Phoenix__RolloutStrategy strategy = strategy_default();
	Phoenix__RolloutRecord *record = record_new(&strategy, 2, NULL);
	struct rollout_step made;
	struct ph_error error;

	failure.why = (char *)"dockerd does not start";
	assert_int_equal(rollout_begin(record, 1, &error), 0);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(settle(record, 2, ROLLOUT_HEALTH_READY, &made), ROLLOUT_ACT);
		assert_int_equal(made.action.kind, ROLLOUT_CHECK);
		rollout_finished(record, made.action.item, made.action.sequence, NULL, 2);
	}
	assert_int_equal(settle(record, 3, ROLLOUT_HEALTH_READY, &made), ROLLOUT_ACT);
	assert_int_equal(made.action.kind, ROLLOUT_CONVERT);
	rollout_finished(record, 0, made.action.sequence, &failure, 4);
	assert_int_equal(settle(record, 5, ROLLOUT_HEALTH_READY, &made), ROLLOUT_ACT);
	assert_int_equal(made.action.kind, ROLLOUT_REVERT);
	assert_int_equal(record->state, ROLLOUT(HALTING));
	assert_int_equal(record->cause, PHOENIX__ROLLOUT_RECORD__CAUSE__BUDGET);
	rollout_finished(record, 0, made.action.sequence, NULL, 6);
	assert_int_equal(settle(record, 7, ROLLOUT_HEALTH_READY, &made), ROLLOUT_ENDED);
	assert_int_equal(record->state, ROLLOUT(HALTED));
	assert_int_equal(record->items[0]->state, ITEM(REVERTED));
	assert_string_equal(record->items[0]->failure->why, "dockerd does not start");
	assert_int_equal(record->items[1]->state, ITEM(CHECKED));
	assert_true(rollout_is_untouched(record->items[1]));
	message_free(record);
}

/* Begin count containers at once, all past their preflight and being converted. */
static Phoenix__RolloutRecord *converting_new(Phoenix__RolloutStrategy *strategy, size_t count)
{
	Phoenix__RolloutRecord *record = record_new(strategy, count, NULL);
	struct rollout_step made;
	struct ph_error error;

	assert_int_equal(rollout_begin(record, 1, &error), 0);
	while (settle(record, 2, ROLLOUT_HEALTH_READY, &made) == ROLLOUT_ACT)
		if (made.action.kind == ROLLOUT_CHECK)
			rollout_finished(record, made.action.item, made.action.sequence, NULL, 2);
	return record;
}

/* Every revert in flight fails, but that of the last container. */
static void fail_reverts(Phoenix__RolloutRecord *record)
{
	Phoenix__Failure failure = PHOENIX__FAILURE__INIT;
	struct rollout_step made;

	failure.why = (char *)"it does not start";
	while (settle(record, 3, ROLLOUT_HEALTH_READY, &made) == ROLLOUT_ACT)
		;
	for (size_t i = 0; i < record->n_items; i++)
		rollout_finished(record, i, record->items[i]->sequence,
				 i + 1 < record->n_items ? &failure : NULL, 4);
}

/* However it was stopped: a container that is neither old nor new is what the end says. */
static void test_a_revert_that_fails(void **state)
{
	static const struct {
		unsigned int command;
		size_t total;
		const char *note;
	} cases[] = {
		{ COMMAND(ABORT), 2, "not at the last good state: c00" },
		{ COMMAND(REVERT), 2, "not at the last good state: c00" },
		{ COMMAND(REVERT), 4, "not at the last good state: c00, c01, c02" },
		{ COMMAND(ABORT), 12, "not at the last good state: c00, c01, c02, c03, c04, c05, c06, c07 "
				      "and 3 more" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		Phoenix__RolloutStrategy strategy = strategy_default();
		Phoenix__RolloutAmount all = PHOENIX__ROLLOUT_AMOUNT__INIT;
		Phoenix__RolloutRecord *record;
		struct rollout_step made;
		struct ph_error error;

		all.percent = 100;
		strategy.max_unavailable = strategy.canary = &all;
		record = converting_new(&strategy, cases[i].total);
		assert_int_equal(rollout_command(record, cases[i].command, 3, &error), 0);
		for (size_t j = 0; j < record->n_items; j++)
			rollout_finished(record, j, record->items[j]->sequence, NULL, 3);
		fail_reverts(record);
		assert_int_equal(settle(record, 5, ROLLOUT_HEALTH_READY, &made), ROLLOUT_ENDED);
		assert_int_equal(record->state, ROLLOUT(REVERT_FAILED));
		assert_int_equal(record->cause, PHOENIX__ROLLOUT_RECORD__CAUSE__OPERATOR);
		assert_string_equal(record->note, cases[i].note);
		assert_true(rollout_is_over(record));
		assert_int_equal(record->ended_ms, 5);
		message_free(record);
	}
}

/* ---- commands ---- */

static void test_commands(void **state)
{
	static const struct {
		unsigned int from, command;
		int to; /* -1: refused */
	} cases[] = {
		{ ROLLOUT(PREFLIGHT), COMMAND(PAUSE), ROLLOUT(PAUSED) },
		{ ROLLOUT(WAVES), COMMAND(PAUSE), ROLLOUT(PAUSED) },
		{ ROLLOUT(PAUSED), COMMAND(PAUSE), -1 },
		{ ROLLOUT(GATE), COMMAND(PAUSE), -1 },
		{ ROLLOUT(HALTING), COMMAND(PAUSE), -1 },
		{ ROLLOUT(DONE), COMMAND(PAUSE), -1 },
		{ ROLLOUT(PAUSED), COMMAND(RESUME), ROLLOUT(WAVES) },
		{ ROLLOUT(GATE), COMMAND(RESUME), ROLLOUT(WAVES) },
		{ ROLLOUT(WAVES), COMMAND(RESUME), -1 },
		{ ROLLOUT(HALTED), COMMAND(RESUME), -1 },
		{ ROLLOUT(CANARY), COMMAND(ABORT), ROLLOUT(HALTING) },
		{ ROLLOUT(PAUSED), COMMAND(ABORT), ROLLOUT(HALTING) },
		{ ROLLOUT(REVERTING), COMMAND(ABORT), ROLLOUT(HALTING) },
		{ ROLLOUT(HALTING), COMMAND(ABORT), -1 },
		{ ROLLOUT(DONE), COMMAND(ABORT), -1 },
		{ ROLLOUT(WAVES), COMMAND(REVERT), ROLLOUT(REVERTING) },
		{ ROLLOUT(GATE), COMMAND(REVERT), ROLLOUT(REVERTING) },
		{ ROLLOUT(DONE), COMMAND(REVERT), ROLLOUT(REVERTING) },
		{ ROLLOUT(HALTED), COMMAND(REVERT), ROLLOUT(REVERTING) },
		{ ROLLOUT(REVERT_FAILED), COMMAND(REVERT), ROLLOUT(REVERTING) },
		{ ROLLOUT(REVERT_FAILED), COMMAND(RESUME), -1 },
		{ ROLLOUT(REVERT_FAILED), COMMAND(ABORT), -1 },
		{ ROLLOUT(REVERTING), COMMAND(REVERT), -1 },
		{ ROLLOUT(WAVES), COMMAND(UNSET), -1 },
		{ ROLLOUT(WAVES), 99, -1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		Phoenix__RolloutStrategy strategy = strategy_default();
		Phoenix__RolloutRecord *record = record_new(&strategy, 3, NULL);
		struct ph_error error = { 0 };
		int r;

		assert_int_equal(rollout_begin(record, 1, &error), 0);
		record->state = cases[i].from;
		record->resume_state = ROLLOUT(WAVES);
		r = rollout_command(record, cases[i].command, 5, &error);
		if (cases[i].to < 0 ? r != -EINVAL || record->state != cases[i].from :
				      r != 0 || (int)record->state != cases[i].to)
			fail_msg("%s, command %u: %d, now %s",
				 states_name(&rollout_states, cases[i].from), cases[i].command, r,
				 states_name(&rollout_states, record->state));
		message_free(record);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strategies_that_cannot_finish),
		cmocka_unit_test(test_an_empty_rollout_is_refused),
		cmocka_unit_test(test_waves),
		cmocka_unit_test(test_one_container),
		cmocka_unit_test(test_a_failure_goes_back),
		cmocka_unit_test(test_a_revert_that_fails),
		cmocka_unit_test(test_commands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
