/*
 * phoenixd's rollouts against a fake phoenix-host and fake agents that speak the real protocol: a rollout
 * to its end, a poisoned container, a kill at every transition, commands, conflicts, the lease.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/fleet/rollout_keys.h"
#include "controller/rollout/engine.h"
#include "controller/rollout/lease.h"
#include "tests/support/cmocka.h"
#include "tests/support/world.h"

#define YEAR_MS (365ULL * 24 * 3600 * 1000)
#define DAEMON "{\"log-level\": \"warn\"}"
#define ITEM(name) PHOENIX__ROLLOUT_ITEM__STATE__##name
#define ROLLOUT(name) PHOENIX__ROLLOUT_RECORD__STATE__##name
#define COMMAND(name) PHOENIX__ROLLOUT_COMMAND_REQUEST__COMMAND__##name

static char names[][8] = { "web1", "web2", "web3" };

/* What a test has besides its world, whose user it is. */
struct trial {
	struct rollout_watcher watcher;
	Phoenix__RolloutStrategy strategy;
	size_t count; /* of containers */
	const char *docker_source;
	unsigned int transitions, kill_at; /* kill_at 0: never */
	unsigned int most_at_once;         /* containers in hand */
};

static struct trial *trial_of(struct world *world)
{
	return world->user;
}

static struct rollout *newest(struct world *world)
{
	return rollouts_find(world->rollouts, "");
}

static unsigned int state_of(struct world *world)
{
	Phoenix__RolloutStatus *status = rollout_status(newest(world), false);
	unsigned int state = status->rollout->state;

	message_free(status);
	return state;
}

static bool is_over(struct world *world)
{
	unsigned int state = state_of(world);

	return state >= ROLLOUT(DONE);
}

static bool is_over_or_killed(struct world *world)
{
	return world->is_killed || is_over(world);
}

/* ---- the world ---- */

static void fill_spec(struct world *world, Phoenix__ContainerSpec *spec,
		      Phoenix__Resources *resources, size_t i)
{
	phoenix__resources__init(resources);
	phoenix__container_spec__init(spec);
	resources->pids = 4096;
	spec->resources = resources;
	spec->name = names[i];
	spec->image = (char *)"bookworm";
	spec->storage_driver = (char *)"fuse-overlayfs";
	spec->docker_source = (char *)trial_of(world)->docker_source;
}

static struct world *fleet_new_with(size_t count, const char *docker_source)
{
	struct world *world = world_new();
	struct trial *trial = ph_alloc(sizeof(*trial));

	world->user = trial;
	trial->count = count;
	trial->docker_source = docker_source;
	for (size_t i = 0; i < count; i++) {
		Phoenix__ContainerSpec spec;
		Phoenix__Resources resources;

		fill_spec(world, &spec, &resources, i);
		world_run(world, &operation_apply, names[i], &spec);
		if (error_is_set(&world->error))
			fail_msg("apply %s: %s", names[i], world->error.why);
	}
	rollout_keys_defaults(&trial->strategy);
	trial->strategy.soak_ms = trial->strategy.canary_soak_ms = 0;
	return world;
}

static struct world *fleet_new(size_t count)
{
	return fleet_new_with(count, "distribution");
}

static void fleet_free(struct world *world)
{
	struct trial *trial = world->user;

	rollout_unwatch(&trial->watcher);
	world_free(world);
	free(trial);
}

/* What kill -9 leaves, and the next phoenixd. */
static void begin_anew(struct world *world)
{
	rollout_unwatch(&trial_of(world)->watcher);
	world_close(world);
	world_open(world);
	world_bring_agents_back(world);
}

/* ---- rollouts ---- */

static bool is_in_hand(unsigned int state)
{
	return state >= ITEM(DRAINING) && state != ITEM(DONE) && state != ITEM(REVERTED);
}

