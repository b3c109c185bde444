/*
 * Another root file system for a container, and the end of the one that was kept, as operations
 * against a fake phoenix-host and a fake agent: to the end, with every call of phoenix-host failing,
 * with an install or a verify that fails, killed at every step and while it is undone.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/container/container.h"
#include "controller/container/operation_record.h"
#include "tests/support/cmocka.h"
#include "tests/support/world.h"

#define OPERATION "r00000000001-4"
#define OLD_PIDS 4096
#define NEW_PIDS 2000

struct wish {
	Phoenix__ContainerSpec spec;
	Phoenix__Resources resources;
	Phoenix__DockerSpec docker;
};

/* The new one wants other limits and another daemon.json too. */
static void fill(struct wish *wish, const char *image, bool is_new)
{
	phoenix__container_spec__init(&wish->spec);
	phoenix__resources__init(&wish->resources);
	phoenix__docker_spec__init(&wish->docker);
	wish->resources.pids = is_new ? NEW_PIDS : OLD_PIDS;
	wish->docker.daemon = (char *)(is_new ? "{\"log-level\": \"warn\"}" : "");
	wish->spec.name = (char *)"web1";
	wish->spec.image = (char *)image;
	wish->spec.storage_driver = (char *)"fuse-overlayfs";
	wish->spec.docker_source = (char *)"distribution";
	wish->spec.resources = &wish->resources;
	wish->spec.docker = &wish->docker;
}

/* One container of bookworm, on the first root that was ever made. */
static struct world *one_new(void)
{
	struct world *world = world_new();
	struct wish wish;

	world->host.other_image = "trixie";
	fill(&wish, "bookworm", false);
	world_run(world, &operation_apply, "web1", &wish.spec);
	if (error_is_set(&world->error))
		fail_msg("apply: %s", world->error.why);
	assert_int_equal(fake_host_find(&world->host, "web1")->root.serial, 1);
	return world;
}

static void begin(struct world *world, const char *image, bool is_back)
{
	struct operation_order order = { .type = &operation_rebuild, .id = OPERATION };
	struct wish wish;

	fill(&wish, image, !is_back);
	order.spec = &wish.spec;
	order.keeps = order.only_back = is_back;
	world_begin_order(world, "web1", &order);
}

static void rebuild(struct world *world, const char *image, bool is_back)
{
	begin(world, image, is_back);
	world_run_until(world, world_has_ended_or_killed);
}

static struct container *web1(struct world *world)
{
	return registry_find(world->registry, "web1");
}

static struct fake_container *real(struct world *world)
{
	return fake_host_find(&world->host, "web1");
}

static bool has_no_records(struct world *world)
{
	STORE_AUTO_LIST struct store_list list = { 0 };
	struct ph_error error;

	assert_int_equal(operation_record_delete_ended(world->registry, &error), 0);
	assert_int_equal(store_list(world->registry->store, "operation/", &list, NULL), 0);
	return list.count == 0;
}

static bool is_ready(struct world *world)
{
	return world_is_idle(world) && container_is_ready(web1(world));
}

static void assert_is_new(struct world *world, const char *where)
{
	const Phoenix__ContainerRecord *record = web1(world)->record;

	if (!text_equal(real(world)->root.image, "trixie") || !real(world)->running ||
	    real(world)->pids != NEW_PIDS)
		fail_msg("%s: the host has %s", where, real(world)->root.image);
	if (!text_equal(record->spec->image, "trixie") || record->spec->resources->pids != NEW_PIDS ||
	    !text_equal(record->phase, CONTAINER_PHASE_RUNNING))
		fail_msg("%s: the record is %s and wants %s", where, record->phase, record->spec->image);
	assert_int_equal(real(world)->kept.serial, 1);
	assert_string_equal(record->kept->operation, OPERATION);
	assert_int_equal(record->kept->clone, PHOENIX__CLONE_METHOD__CLONE_OVERLAY);
	assert_true(has_no_records(world));
}

/* On the very root file system that it had, as it was configured, running, and with its agent. */
static void assert_is_old(struct world *world, const char *where)
{
	const Phoenix__ContainerRecord *record = web1(world)->record;

	if (real(world)->root.serial != 1 || !real(world)->running || real(world)->pids != OLD_PIDS)
		fail_msg("%s: the host has root %u, %s, %u processes", where, real(world)->root.serial,
			 real(world)->running ? "runs" : "does not run", real(world)->pids);
	if (!text_equal(record->spec->image, "bookworm") || record->spec->resources->pids != OLD_PIDS ||
	    record->spec->docker->daemon[0])
		fail_msg("%s: the record wants %s", where, record->spec->image);
	if (record->kept)
		fail_msg("%s: there is something to go back to", where);
	assert_true(has_no_records(world));
}

