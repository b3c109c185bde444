/*
 * phoenixd's rollouts against a fake phoenix-host and fake agents that speak the real protocol: a rollout
 * to its end, a poisoned container, a kill at every transition, commands, conflicts, the lease.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/container/container.h"
#include "controller/container/operation.h"
#include "controller/fleet/rollout_keys.h"
#include "controller/link/agent_key.h"
#include "controller/rollout/engine.h"
#include "controller/rollout/lease.h"
#include "controller/rollout/rollouts.h"
#include "tests/support/cmocka.h"
#include "tests/support/fake_agent.h"
#include "tests/support/fake_host.h"
#include "tests/support/scratch.h"

#define PATIENCE_MS 60000
#define YEAR_MS (365ULL * 24 * 3600 * 1000)
#define DAEMON "{\"log-level\": \"warn\"}"
#define ITEM(name) PHOENIX__ROLLOUT_ITEM__STATE__##name
#define ROLLOUT(name) PHOENIX__ROLLOUT_RECORD__STATE__##name
#define COMMAND(name) PHOENIX__ROLLOUT_COMMAND_REQUEST__COMMAND__##name

static char names[][8] = { "web1", "web2", "web3" };

struct world {
	struct scratch scratch;
	uv_loop_t loop;
	struct config config;
	struct fake_host host;
	struct fake_agent agent;
	struct registry *registry;
	struct rollouts *rollouts;
	struct operation_watcher applying;
	struct rollout_watcher watcher;
	Phoenix__RolloutStrategy strategy;
	size_t count; /* of containers */
	const char *docker_source;
	bool has_applied;
	unsigned int transitions, kill_at; /* kill_at 0: never */
	unsigned int most_at_once;         /* containers in hand */
	bool is_killed;
};

/* ---- the loop ---- */

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

static bool is_adopted(struct world *world)
{
	return world->registry->is_adopted;
}

static bool has_applied(struct world *world)
{
	return world->has_applied;
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

static void open_controller(struct world *world)
{
	struct ph_error error;

	if (registry_open(&world->loop, &world->config, &world->registry, &error) < 0 ||
	    rollouts_open(world->registry, &world->rollouts, &error) < 0)
		fail_msg("%s", error.why);
	world->registry->check_peer = NULL; /* our agents are in no container */
	run_until(world, is_adopted);
}

/* What kill -9 leaves: the store, phoenix-host and the agents. */
static void close_controller(struct world *world)
{
	rollout_unwatch(&world->watcher);
	rollouts_close(world->rollouts);
	registry_close(world->registry);
	for (int i = 0; i < 20; i++)
		uv_run(&world->loop, UV_RUN_NOWAIT);
}

/* Agents that survived come back by themselves. */
static void bring_agents_back(struct world *world)
{
	for (struct container *container = world->registry->containers; container;
	     container = container->next) {
		uint8_t key[HANDSHAKE_KEY_SIZE];

		if (agent_key_read(world->config.state_dir, container_name(container), key) < 0)
			continue; /* its next push makes one */
		fake_agent_start(&world->agent, &world->loop, world->scratch.path,
				 container_name(container), container->record->incarnation, key,
				 container->record->ids->first);
	}
}

static void progress(void *user, const Phoenix__Progress *message)
{
}

static void applied(void *user, const char *name, bool changed, const struct ph_error *error)
{
	if (error)
		fail_msg("apply %s: %s", name, error->why);
	((struct world *)user)->has_applied = true;
}

static void fill_spec(const struct world *world, Phoenix__ContainerSpec *spec,
		      Phoenix__Resources *resources, size_t i)
{
	phoenix__resources__init(resources);
	phoenix__container_spec__init(spec);
	resources->pids = 4096;
	spec->resources = resources;
	spec->name = names[i];
	spec->image = (char *)"bookworm";
	spec->storage_driver = (char *)"fuse-overlayfs";
	spec->docker_source = (char *)world->docker_source;
}

static void apply(struct world *world, size_t i)
{
	Phoenix__ContainerRecord record = PHOENIX__CONTAINER_RECORD__INIT;
	Phoenix__ContainerSpec spec;
	Phoenix__Resources resources;
	struct container *container;
	struct ph_error error;

	fill_spec(world, &spec, &resources, i);
	record.spec = &spec;
	record.phase = (char *)CONTAINER_PHASE_PREPARING;
	container = container_new(world->registry, MESSAGE_COPY(&record));
	registry_add(world->registry, container);
	world->applying = (struct operation_watcher){ .progress = progress, .ended = applied,
						      .user = world };
	world->has_applied = false;
	assert_int_equal(operation_start(container, &operation_apply, &spec, true, &world->applying,
					 &error), 0);
	run_until(world, has_applied);
}

static struct world *world_new_with(size_t count, const char *docker_source)
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
	world->host.image = "bookworm";
	world->host.agent = &world->agent;
	fake_host_open(&world->host, &world->loop, world->scratch.path);
	open_controller(world);
	world->count = count;
	world->docker_source = docker_source;
	for (size_t i = 0; i < count; i++)
		apply(world, i);
	rollout_keys_defaults(&world->strategy);
	world->strategy.soak_ms = world->strategy.canary_soak_ms = 0;
	return world;
}

