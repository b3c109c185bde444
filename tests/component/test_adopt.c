/*
 * Others' containers through phoenixd's operations, with a fake phoenix-host and fake agents: confine,
 * what happens when anything of it fails, resuming after a crash at every step, giving back.
 */
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/container/adopt.h"
#include "tests/support/cmocka.h"
#include "tests/support/world.h"

#define IMAGES 3

static struct world *adopted_world(void)
{
	struct world *world = world_new();

	world_adopt(world, "box", IMAGES);
	return world;
}

static struct container *box_of(struct world *world)
{
	return registry_find(world->registry, "box");
}

/* The box as the host has it. */
static struct fake_container *real_box(struct world *world)
{
	return fake_host_find(&world->host, "box");
}

static void run(struct world *world, const struct operation_type *type)
{
	world_run(world, type, "box", NULL);
}

/* As its owner had it: runs, with its own configuration, and is still known. */
static void assert_as_before(struct world *world)
{
	struct container *container = box_of(world);

	assert_true(real_box(world)->running);
	assert_false(real_box(world)->has_our_config);
	assert_true(container_is(container, CONTAINER_PHASE_ADOPTED));
	assert_string_equal(container->record->profile, "");
}

static void assert_confined(struct world *world)
{
	struct container *container = box_of(world);

	assert_true(real_box(world)->running && real_box(world)->has_our_config);
	assert_true(container_is(container, CONTAINER_PHASE_RUNNING));
	assert_string_equal(container->record->profile, "lxc-phoenix-v2");
	assert_true(container->record->verify && container->record->verify->passed);
}

static void adopting_touches_nothing(void **state)
{
	struct world *world = adopted_world();
	unsigned int writes = world->host.writes;

	assert_as_before(world);
	assert_false(adopt_may_have_agent(box_of(world)));
	world_close(world);
	world_open(world); /* no agent is pushed into one that we do not confine */
	assert_as_before(world);
	assert_int_equal(world->host.writes, writes);
	assert_int_equal(box_of(world)->record->adoption->n_images, IMAGES);
	world_free(world);
}

static void confine_and_give_back(void **state)
{
	struct world *world = adopted_world();

	run(world, &operation_confine);
	if (error_is_set(&world->error))
		fail_msg("%s: %s", world->error.what, world->error.why);
	assert_confined(world);
	assert_true(container_is_ready(box_of(world)));
	assert_int_equal(box_of(world)->record->adoption->n_images, IMAGES);
	assert_string_equal(box_of(world)->record->adoption->profile_before, "unconfined");
	assert_int_equal(world->agent.verifies, 1);
	run(world, &operation_confine); /* again: proven anew, nothing lost */
	assert_confined(world);
	run(world, &operation_unadopt);
	assert_int_equal(world->error.code, 0);
	assert_null(box_of(world));
	assert_true(real_box(world)->running);
	assert_false(real_box(world)->has_our_config || real_box(world)->is_adopted);
	world_free(world);
}

/* Each verb that confine needs fails once, before or after its work. */
static void failures_put_everything_back(void **state)
{
	static const struct {
		const char *verb;
		bool after;
	} walk[] = {
		{ "ForeignList", false },    { "ConfineEnsure", false },   { "ConfineEnsure", true },
		{ "ContainerStop", false },  { "AdoptConfine", false },    { "AdoptConfine", true },
		{ "ContainerStart", false }, { "ContainerStart", true },   { "ContainerObserve", false },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(walk); i++) {
		struct world *world = adopted_world();

		world->host.fail_verb = walk[i].verb;
		world->host.fail_after = walk[i].after;
		world->host.fail_count = 1;
		run(world, &operation_confine);
		if (!error_is_set(&world->error))
			fail_msg("%s: nobody noticed", walk[i].verb);
		assert_as_before(world);
		run(world, &operation_confine);
		assert_confined(world);
		world_free(world);
	}
}

static void a_poisoned_one_is_reverted(void **state)
{
	static const struct {
		const char *name;
		bool fail_verify, loses_images, off_label;
		const char *step;
	} poisons[] = {
		{ "Docker fails", true, false, false, "verify" },
		{ "an image is gone", false, true, false, "check images" },
		{ "a process is off its label", false, false, true, "check confinement" },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(poisons); i++) {
		struct world *world = adopted_world();

		world->agent.fail_verify = poisons[i].fail_verify;
		real_box(world)->loses_images = poisons[i].loses_images;
		world->host.starts_off_label = poisons[i].off_label;
		run(world, &operation_confine);
		if (!text_equal(world->error.step, poisons[i].step))
			fail_msg("%s: failed at '%s': %s", poisons[i].name, world->error.step,
				 world->error.why);
		assert_as_before(world);
		assert_non_null(box_of(world)->record->failure);
		world_free(world);
	}
}

static void one_that_stood_still_stays_so(void **state)
{
	struct world *world = adopted_world();

	real_box(world)->running = false;
	world->agent.fail_verify = true;
	run(world, &operation_confine);
	assert_true(error_is_set(&world->error));
	assert_false(real_box(world)->running || real_box(world)->has_our_config);
	world_free(world);
}

/* A phoenixd that was killed goes on where it was, from either side of the change. */
static void crashes_are_resumed(void **state)
{
	for (size_t i = 0; i < operation_confine.count; i++) {
		struct world *world = adopted_world();

		world->kill_at = operation_confine.steps[i].name;
		run(world, &operation_confine);
		assert_true(world->is_killed);
		world_close(world);
		world->kill_at = NULL;
		world_open(world);
		world_run_until(world, world_is_idle);
		assert_confined(world);
		world_free(world);
	}
}

static void images_are_compared(void **state)
{
	static const struct {
		const char *before[4], *after[4], *missing;
	} cases[] = {
		{ { NULL }, { NULL }, NULL },
		{ { "a", "b" }, { "a", "b" }, NULL },
		{ { "b" }, { "a", "b", "c" }, NULL },
		{ { "a", "b" }, { "a" }, "b" },
		{ { "a", "b" }, { "b" }, "a" },
		{ { "b" }, { "a", "c" }, "b" },
		{ { "a" }, { NULL }, "a" },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		size_t before = 0, after = 0;

		while (cases[i].before[before])
			before++;
		while (cases[i].after[after])
			after++;
		assert_true(text_equal(adopt_missing_image((char *const *)cases[i].before, before,
							   (char *const *)cases[i].after, after),
				       cases[i].missing));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(images_are_compared),
		cmocka_unit_test(adopting_touches_nothing),
		cmocka_unit_test(confine_and_give_back),
		cmocka_unit_test(failures_put_everything_back),
		cmocka_unit_test(a_poisoned_one_is_reverted),
		cmocka_unit_test(one_that_stood_still_stays_so),
		cmocka_unit_test(crashes_are_resumed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