static bool has_agent(struct world *world)
{
	return world_is_idle(world) && container_is_connected(web1(world));
}

/* ---- tests ---- */

static void there_and_back_and_there_again(void **state)
{
	struct world *world = one_new();
	char incarnation[64];

	text_copy(incarnation, sizeof(incarnation), web1(world)->record->incarnation);
	rebuild(world, "trixie", false);
	assert_int_equal(world->error.code, 0);
	assert_is_new(world, "there");
	assert_true(is_ready(world));
	assert_string_not_equal(web1(world)->record->incarnation, incarnation);
	assert_int_equal(world->host.prepared_running, 1); /* made while it ran */
	assert_int_equal(world->agent.verifies, 2); /* what was proved of the old one says nothing of it */
	assert_int_equal(real(world)->root.serial, 2);
	rebuild(world, "bookworm", true);
	assert_int_equal(world->error.code, 0);
	assert_is_old(world, "back");
	assert_int_equal(world->agent.verifies, 3);
	assert_true(is_ready(world));
	rebuild(world, "trixie", false);
	assert_is_new(world, "there again");
	assert_int_equal(real(world)->root.serial, 2); /* the kept one: no other was made */
	assert_int_equal(world->host.roots, 2);
	world_free(world);
}

/* Whichever call of phoenix-host fails, before or after it has done its work. */
static void every_call_fails_once(void **state)
{
	unsigned int failed = 0, absorbed = 0;

	for (int after = 0; after < 2; after++) {
		bool is_behind = false;

		for (unsigned int n = 1; !is_behind; n++) {
			struct world *world = one_new();
			char where[96];

			world->host.fail_call = world->host.calls + n;
			world->host.fail_after = after;
			rebuild(world, "trixie", false);
			is_behind = world->host.fail_call != 0 && world->host.calls < world->host.fail_call;
			snprintf(where, sizeof(where), "call %u %s, at '%s'", n, after ? "after" : "before",
				 world->last_step);
			if (error_is_set(&world->error)) {
				failed++;
				assert_is_old(world, where);
				assert_string_equal(web1(world)->record->phase, CONTAINER_PHASE_FAILED);
				world->host.fail_call = 0;
				world_run_until(world, has_agent);
				/* What a rollout does next: it finds all in place, and proves it. */
				rebuild(world, "bookworm", true);
				assert_int_equal(world->error.code, 0);
				assert_is_old(world, where);
				assert_true(is_ready(world));
			} else {
				absorbed++; /* no failure, or of a call that is made again */
				assert_is_new(world, where);
			}
			world_free(world);
		}
	}
	assert_true(failed >= 12);
	assert_true(absorbed >= 2);
}

/* Where the new one was to be confined in another way, the old one is as before. */
static void goes_back_to_its_profile(void **state)
{
	struct operation_order order = { .type = &operation_rebuild, .id = OPERATION };
	struct world *world = one_new();
	struct wish wish;

	fill(&wish, "trixie", true);
	wish.spec.confinement_mode = PHOENIX__CONFINEMENT_MODE__CONFINEMENT_STACKED;
	order.spec = &wish.spec;
	world->host.fail_verb = "ContainerStart";
	world->host.fail_count = 1;
	world->host.fail_after = true;
	world_begin_order(world, "web1", &order);
	world_run_until(world, world_has_ended);
	assert_int_equal(world->error.code, -EIO);
	assert_is_old(world, "start");
	assert_string_equal(web1(world)->record->profile, FAKE_PROFILE);
	assert_string_equal(real(world)->profile, FAKE_PROFILE);
	world_free(world);
}

static void install_and_verify_fail(void **state)
{
	for (int i = 0; i < 2; i++) {
		struct world *world = one_new();

		world->agent.fail_install = i == 0;
		world->agent.fail_verify = i == 1;
		rebuild(world, "trixie", false);
		assert_true(error_is_set(&world->error));
		assert_string_equal(world->last_step, i == 0 ? "install docker" : "verify");
		assert_is_old(world, world->last_step);
		assert_string_equal(real(world)->kept.image, "trixie"); /* to be looked at */
		world_run_until(world, has_agent);
		world_free(world);
	}
}

static void kill_and_open(struct world *world)
{
	world_close(world);
	world->host.hold_verb = NULL;
	while (world->host.held_count) /* nobody waits for them any more */
		fake_host_let_go(&world->host);
	world_open(world);
	world_bring_agents_back(world);
}

static const char *const steps[] = { "look", "confinement", "prepare root", "stop", "change root",
				     "start", "check confinement", "start agent", "install docker",
				     "verify" };

/* The next phoenixd goes on at the step, to the same end. */
static void killed_at_every_step(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(steps); i++) {
		struct world *world = one_new();

		world->kill_at = steps[i];
		rebuild(world, "trixie", false);
		assert_true(world->is_killed);
		world->kill_at = NULL;
		kill_and_open(world);
		world_run_until(world, is_ready);
		assert_is_new(world, steps[i]);
		assert_int_equal(world->host.roots, 2);
		world_free(world);
	}
}

