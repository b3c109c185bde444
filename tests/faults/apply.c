/*
 * Applies of one container while phoenixd's calls, and its fakes', fail: an apply that was said to have ended well is
 * found by the next phoenixd as it ended, and the next phoenixd brings the container up again whatever came before.
 */
#include <stdlib.h>

#include "common/message.h"
#include "common/str.h"
#include "tests/faults/world.h"

#define ROUNDS 3
#define NEXT_ROUND 99
#define REMOVED 50

static void apply(struct scene *scene, struct world *world, uint32_t round)
{
	scene->notes->asked = round;
	if (world_apply(world, round))
		scene_promise(scene, round);
}

static void run_once(struct scene *scene)
{
	struct world world;

	world_init(&world, scene);
	scene_begin(scene);
	if (world_open(&world))
		apply(scene, &world, 1);
	scene_end(scene);
	world_fini(&world);
}

static void run_again(struct scene *scene)
{
	struct world world;

	world_init(&world, scene);
	scene_begin(scene);
	if (world_open(&world)) {
		apply(scene, &world, 1);
		apply(scene, &world, 2);
	}
	world_close(&world);
	if (world_open(&world))
		apply(scene, &world, ROUNDS);
	scene_end(scene);
	world_fini(&world);
}

static void run_remove(struct scene *scene)
{
	struct world world;

	world_init(&world, scene);
	if (!world_open(&world) || !world_apply(&world, 1))
		abort();
	scene_begin(scene);
	scene->notes->asked = REMOVED;
	if (world_remove(&world))
		scene_promise(scene, REMOVED);
	scene_end(scene);
	world_fini(&world);
}

/* Who was told the end of the last operation finds it; or the operation has gone on. */
static bool check_end(const struct container *container, uint32_t round)
{
	char id[16];

	if (container->operation)
		return true;
	if (!container_is(container, CONTAINER_PHASE_RUNNING))
		return scene_wrong("round %u was said to be done, and the container is %s", round,
				   container->record->phase);
	return text_equal(container->record->last_operation, world_operation(round, id)) ||
	       scene_wrong("round %u was said to be done, and the last one is %s", round,
			   container->record->last_operation);
}

/* What the next phoenixd reads. */
static bool check_kept(const struct world *world)
{
	const struct scene_notes *notes = world->scene->notes;
	const struct container *container = registry_find(world->registry, WORLD_NAME);
	uint32_t last = notes->count ? notes->promised[notes->count - 1] : 0;
	uint32_t found = world_round(world);

	if (last == REMOVED)
		return !container || container->operation || scene_wrong("what was removed is there again");
	if (notes->asked == REMOVED)
		return true;
	if (found < last || found > notes->asked)
		return scene_wrong("found round %u, promised %u, asked %u", found, last, notes->asked);
	return !last || last != notes->asked || check_end(container, last);
}

static bool check(const struct scene *scene)
{
	const struct scene quiet = { scene->directory, scene->notes, FAULTS_READ, 0, 0 };
	struct world world;
	bool good;

	world_init(&world, &quiet);
	if (!world_open(&world))
		return scene_wrong("the next phoenixd does not come up");
	good = check_kept(&world);
	if (!world_settle(&world))
		good = scene_wrong("an operation does not end");
	scene->notes->asked = NEXT_ROUND;
	if (!world_apply(&world, NEXT_ROUND))
		good = scene_wrong("the next apply fails: %s", world.error.why);
	else if (world_round(&world) != NEXT_ROUND)
		good = scene_wrong("the next apply is lost");
	world_fini(&world);
	return good;
}

const struct scene_type scene_apply = { "apply", run_once, check };
const struct scene_type scene_apply_again = { "apply again", run_again, check };
const struct scene_type scene_remove = { "remove", run_remove, check };
