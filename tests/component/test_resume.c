/* phoenixd is killed where an operation has failed, or is about to: the next one goes on with the same. */
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/container/container.h"
#include "tests/support/cmocka.h"
#include "tests/support/world.h"

static void begin(struct world *world)
{
	Phoenix__ContainerSpec spec = PHOENIX__CONTAINER_SPEC__INIT;

	spec.name = (char *)"web1";
	spec.image = (char *)"bookworm";
	spec.storage_driver = (char *)"fuse-overlayfs";
	spec.docker_source = (char *)"distribution";
	world_begin(world, &operation_apply, "web1", &spec);
}

static bool holds_one(struct world *world)
{
	return world->host.held_count > 0;
}

static void kill_and_open(struct world *world)
{
	world_close(world);
	world->host.hold_verb = NULL;
	while (world->host.held_count) /* nobody waits for them any more */
		fake_host_let_go(&world->host);
	world_open(world);
	world_run_until(world, world_is_idle);
}

static bool store_is_empty(struct world *world)
{
	STORE_AUTO_LIST struct store_list list = { 0 };

	assert_int_equal(store_list(world->registry->store, "", &list, NULL), 0);
	return list.count == 0;
}

static void assert_nothing_is_left(struct world *world, const char *where)
{
	if (!fake_host_is_empty(&world->host) || !store_is_empty(world) ||
	    registry_find(world->registry, "web1"))
		fail_msg("%s: something is left", where);
}

/* How often an event of that type says a text. */
static size_t count_events(struct world *world, const char *type, const char *text)
{
	EVENTS_AUTO_BATCH struct events_batch batch = { 0 };
	size_t told = 0;

	journal_flush(world->registry->journal);
	assert_int_equal(events_read(journal_events(world->registry->journal), 0, NULL, 1000,
				     &batch, NULL), 0);
	for (size_t i = 0; i < batch.count; i++)
		told += text_equal(batch.events[i]->type, type) &&
			strstr(batch.events[i]->message, text) != NULL;
	return told;
}

/* Killed at any undo, the next phoenixd goes on undoing: it doesn't try again what has failed. */
static void test_killed_while_undoing(void **state)
{
	static const char *const undo_verbs[] = { "ContainerStop", "ContainerDestroy", "ConfineRemove",
						  "NetworkRemove" };

	for (size_t i = 0; i < ARRAY_LENGTH(undo_verbs); i++) {
		struct world *world = world_new();

		world->host.fail_verb = "ContainerStart";
		world->host.fail_count = 1;
		world->host.hold_verb = undo_verbs[i];
		begin(world);
		world_run_until(world, holds_one);
		kill_and_open(world);
		assert_nothing_is_left(world, undo_verbs[i]);
		assert_int_equal(world->agent.installs, 0);
		/* The end names what had failed, not that something was interrupted. */
		if (count_events(world, "operation.failed", "told to fail") != 1)
			fail_msg("%s: the end does not say why", undo_verbs[i]);
		world_free(world);
	}
}

/* What the killed one had done and the next finds done is undone by it all the same. */
static void test_fails_after_a_kill(void **state)
{
	static const char *const steps[] = { "network", "confinement", "create" };

	for (size_t i = 0; i < ARRAY_LENGTH(steps); i++) {
		struct world *world = world_new();

		world->kill_at = steps[i];
		begin(world);
		world_run_until(world, world_has_ended_or_killed);
		assert_true(world->is_killed);
		world_close(world); /* what phoenix-host was asked it does all the same */
		world->host.fail_verb = "ContainerStart";
		world->host.fail_count = 1;
		world_open(world);
		world_run_until(world, world_is_idle);
		assert_int_equal(world->host.fail_count, 0);
		assert_nothing_is_left(world, steps[i]);
		world_free(world);
	}
}

static bool is_well(struct world *world)
{
	return world_is_idle(world) && container_is_ready(registry_find(world->registry, "web1"));
}

static bool is_found_off_label(struct world *world)
{
	const struct container *container = registry_find(world->registry, "web1");
	const Phoenix__Condition *confined = conditions_find(&container->conditions, "Confined");

	return confined && confined->status == PHOENIX__CONDITION__STATUS__FALSE;
}

/* A restarted phoenixd knows no condition at first; it tells of those that are not as they were told last. */
static void test_a_restart_tells_what_has_changed(void **state)
{
	struct world *world = world_new();
	size_t told, lost;

	begin(world);
	world_run_until(world, is_well);
	kill_and_open(world); /* what the apply itself had told stands for it */
	world_run_until(world, is_well);
	told = count_events(world, "condition.changed", " is ");
	lost = count_events(world, "condition.changed", "AgentConnected is ");
	assert_true(told > 0);
	for (int i = 0; i < 3; i++) {
		kill_and_open(world);
		world_run_until(world, is_well);
	}
	/* Whether its session was looked at before it came back is chance. */
	told = count_events(world, "condition.changed", " is ") - told;
	lost = count_events(world, "condition.changed", "AgentConnected is ") - lost;
	if (told > lost)
		fail_msg("%zu conditions were told although none has changed", told - lost);
	world_close(world);
	world->host.off_label = true;
	world_open(world);
	world_run_until(world, is_found_off_label);
	kill_and_open(world);
	assert_int_equal(count_events(world, "condition.changed", "Confined is False"), 1);
	world_free(world);
}

static bool is_removed(struct world *world)
{
	return world_is_idle(world) && !registry_find(world->registry, "web1");
}

/* What was told of another container that had the name before says nothing of this one. */
static void test_a_namesake_is_told_of(void **state)
{
	struct world *world = world_new();

	for (size_t round = 1; round <= 2; round++) {
		world->host.off_label = false;
		begin(world);
		world_run_until(world, is_well);
		world->host.off_label = true;
		kill_and_open(world);
		world_run_until(world, is_found_off_label);
		assert_int_equal(count_events(world, "condition.changed", "Confined is False"), round);
		world_begin(world, &operation_remove, "web1", NULL);
		world_run_until(world, is_removed);
	}
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_killed_while_undoing),
		cmocka_unit_test(test_fails_after_a_kill),
		cmocka_unit_test(test_a_restart_tells_what_has_changed),
		cmocka_unit_test(test_a_namesake_is_told_of),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