static void changed(void *user, const Phoenix__RolloutStatus *message)
{
	struct world *world = user;
	Phoenix__RolloutStatus *status = rollout_status(newest(world), true);
	unsigned int hands = 0;

	for (size_t i = 0; i < status->n_items; i++)
		hands += is_in_hand(status->items[i]->state);
	message_free(status);
	if (hands > trial_of(world)->most_at_once)
		trial_of(world)->most_at_once = hands;
	if (++trial_of(world)->transitions == trial_of(world)->kill_at)
		world->is_killed = true;
}

static void ended(void *user)
{
}

static void watch(struct world *world)
{
	trial_of(world)->watcher = (struct rollout_watcher){ .changed = changed, .ended = ended, .user = world };
	rollout_watch(newest(world), &trial_of(world)->watcher);
}

/* A fleet of all containers, each with another daemon.json and other limits. */
static int start(struct world *world, const char *selector, const char *daemon, bool plan_only,
		 Phoenix__RolloutStatus **ret_status, struct ph_error *error)
{
	Phoenix__Fleet fleet = PHOENIX__FLEET__INIT;
	Phoenix__ContainerSpec specs[3], *pointers[3];
	Phoenix__Resources resources[3];
	Phoenix__DockerSpec docker = PHOENIX__DOCKER_SPEC__INIT;
	const struct rollouts_order order = { &fleet, selector, false, plan_only };

	docker.daemon = (char *)daemon;
	for (size_t i = 0; i < trial_of(world)->count; i++) {
		fill_spec(world, &specs[i], &resources[i], i);
		if (daemon[0]) {
			specs[i].docker = &docker;
			resources[i].pids = 2000;
		}
		pointers[i] = &specs[i];
	}
	fleet.version = 1;
	fleet.n_containers = trial_of(world)->count;
	fleet.containers = pointers;
	fleet.rollout = &trial_of(world)->strategy;
	return rollouts_start(world->rollouts, &order, ret_status, error);
}

static void begin(struct world *world)
{
	Phoenix__RolloutStatus *status = NULL;
	struct ph_error error;

	trial_of(world)->transitions = trial_of(world)->most_at_once = 0;
	world->is_killed = false;
	if (start(world, "", DAEMON, false, &status, &error) != 0)
		fail_msg("start: %s", error.why);
	message_free(status);
	watch(world);
}

static const char *daemon_of(struct world *world, const char *name)
{
	const Phoenix__ContainerSpec *spec = registry_find(world->registry, name)->record->spec;

	return spec->docker ? spec->docker->daemon : "";
}

static void assert_items(struct world *world, const unsigned int *states)
{
	Phoenix__RolloutStatus *status = rollout_status(newest(world), true);

	assert_int_equal(status->n_items, trial_of(world)->count);
	for (size_t i = 0; i < status->n_items; i++)
		if (status->items[i]->state != states[i])
			fail_msg("%s is %s (%s)", status->items[i]->name,
				 states_name(&rollout_item_states, status->items[i]->state),
				 status->items[i]->failure ? status->items[i]->failure->why : "");
	message_free(status);
}

/* ---- tests ---- */

static void test_to_the_end(void **state)
{
	static const unsigned int states[] = { ITEM(DONE), ITEM(DONE), ITEM(DONE) };
	struct world *world = fleet_new(3);
	Phoenix__RolloutStatus *status = NULL;
	struct ph_error error;
	char incarnation[64];

	text_copy(incarnation, sizeof(incarnation),
		  registry_find(world->registry, "web2")->record->incarnation);
	begin(world);
	assert_string_equal(rollouts_holder(world->rollouts, "web3"),
			    rollouts_holder(world->rollouts, "web1"));
	assert_int_equal(start(world, "web3", "{}", false, &status, &error), -EBUSY);
	world_run_until(world, is_over);
	assert_int_equal(state_of(world), ROLLOUT(DONE));
	assert_items(world, states);
	assert_int_equal(trial_of(world)->most_at_once, 1);
	for (size_t i = 0; i < 3; i++) {
		const struct container *container = registry_find(world->registry, names[i]);

		assert_string_equal(daemon_of(world, names[i]), DAEMON);
		assert_true(container_is_ready(container));
	}
	/* Other limits want another start. */
	assert_string_not_equal(registry_find(world->registry, "web2")->record->incarnation,
				incarnation);
	assert_null(rollouts_holder(world->rollouts, "web1"));
	assert_int_equal(start(world, "", DAEMON, false, &status, &error), ROLLOUTS_NOTHING);
	fleet_free(world);
}