/* And back, when it fails behind the kill: what the killed one has done is undone as well. */
static void fails_after_a_kill(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(steps); i++) {
		struct world *world = one_new();

		world->kill_at = steps[i];
		rebuild(world, "trixie", false);
		world->kill_at = NULL;
		world->agent.fail_verify = true;
		kill_and_open(world);
		world_run_until(world, has_agent);
		assert_is_old(world, steps[i]);
		world_free(world);
	}
}

static bool holds_one(struct world *world)
{
	return world->host.held_count > 0;
}

/* Killed at any call that undoes, the next one goes on undoing. */
static void killed_while_undoing(void **state)
{
	static const struct {
		const char *fails, *held;
	} cases[] = {
		{ "ContainerCreate", "ContainerRebuild" }, { "ContainerCreate", "ContainerStart" },
		{ "ContainerStart", "ContainerStop" },	   { "ContainerStart", "ContainerRebuild" },
		{ "ContainerStart", "ContainerCreate" },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		struct world *world = one_new();
		unsigned int pushes = world->agent.starts;

		world->host.fail_verb = cases[i].fails;
		world->host.fail_count = 1;
		world->host.hold_when_failed = cases[i].held;
		begin(world, "trixie", false);
		world_run_until(world, holds_one);
		world->host.hold_when_failed = NULL;
		kill_and_open(world);
		world_run_until(world, has_agent);
		assert_is_old(world, cases[i].held);
		assert_true(world->agent.starts > pushes);
		assert_int_equal(world->agent.fragments, 0); /* the new daemon.json never came that far */
		world_free(world);
	}
}

/* Going back is to what is there: nothing new is made in its place. */
static void going_back_wants_the_old_one(void **state)
{
	struct world *world = one_new();

	rebuild(world, "trixie", false);
	real(world)->kept = (struct fake_root){ 0 };
	rebuild(world, "bookworm", true);
	assert_int_equal(world->error.code, -ESTALE);
	assert_non_null(strstr(world->error.why, "is not kept any more"));
	assert_true(real(world)->running);
	assert_int_equal(world->host.roots, 2);
	assert_string_equal(web1(world)->record->spec->image, "trixie");
	world_free(world);
}

static void an_older_host_is_told(void **state)
{
	struct world *world = one_new();

	world->host.knows_no_roots = true;
	rebuild(world, "trixie", false);
	assert_int_equal(world->error.code, -EOPNOTSUPP);
	assert_non_null(strstr(world->error.why, "older than phoenixd"));
	assert_is_old(world, "an older host");
	world_free(world);
}

static void discarded(void **state)
{
	struct world *world = one_new();

	rebuild(world, "trixie", false);
	world_run(world, &operation_discard, "web1", NULL);
	assert_int_equal(world->error.code, 0);
	assert_true(world->changed);
	assert_int_equal(real(world)->kept.serial, 0);
	assert_true(real(world)->running && is_ready(world));
	assert_null(web1(world)->record->kept);
	assert_string_equal(web1(world)->observed->kept_image, "");
	world_run(world, &operation_discard, "web1", NULL);
	assert_int_equal(world->error.code, 0);
	assert_false(world->changed);
	world->host.fail_verb = "ContainerDiscard";
	world->host.fail_count = 1;
	world_run(world, &operation_discard, "web1", NULL);
	assert_int_equal(world->error.code, -EIO);
	assert_true(is_ready(world)); /* how it is does not depend on that */
	assert_null(web1(world)->record->failure);
	world_free(world);
}

static void discard_is_resumed(void **state)
{
	struct world *world = one_new();

	rebuild(world, "trixie", false);
	world->kill_at = "discard";
	world_run(world, &operation_discard, "web1", NULL);
	assert_true(world->is_killed);
	world->kill_at = NULL;
	kill_and_open(world);
	world_run_until(world, is_ready);
	assert_int_equal(real(world)->kept.serial, 0);
	assert_null(web1(world)->record->kept);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back_and_there_again),
		cmocka_unit_test(every_call_fails_once),
		cmocka_unit_test(goes_back_to_its_profile),
		cmocka_unit_test(install_and_verify_fail),
		cmocka_unit_test(killed_at_every_step),
		cmocka_unit_test(fails_after_a_kill),
		cmocka_unit_test(killed_while_undoing),
		cmocka_unit_test(going_back_wants_the_old_one),
		cmocka_unit_test(an_older_host_is_told),
		cmocka_unit_test(discarded),
		cmocka_unit_test(discard_is_resumed),
	};

	return cmocka_run_group_tests_name("rebuild", tests, NULL, NULL);
}
