/*
 * A rollout over one container while phoenixd's calls, and its fakes', fail: one that was begun is known to the next
 * phoenixd, one that was seen to be done stays so, and the next phoenixd brings what is left to its end.
 */
#include <stdlib.h>

#include "common/message.h"
#include "common/str.h"
#include "controller/fleet/rollout_keys.h"
#include "controller/rollout/engine.h"
#include "controller/rollout/rollouts.h"
#include "tests/faults/world.h"

#define BEGUN 1
#define DONE 2
#define PATIENCE_SECONDS 40
#define STEP_MS 15000 /* the next phoenixd's fakes do not have the container any more: a soak waits for it, so long */
#define STATE(name) PHOENIX__ROLLOUT_RECORD__STATE__##name

struct story {
	struct world world;
	struct rollouts *rollouts;
	struct rollout_watcher watcher;
	bool is_over;
};

static void changed(void *user, const Phoenix__RolloutStatus *status)
{
}

static void ended(void *user)
{
	((struct story *)user)->is_over = true;
}

static bool open_story(struct story *story, const struct scene *scene, bool is_first)
{
	struct ph_error error;

	if (is_first)
		world_init(&story->world, scene);
	if (!world_open(&story->world))
		return false;
	return rollouts_open(story->world.registry, &story->rollouts, &error) == 0;
}

static void close_story(struct story *story)
{
	rollouts_close(story->rollouts);
	story->rollouts = NULL;
	world_close(&story->world);
}

/* Another daemon.json for the container. */
static bool begin(struct story *story)
{
	const struct container *container = registry_find(story->world.registry, WORLD_NAME);
	Phoenix__ContainerSpec *spec = MESSAGE_COPY(container->record->spec);
	Phoenix__DockerSpec docker = PHOENIX__DOCKER_SPEC__INIT;
	Phoenix__RolloutStrategy strategy = PHOENIX__ROLLOUT_STRATEGY__INIT;
	Phoenix__Fleet fleet = PHOENIX__FLEET__INIT;
	const struct rollouts_order order = { &fleet, "", false, false };
	Phoenix__RolloutStatus *status = NULL;
	struct ph_error error;
	int r;

	rollout_keys_defaults(&strategy);
	strategy.soak_ms = strategy.canary_soak_ms = 0;
	strategy.step_deadline_ms = STEP_MS;
	docker.daemon = (char *)"{\"log-level\": \"warn\"}";
	MESSAGE_REPLACE(spec->docker, &docker);
	fleet.version = 1;
	fleet.n_containers = 1;
	fleet.containers = &spec;
	fleet.rollout = &strategy;
	r = rollouts_start(story->rollouts, &order, &status, &error);
	message_free(status);
	message_free(spec);
	return r == 0;
}

static unsigned int state_of(const struct story *story)
{
	const struct rollout *rollout = rollouts_find(story->rollouts, "");
	Phoenix__RolloutStatus *status = rollout ? rollout_status(rollout, false) : NULL;
	unsigned int state = status ? status->rollout->state : 0;

	message_free(status);
	return state;
}

static bool wait_for_end(struct story *story)
{
	struct rollout *rollout = rollouts_find(story->rollouts, "");

	story->is_over = state_of(story) >= STATE(DONE);
	story->watcher = (struct rollout_watcher){ .changed = changed, .ended = ended, .user = story };
	if (!story->is_over)
		rollout_watch(rollout, &story->watcher);
	scene_run_loop(story->world.scene, &story->world.loop, &story->is_over, PATIENCE_SECONDS);
	rollout_unwatch(&story->watcher);
	return story->is_over;
}

static void run(struct scene *scene)
{
	struct story story = { 0 };

	if (!open_story(&story, scene, true) || !world_apply(&story.world, 1))
		abort();
	scene_begin(scene);
	scene->notes->asked = BEGUN;
	if (begin(&story)) {
		scene_promise(scene, BEGUN);
		if (wait_for_end(&story) && state_of(&story) == STATE(DONE))
			scene_promise(scene, DONE);
	}
	scene_end(scene);
	close_story(&story);
	world_fini(&story.world);
}

static bool check(const struct scene *scene)
{
	const struct scene quiet = { scene->directory, scene->notes, FAULTS_READ, 0, 0 };
	struct story story = { 0 };
	bool good = true;

	if (!open_story(&story, &quiet, true))
		return scene_wrong("the next phoenixd does not come up");
	if (scene_was_promised(scene, BEGUN) && !rollouts_find(story.rollouts, ""))
		good = scene_wrong("the rollout is not known any more");
	else if (scene_was_promised(scene, DONE) && state_of(&story) != STATE(DONE))
		good = scene_wrong("the rollout was done, and is not any more");
	else if (rollouts_find(story.rollouts, "") && !wait_for_end(&story))
		good = scene_wrong("the rollout does not end");
	close_story(&story);
	world_fini(&story.world);
	return good;
}

const struct scene_type scene_rollout = { "rollout", run, check };