static void test_a_poisoned_container(void **state)
{
	static const unsigned int states[] = { ITEM(DONE), ITEM(REVERTED), ITEM(CHECKED) };
	struct world *world = fleet_new(3);

	world->agent.poisoned = "web2";
	begin(world);
	world_run_until(world, is_over);
	assert_int_equal(state_of(world), ROLLOUT(HALTED));
	assert_items(world, states);
	assert_string_equal(daemon_of(world, "web1"), DAEMON);
	assert_string_equal(daemon_of(world, "web2"), "");
	assert_string_equal(daemon_of(world, "web3"), "");
	assert_int_equal(world->agent.fragments, 2);
	for (size_t i = 0; i < 3; i++)
		assert_true(container_is_ready(registry_find(world->registry, names[i])));
	fleet_free(world);
}

static void test_everything_goes_back(void **state)
{
	static const unsigned int states[] = { ITEM(REVERTED), ITEM(REVERTED), ITEM(CHECKED) };
	struct world *world = fleet_new(3);

	trial_of(world)->strategy.on_failure = PHOENIX__ROLLOUT_STRATEGY__ON_FAILURE__REVERT;
	world->agent.poisoned = "web2";
	begin(world);
	world_run_until(world, is_over);
	assert_int_equal(state_of(world), ROLLOUT(REVERTED));
	assert_items(world, states);
	assert_string_equal(daemon_of(world, "web1"), "");
	fleet_free(world);
}

static uint64_t sequence_of(struct world *world)
{
	Phoenix__RolloutStatus *status = rollout_status(newest(world), false);
	uint64_t sequence = status->rollout->sequence;

	message_free(status);
	return sequence;
}

/* Killed behind every transition: the same end, and not one action more. */
static void test_killed_at_every_transition(void **state)
{
	static const unsigned int states[] = { ITEM(DONE), ITEM(REVERTED) };
	unsigned int total = UINT32_MAX;
	uint64_t actions = 0;

	for (unsigned int kill_at = 0; kill_at < total; kill_at++) {
		struct world *world = fleet_new(2);

		world->agent.poisoned = "web2";
		trial_of(world)->kill_at = kill_at;
		begin(world);
		world_run_until(world, is_over_or_killed);
		if (kill_at) {
			begin_anew(world);
			world_run_until(world, is_over);
		} else {
			total = trial_of(world)->transitions;
			actions = sequence_of(world);
		}
		if (state_of(world) != ROLLOUT(HALTED) || sequence_of(world) != actions)
			fail_msg("killed at transition %u: %s after %llu actions", kill_at,
				 states_name(&rollout_states, state_of(world)),
				 (unsigned long long)sequence_of(world));
		assert_items(world, states);
		assert_string_equal(daemon_of(world, "web1"), DAEMON);
		assert_string_equal(daemon_of(world, "web2"), "");
		fleet_free(world);
	}
	assert_true(total > 15);
}

/* Without Docker there is nothing to verify by an agent: what was converted before the kill is no failure. */
static void test_killed_without_docker(void **state)
{
	static const unsigned int states[] = { ITEM(DONE) };
	unsigned int total = UINT32_MAX;

	for (unsigned int kill_at = 0; kill_at < total; kill_at++) {
		struct world *world = fleet_new_with(1, "none");

		trial_of(world)->kill_at = kill_at;
		begin(world);
		world_run_until(world, is_over_or_killed);
		if (kill_at) {
			begin_anew(world);
			world_run_until(world, is_over);
		} else {
			total = trial_of(world)->transitions;
		}
		assert_items(world, states);
		if (world->agent.verifies)
			fail_msg("killed at transition %u: an agent was asked to verify Docker", kill_at);
		fleet_free(world);
	}
}

