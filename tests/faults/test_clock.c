/*
 * The wall clock jumps by a year, forwards and backwards, while containers are applied and while a rollout goes on, in
 * one process and between two; and the machine sleeps. Deadlines, soak and leases take no notice; events have the new
 * time and the old order.
 */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/message.h"
#include "common/rate.h"
#include "common/str.h"
#include "controller/fleet/rollout_keys.h"
#include "controller/rollout/engine.h"
#include "controller/rollout/rollouts.h"
#include "tests/faults/world.h"
#include "tests/support/cmocka.h"
#include "tests/support/scratch.h"

#include <sys/mman.h>
#include <sys/stat.h>

#define YEAR_MS (365LL * 24 * 3600 * 1000)
#define SOAK_MS 400
#define TRANSITIONS 12 /* more than the rollout has: the last rounds are not killed */
#define PATIENCE_SECONDS 30
#define STATE(name) PHOENIX__ROLLOUT_RECORD__STATE__##name

struct story {
	struct scratch scratch;
	struct scene_notes notes;
	struct scene scene;
	struct world world;
	struct rollouts *rollouts;
	struct rollout_watcher watcher;
	unsigned int transitions, stop_at;
	int64_t jump_ms;      /* at every transition, there and back again */
	bool is_over, is_away;
};

static void story_open(struct story *story)
{
	struct ph_error error;

	assert_true(world_open(&story->world));
	assert_int_equal(rollouts_open(story->world.registry, &story->rollouts, &error), 0);
}

static struct story *story_new(void)
{
	struct story *story = calloc(1, sizeof(*story));

	log_set_level(LOG_LEVEL_ERROR + 1);
	scratch_init(&story->scratch);
	chmod(story->scratch.path, 0711);
	story->scene = (struct scene){ .directory = story->scratch.path, .notes = &story->notes };
	world_init(&story->world, &story->scene);
	story_open(story);
	return story;
}

static void story_close(struct story *story)
{
	rollouts_close(story->rollouts);
	story->rollouts = NULL;
	world_close(&story->world);
}

static void story_free(struct story *story)
{
	faults_jump_wall(0);
	story_close(story);
	world_fini(&story->world);
	scratch_fini(&story->scratch);
	free(story);
}

static unsigned int state_of(const struct story *story)
{
	struct rollout *rollout = rollouts_find(story->rollouts, "");
	Phoenix__RolloutStatus *status = rollout_status(rollout, false);
	unsigned int state = status->rollout->state;

	message_free(status);
	return state;
}

static void changed(void *user, const Phoenix__RolloutStatus *status)
{
	struct story *story = user;

	if (story->jump_ms) {
		story->is_away = !story->is_away;
		faults_jump_wall(story->is_away ? story->jump_ms : 0);
	}
	if (++story->transitions == story->stop_at)
		story->is_over = true;
}

static void ended(void *user)
{
	((struct story *)user)->is_over = true;
}

static void begin_rollout(struct story *story)
{
	const struct container *container = registry_find(story->world.registry, WORLD_NAME);
	Phoenix__ContainerSpec *spec = MESSAGE_COPY(container->record->spec);
	Phoenix__DockerSpec docker = PHOENIX__DOCKER_SPEC__INIT;
	Phoenix__RolloutStrategy strategy = PHOENIX__ROLLOUT_STRATEGY__INIT;
	Phoenix__Fleet fleet = PHOENIX__FLEET__INIT;
	const struct rollouts_order order = { .fleet = &fleet, .selector = "" };
	Phoenix__RolloutStatus *status = NULL;
	struct ph_error error;

	rollout_keys_defaults(&strategy);
	strategy.soak_ms = strategy.canary_soak_ms = SOAK_MS;
	docker.daemon = (char *)"{\"log-level\": \"warn\"}";
	MESSAGE_REPLACE(spec->docker, &docker);
	fleet.version = 1;
	fleet.n_containers = 1;
	fleet.containers = &spec;
	fleet.rollout = &strategy;
	if (rollouts_start(story->rollouts, &order, &status, &error) != 0)
		fail_msg("start: %s", error.why);
	message_free(status);
	message_free(spec);
}

static void run_until_over(struct story *story)
{
	story->is_over = state_of(story) >= STATE(DONE);
	story->watcher = (struct rollout_watcher){ .changed = changed, .ended = ended, .user = story };
	if (!story->is_over)
		rollout_watch(rollouts_find(story->rollouts, ""), &story->watcher);
	scene_run_loop(&story->scene, &story->world.loop, &story->is_over, PATIENCE_SECONDS);
	rollout_unwatch(&story->watcher);
}