static struct world *world_new(size_t count)
{
	return world_new_with(count, "distribution");
}

static void world_free(struct world *world)
{
	close_controller(world);
	fake_agent_kill_all(&world->agent);
	fake_host_close(&world->host);
	uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world->loop), 0);
	scratch_fini(&world->scratch);
	free(world);
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
	if (hands > world->most_at_once)
		world->most_at_once = hands;
	if (++world->transitions == world->kill_at)
		world->is_killed = true;
}

static void ended(void *user)
{
}

static void watch(struct world *world)
{
	world->watcher = (struct rollout_watcher){ .changed = changed, .ended = ended, .user = world };
	rollout_watch(newest(world), &world->watcher);
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
	for (size_t i = 0; i < world->count; i++) {
		fill_spec(world, &specs[i], &resources[i], i);
		if (daemon[0]) {
			specs[i].docker = &docker;
			resources[i].pids = 2000;
		}
		pointers[i] = &specs[i];
	}
	fleet.version = 1;
	fleet.n_containers = world->count;
	fleet.containers = pointers;
	fleet.rollout = &world->strategy;
	return rollouts_start(world->rollouts, &order, ret_status, error);
}

static void begin(struct world *world)
{
	Phoenix__RolloutStatus *status = NULL;
	struct ph_error error;

	world->transitions = world->most_at_once = 0;
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

	assert_int_equal(status->n_items, world->count);
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
	struct world *world = world_new(3);
	Phoenix__RolloutStatus *status = NULL;
	struct ph_error error;
	char incarnation[64];

	text_copy(incarnation, sizeof(incarnation),
		  registry_find(world->registry, "web2")->record->incarnation);
	begin(world);
	assert_string_equal(rollouts_holder(world->rollouts, "web3"),
			    rollouts_holder(world->rollouts, "web1"));
	assert_int_equal(start(world, "web3", "{}", false, &status, &error), -EBUSY);
	run_until(world, is_over);
	assert_int_equal(state_of(world), ROLLOUT(DONE));
	assert_items(world, states);
	assert_int_equal(world->most_at_once, 1);
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
	world_free(world);
}

static void test_a_poisoned_container(void **state)
{
	static const unsigned int states[] = { ITEM(DONE), ITEM(REVERTED), ITEM(CHECKED) };
	struct world *world = world_new(3);

	world->agent.poisoned = "web2";
	begin(world);
	run_until(world, is_over);
	assert_int_equal(state_of(world), ROLLOUT(HALTED));
	assert_items(world, states);
	assert_string_equal(daemon_of(world, "web1"), DAEMON);
	assert_string_equal(daemon_of(world, "web2"), "");
	assert_string_equal(daemon_of(world, "web3"), "");
	assert_int_equal(world->agent.fragments, 2);
	for (size_t i = 0; i < 3; i++)
		assert_true(container_is_ready(registry_find(world->registry, names[i])));
	world_free(world);
}