static bool is_at_gate(struct world *world)
{
	return state_of(world) == ROLLOUT(GATE);
}

static void command(struct world *world, unsigned int order, int expected)
{
	struct ph_error error = { 0 };
	int r = rollouts_command(newest(world), order, &error);

	if (r != expected)
		fail_msg("command %u: %d %s", order, r, error.why);
}

static void test_gate_and_revert(void **state)
{
	static const unsigned int done[] = { ITEM(DONE), ITEM(DONE) };
	static const unsigned int back[] = { ITEM(REVERTED), ITEM(REVERTED) };
	struct world *world = fleet_new(2);

	trial_of(world)->strategy.gate_canary = true;
	begin(world);
	world_run_until(world, is_at_gate);
	assert_string_equal(daemon_of(world, "web2"), "");
	command(world, COMMAND(PAUSE), -EINVAL);
	command(world, COMMAND(RESUME), 0);
	world_run_until(world, is_over);
	assert_items(world, done);
	command(world, COMMAND(ABORT), -EINVAL);
	command(world, COMMAND(REVERT), 0);
	world_run_until(world, is_over);
	assert_int_equal(state_of(world), ROLLOUT(REVERTED));
	assert_items(world, back);
	assert_string_equal(daemon_of(world, "web1"), "");
	fleet_free(world);
}

static void test_refused(void **state)
{
	struct world *world = fleet_new(2);
	Phoenix__RolloutAmount none = PHOENIX__ROLLOUT_AMOUNT__INIT;
	Phoenix__RolloutStatus *status = NULL;
	struct ph_error error;

	assert_int_equal(start(world, "db*", DAEMON, false, &status, &error), -ENOENT);
	assert_non_null(strstr(error.why, "selection is empty"));
	assert_int_equal(start(world, "=", DAEMON, false, &status, &error), -EINVAL);
	trial_of(world)->strategy.max_unavailable = &none;
	assert_int_equal(start(world, "", DAEMON, false, &status, &error), -EINVAL);
	assert_non_null(strstr(error.why, "could not finish"));
	trial_of(world)->strategy.max_unavailable = NULL;
	assert_int_equal(start(world, "web1", DAEMON, true, &status, &error), 0);
	assert_int_equal(status->n_items, 1);
	assert_int_equal(status->items[0]->n_changes, 2);
	message_free(status);
	assert_null(newest(world)); /* nothing of all this was begun */
	fleet_free(world);
}

/* A container that is not well beforehand is not touched, and neither are the others. */
static void test_preflight_refuses(void **state)
{
	static const unsigned int states[] = { ITEM(CHECKED), ITEM(REFUSED) };
	struct world *world = fleet_new(2);
	struct ph_error error;

	assert_int_equal(container_set_phase(registry_find(world->registry, "web2"), CONTAINER_PHASE_FAILED,
					     NULL, &error), 0);
	begin(world);
	world_run_until(world, is_over);
	assert_int_equal(state_of(world), ROLLOUT(HALTED));
	assert_items(world, states);
	assert_int_equal(world->agent.fragments, 0);
	fleet_free(world);
}

static bool has_drained(struct world *world)
{
	EVENTS_AUTO_BATCH struct events_batch batch = { 0 };
	bool is_told = false;

	journal_flush(world->registry->journal);
	assert_int_equal(events_read(journal_events(world->registry->journal), 0, NULL, 1000, &batch,
				     NULL), 0);
	for (size_t i = 0; i < batch.count; i++)
		is_told |= text_equal(batch.events[i]->type, "rollout.drain") &&
			   strstr(batch.events[i]->message, "10.");
	return is_told;
}

/* Who sends work is told before the container is touched, and given its time. */
static void test_drain(void **state)
{
	static const unsigned int done[] = { ITEM(DONE) };
	struct world *world = fleet_new(1);

	trial_of(world)->strategy.drain_ms = 300;
	begin(world);
	world_run_until(world, has_drained);
	assert_int_equal(world->agent.fragments, 0);
	world_run_until(world, is_over);
	assert_items(world, done);
	fleet_free(world);
}