/* Applies end, in time, and what they leave in the log has the new time and the old order. */
static void test_applies(void **state)
{
	static const int64_t jumps[] = { YEAR_MS, -YEAR_MS, 0 };
	struct story *story = story_new();
	EVENTS_AUTO_BATCH struct events_batch batch = { 0 };
	struct events *events = journal_events(story->world.registry->journal);
	uint64_t last_monotonic_ms = 0, begun_ms = clock_wall_ms(), far = 0;

	for (uint32_t i = 0; i < 3; i++) {
		faults_jump_wall(jumps[i]);
		if (!world_apply(&story->world, i + 1))
			fail_msg("apply %u: %s", i + 1, story->world.error.why);
	}
	journal_flush(story->world.registry->journal);
	assert_int_equal(events_read(events, 0, NULL, 1000, &batch, NULL), 0);
	for (size_t i = 0; i < batch.count; i++) {
		const Phoenix__Event *event = batch.events[i];

		assert_int_equal(event->seq, i + 1);
		assert_true(event->monotonic_ms >= last_monotonic_ms);
		last_monotonic_ms = event->monotonic_ms;
		far += event->wall_ms > begun_ms + YEAR_MS / 2 || event->wall_ms < begun_ms - YEAR_MS / 2;
	}
	assert_true(far > 5); /* the clock did jump */
	story_free(story);
}

/* In one process: the clock is a year off at every other transition. */
static void test_rollout(void **state)
{
	static const int64_t jumps[] = { YEAR_MS, -YEAR_MS };

	for (size_t i = 0; i < 2; i++) {
		struct story *story = story_new();
		uint64_t begun_ms;

		assert_true(world_apply(&story->world, 1));
		story->jump_ms = jumps[i];
		begun_ms = clock_monotonic_ms();
		begin_rollout(story);
		run_until_over(story);
		assert_int_equal(state_of(story), STATE(DONE));
		assert_true(clock_monotonic_ms() - begun_ms >= SOAK_MS);
		assert_true(story->transitions > 4);
		story_free(story);
	}
}

/* Killed behind every transition, and the next phoenixd comes up in another year. */
static void test_rollout_over_restarts(void **state)
{
	for (unsigned int i = 0; i < 2 * TRANSITIONS; i++) {
		struct story *story = story_new();

		assert_true(world_apply(&story->world, 1));
		story->stop_at = 1 + i / 2;
		begin_rollout(story);
		run_until_over(story);
		story_close(story);
		faults_jump_wall(i % 2 ? -YEAR_MS : YEAR_MS);
		story_open(story);
		story->stop_at = 0;
		run_until_over(story);
		if (state_of(story) != STATE(DONE))
			fail_msg("killed behind transition %u: state %u", 1 + i / 2, state_of(story));
		story_free(story);
	}
}

/* The newest rollout is the one that was begun last, wherever the clock stood then. */
static void test_newest_rollout(void **state)
{
	struct story *story = story_new();
	Phoenix__RolloutStatus *status;
	char id[64];

	assert_true(world_apply(&story->world, 1));
	begin_rollout(story);
	run_until_over(story);
	faults_jump_wall(-YEAR_MS);
	assert_true(world_apply(&story->world, 2)); /* as it was: there is something to do again */
	begin_rollout(story);
	status = rollout_status(rollouts_find(story->rollouts, ""), false);
	text_copy(id, sizeof(id), status->rollout->id);
	message_free(status);
	story_close(story);
	story_open(story);
	status = rollout_status(rollouts_find(story->rollouts, ""), false);
	assert_string_equal(status->rollout->id, id);
	message_free(status);
	run_until_over(story);
	story_free(story);
}

/* Ten minutes of sleep count for deadlines, and nothing stays behind: the next apply is as any other. */
static void test_suspend(void **state)
{
	struct story *story = story_new();

	assert_true(world_apply(&story->world, 1));
	faults_suspend(10 * 60 * 1000);
	if (!world_apply(&story->world, 2))
		fail_msg("after a sleep: %s", story->world.error.why);
	assert_int_equal(world_round(&story->world), 2);
	story_free(story);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_applies),
		cmocka_unit_test(test_rollout),
		cmocka_unit_test(test_rollout_over_restarts),
		cmocka_unit_test(test_newest_rollout),
		cmocka_unit_test(test_suspend),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