static void test_everything_goes_back(void **state)
{
	static const unsigned int states[] = { ITEM(REVERTED), ITEM(REVERTED), ITEM(CHECKED) };
	struct world *world = world_new(3);

	world->strategy.on_failure = PHOENIX__ROLLOUT_STRATEGY__ON_FAILURE__REVERT;
	world->agent.poisoned = "web2";
	begin(world);
	run_until(world, is_over);
	assert_int_equal(state_of(world), ROLLOUT(REVERTED));
	assert_items(world, states);
	assert_string_equal(daemon_of(world, "web1"), "");
	world_free(world);
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
		struct world *world = world_new(2);

		world->agent.poisoned = "web2";
		world->kill_at = kill_at;
		begin(world);
		run_until(world, is_over_or_killed);
		if (kill_at) {
			close_controller(world);
			open_controller(world);
			bring_agents_back(world);
			run_until(world, is_over);
		} else {
			total = world->transitions;
			actions = sequence_of(world);
		}
		if (state_of(world) != ROLLOUT(HALTED) || sequence_of(world) != actions)
			fail_msg("killed at transition %u: %s after %llu actions", kill_at,
				 states_name(&rollout_states, state_of(world)),
				 (unsigned long long)sequence_of(world));
		assert_items(world, states);
		assert_string_equal(daemon_of(world, "web1"), DAEMON);
		assert_string_equal(daemon_of(world, "web2"), "");
		world_free(world);
	}
	assert_true(total > 15);
}

/* Without Docker there is nothing to verify by an agent: what was converted before the kill is no failure. */
static void test_killed_without_docker(void **state)
{
	static const unsigned int states[] = { ITEM(DONE) };
	unsigned int total = UINT32_MAX;

	for (unsigned int kill_at = 0; kill_at < total; kill_at++) {
		struct world *world = world_new_with(1, "none");

		world->kill_at = kill_at;
		begin(world);
		run_until(world, is_over_or_killed);
		if (kill_at) {
			close_controller(world);
			open_controller(world);
			bring_agents_back(world);
			run_until(world, is_over);
		} else {
			total = world->transitions;
		}
		assert_items(world, states);
		if (world->agent.verifies)
			fail_msg("killed at transition %u: an agent was asked to verify Docker", kill_at);
		world_free(world);
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
	struct world *world = world_new(2);

	world->strategy.gate_canary = true;
	begin(world);
	run_until(world, is_at_gate);
	assert_string_equal(daemon_of(world, "web2"), "");
	command(world, COMMAND(PAUSE), -EINVAL);
	command(world, COMMAND(RESUME), 0);
	run_until(world, is_over);
	assert_items(world, done);
	command(world, COMMAND(ABORT), -EINVAL);
	command(world, COMMAND(REVERT), 0);
	run_until(world, is_over);
	assert_int_equal(state_of(world), ROLLOUT(REVERTED));
	assert_items(world, back);
	assert_string_equal(daemon_of(world, "web1"), "");
	world_free(world);
}

static void test_refused(void **state)
{
	struct world *world = world_new(2);
	Phoenix__RolloutAmount none = PHOENIX__ROLLOUT_AMOUNT__INIT;
	Phoenix__RolloutStatus *status = NULL;
	struct ph_error error;

	assert_int_equal(start(world, "db*", DAEMON, false, &status, &error), -ENOENT);
	assert_non_null(strstr(error.why, "selection is empty"));
	assert_int_equal(start(world, "=", DAEMON, false, &status, &error), -EINVAL);
	world->strategy.max_unavailable = &none;
	assert_int_equal(start(world, "", DAEMON, false, &status, &error), -EINVAL);
	assert_non_null(strstr(error.why, "could not finish"));
	world->strategy.max_unavailable = NULL;
	assert_int_equal(start(world, "web1", DAEMON, true, &status, &error), 0);
	assert_int_equal(status->n_items, 1);
	assert_int_equal(status->items[0]->n_changes, 2);
	message_free(status);
	assert_null(newest(world)); /* nothing of all this was begun */
	world_free(world);
}

/* A container that is not well beforehand is not touched, and neither are the others. */
static void test_preflight_refuses(void **state)
{
	static const unsigned int states[] = { ITEM(CHECKED), ITEM(REFUSED) };
	struct world *world = world_new(2);
	struct ph_error error;

	assert_int_equal(container_set_phase(registry_find(world->registry, "web2"), CONTAINER_PHASE_FAILED,
					     NULL, &error), 0);
	begin(world);
	run_until(world, is_over);
	assert_int_equal(state_of(world), ROLLOUT(HALTED));
	assert_items(world, states);
	assert_int_equal(world->agent.fragments, 0);
	world_free(world);
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
	struct world *world = world_new(1);

	world->strategy.drain_ms = 300;
	begin(world);
	run_until(world, has_drained);
	assert_int_equal(world->agent.fragments, 0);
	run_until(world, is_over);
	assert_items(world, done);
	world_free(world);
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