/* ---- the lease ---- */

static const struct lease_now *at(uint64_t now_ms)
{
	static struct lease_now now;

	now = (struct lease_now){ now_ms, now_ms, 0 };
	return &now;
}

/* One that was taken while the clock was a year ahead, before this boot, stands in nobody's way. */
static void test_lease_of_another_clock(void **state)
{
	const struct lease_now ahead = { YEAR_MS + 2000, 9000, 7000 }, now = { 2000, 5000, 3000 };
	struct scratch scratch;
	struct lease first, second;
	struct store *store;
	struct ph_error error;
	char path[320];

	scratch_init(&scratch);
	snprintf(path, sizeof(path), "%s/state.db", scratch.path);
	assert_int_equal(store_open(path, &store, &error), 0);
	lease_identify(&first);
	second = first;
	snprintf(second.holder, sizeof(second.holder), "another-boot:1:1");
	assert_int_equal(lease_read_clock(&first, store, &now), 2000);
	assert_int_equal(lease_take(&second, store, &ahead, &error), 0);
	/* What was over then is over: the clock of rollouts does not go back. */
	assert_int_equal(lease_read_clock(&first, store, &now), 7000);
	assert_int_equal(lease_take(&first, store, &now, &error), 0);
	/* Of this boot: the wall clock does not matter. */
	assert_int_equal(lease_read_clock(&first, store, &(struct lease_now){ YEAR_MS, 5500, 0 }), 3500);
	assert_int_equal(lease_read_clock(&first, store, &(struct lease_now){ 1, 5500, 0 }), 3500);
	store_close(store);
	scratch_fini(&scratch);
}

static void test_lease(void **state)
{
	struct scratch scratch;
	struct lease first, second;
	struct store *store;
	struct ph_error error;
	char path[320], mine[LEASE_HOLDER_SIZE];

	scratch_init(&scratch);
	snprintf(path, sizeof(path), "%s/state.db", scratch.path);
	assert_int_equal(store_open(path, &store, &error), 0);
	lease_identify(&first);
	assert_false(lease_holder_is_dead(first.holder));
	text_copy(mine, sizeof(mine), first.holder);
	second = first;
	/* As from another machine: nobody can tell whether it lives. */
	snprintf(second.holder, sizeof(second.holder), "another-boot:1:1");
	assert_int_equal(lease_take(&first, store, at(1000), &error), 0);
	assert_int_equal(first.token, 1);
	assert_int_equal(lease_take(&second, store, at(1000), &error), LEASE_HELD);
	assert_int_equal(lease_take(&first, store, at(2000), &error), 0); /* renewed */
	assert_int_equal(first.token, 1);
	assert_int_equal(lease_take(&second, store, at(2000 + LEASE_MS), &error), 0);
	assert_int_equal(second.token, 2);
	/* The first one, as yet unaware of it, writes nothing any more. */
	const struct store_compare fence = lease_fence(&first);
	const struct store_operation put = { STORE_PUT, "rollout/x", "x", 1 };

	assert_int_equal(store_commit(store, &fence, 1, &put, 1, NULL, &error), STORE_CONFLICT);
	assert_int_equal(lease_take(&first, store, at(2001 + LEASE_MS), &error), LEASE_HELD);
	assert_false(lease_is_held(&first, 2001 + LEASE_MS));
	/* A holder of this boot whose process is gone needs not run out. */
	snprintf(strrchr(mine, ':'), 4, ":1");
	assert_true(lease_holder_is_dead(mine));
	store_close(store);
	scratch_fini(&scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lease),
		cmocka_unit_test(test_lease_of_another_clock),
		cmocka_unit_test(test_to_the_end),
		cmocka_unit_test(test_a_poisoned_container),
		cmocka_unit_test(test_everything_goes_back),
		cmocka_unit_test(test_killed_at_every_transition),
		cmocka_unit_test(test_killed_without_docker),
		cmocka_unit_test(test_gate_and_revert),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_preflight_refuses),
		cmocka_unit_test(test_drain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
