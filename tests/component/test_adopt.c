/*
 * Others' containers through phoenixd's operations, with a fake phoenix-host and fake agents: confine,
 * what happens when anything of it fails, resuming after a crash at every step, giving back.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/container/adopt.h"
#include "controller/container/operation.h"
#include "tests/support/cmocka.h"
#include "tests/support/fake_agent.h"
#include "tests/support/fake_host.h"
#include "tests/support/scratch.h"

#define PATIENCE_MS 20000
#define IMAGES 3

struct world {
	struct scratch scratch;
	uv_loop_t loop;
	struct config config;
	struct fake_host host;
	struct fake_agent agent;
	struct registry *registry;
	struct operation_watcher watcher;
	struct fake_container *box;
	bool has_ended, is_killed;
	const char *kill_at;
	struct ph_error error;
};

static void patience_lost(uv_timer_t *timer)
{
	fail_msg("nothing happened for %d ms", PATIENCE_MS);
}

static void run_until(struct world *world, bool (*holds)(struct world *world))
{
	uv_timer_t patience;

	uv_timer_init(&world->loop, &patience);
	uv_timer_start(&patience, patience_lost, PATIENCE_MS, 0);
	while (!holds(world))
		uv_run(&world->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&patience, NULL);
	uv_run(&world->loop, UV_RUN_NOWAIT);
}

static bool has_ended(struct world *world)
{
	return world->has_ended || world->is_killed;
}

static bool is_adopted(struct world *world)
{
	return world->registry->is_adopted;
}

static bool is_idle(struct world *world)
{
	return world->registry->is_adopted && !world->registry->operations;
}

static void open_registry(struct world *world)
{
	struct ph_error error;

	if (registry_open(&world->loop, &world->config, &world->registry, &error) < 0)
		fail_msg("registry: %s", error.why);
	world->registry->check_peer = NULL; /* our agents are in no container */
	run_until(world, is_adopted);
}

/* What kill -9 leaves. */
static void close_registry(struct world *world)
{
	registry_close(world->registry);
	world->registry = NULL;
	for (int i = 0; i < 20; i++)
		uv_run(&world->loop, UV_RUN_NOWAIT);
}

static struct container *box_of(struct world *world)
{
	return registry_find(world->registry, "box");
}

static void adopt_box(struct world *world)
{
	Phoenix__ForeignContainer found = PHOENIX__FOREIGN_CONTAINER__INIT;
	Phoenix__IdRange ids = PHOENIX__ID_RANGE__INIT;
	struct container *container;
	struct ph_error error;

	found.name = (char *)"box";
	found.lxc_path = (char *)"/var/lib/lxc";
	found.profile = (char *)"unconfined";
	found.docker = (char *)"docker.io 1";
	ids.count = 65536;
	found.ids = &ids;
	world->box->is_adopted = true;
	if (adopt_record(world->registry, &found, &container, &error) < 0)
		fail_msg("adopt: %s", error.why);
}

static struct world *world_new(void)
{
	struct world *world = ph_alloc(sizeof(*world));
	char path[320];

	log_set_level(LOG_LEVEL_ERROR + 1);
	scratch_init(&world->scratch);
	chmod(world->scratch.path, 0711);
	uv_loop_init(&world->loop);
	config_init(&world->config);
	text_copy(world->config.run_dir, sizeof(world->config.run_dir), world->scratch.path);
	text_copy(world->config.state_dir, sizeof(world->config.state_dir), world->scratch.path);
	snprintf(path, sizeof(path), "%s/db", world->scratch.path);
	mkdir(path, 0700);
	world->host.apparmor = true;
	world->host.agent = &world->agent;
	fake_host_open(&world->host, &world->loop, world->scratch.path);
	world->box = fake_host_add_foreign(&world->host, "box", IMAGES);
	open_registry(world);
	adopt_box(world);
	return world;
}

static void world_free(struct world *world)
{
	if (world->registry)
		registry_close(world->registry);
	fake_agent_kill_all(&world->agent);
	fake_host_close(&world->host);
	uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world->loop), 0);
	scratch_fini(&world->scratch);
	free(world);
}

static void progress(void *user, const Phoenix__Progress *message)
{
	struct world *world = user;

	if (world->kill_at && message->state == PHOENIX__PROGRESS__STATE__STARTED &&
	    text_equal(world->kill_at, message->step))
		world->is_killed = true;
}

static void ended(void *user, const char *name, bool changed, const struct ph_error *error)
{
	struct world *world = user;

	world->has_ended = true;
	world->error = error ? *error : (struct ph_error){ 0 };
}

static void run(struct world *world, const struct operation_type *type)
{
	struct ph_error error;

	world->watcher = (struct operation_watcher){ .progress = progress, .ended = ended,
						     .user = world };
	world->has_ended = world->is_killed = false;
	world->error = (struct ph_error){ 0 };
	if (operation_start(box_of(world), type, NULL, false, &world->watcher, &error) < 0)
		fail_msg("start: %s", error.why);
	run_until(world, has_ended);
}

/* As its owner had it: runs, with its own configuration, and is still known. */
static void assert_as_before(struct world *world)
{
	struct container *container = box_of(world);

	assert_true(world->box->running);
	assert_false(world->box->has_our_config);
	assert_true(container_is(container, CONTAINER_PHASE_ADOPTED));
	assert_string_equal(container->record->profile, "");
}

static void assert_confined(struct world *world)
{
	struct container *container = box_of(world);

	assert_true(world->box->running && world->box->has_our_config);
	assert_true(container_is(container, CONTAINER_PHASE_RUNNING));
	assert_string_equal(container->record->profile, "lxc-phoenix-v2");
	assert_true(container->record->verify && container->record->verify->passed);
}

static void adopting_touches_nothing(void **state)
{
	struct world *world = world_new();
	unsigned int writes = world->host.writes;

	assert_as_before(world);
	assert_false(adopt_may_have_agent(box_of(world)));
	close_registry(world);
	open_registry(world); /* no agent is pushed into one that we do not confine */
	assert_as_before(world);
	assert_int_equal(world->host.writes, writes);
	assert_int_equal(box_of(world)->record->adoption->n_images, 0);
	world_free(world);
}

static void confine_and_give_back(void **state)
{
	struct world *world = world_new();

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
	assert_true(world->box->running);
	assert_false(world->box->has_our_config || world->box->is_adopted);
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
		struct world *world = world_new();

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
		struct world *world = world_new();

		world->agent.fail_verify = poisons[i].fail_verify;
		world->host.loses_images = poisons[i].loses_images;
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
	struct world *world = world_new();

	world->box->running = false;
	world->agent.fail_verify = true;
	run(world, &operation_confine);
	assert_true(error_is_set(&world->error));
	assert_false(world->box->running || world->box->has_our_config);
	world_free(world);
}

/* A phoenixd that was killed goes on where it was, from either side of the change. */
static void crashes_are_resumed(void **state)
{
	for (size_t i = 0; i < operation_confine.count; i++) {
		struct world *world = world_new();

		world->kill_at = operation_confine.steps[i].name;
		run(world, &operation_confine);
		assert_true(world->is_killed);
		close_registry(world);
		world->kill_at = NULL;
		open_registry(world);
		run_until(world, is_idle);
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
