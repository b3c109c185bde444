/*
 * phoenixd's flows against a fake phoenix-host and fake agents that speak the real protocol over
 * real sockets on one loop: the failure walk over apply, resume after a crash at every step, lost
 * agents, and what may never happen, an unconfined container that counts as ready.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/container/claim_events.h"
#include "controller/container/container.h"
#include "controller/container/operation_record.h"
#include "controller/container/verify.h"
#include "controller/link/agent_key.h"
#include "tests/support/cmocka.h"
#include "tests/support/world.h"

static void begin(struct world *world, const struct operation_type *type, const char *name)
{
	Phoenix__ContainerSpec spec = PHOENIX__CONTAINER_SPEC__INIT;

	spec.name = (char *)name;
	spec.image = (char *)"bookworm";
	spec.storage_driver = (char *)"fuse-overlayfs";
	spec.docker_source = (char *)"distribution";
	world_begin(world, type, name, type == &operation_apply ? &spec : NULL);
}

static void refreshed(void *user)
{
	((struct world *)user)->has_ended = true;
}

static void apply(struct world *world, const char *name)
{
	begin(world, &operation_apply, name);
	world_run_until(world, world_has_ended);
}

static void remove_container(struct world *world, const char *name)
{
	begin(world, &operation_remove, name);
	world_run_until(world, world_has_ended);
}

static bool store_is_empty(struct world *world)
{
	STORE_AUTO_LIST struct store_list list = { 0 };

	assert_int_equal(store_list(world->registry->store, "", &list, NULL), 0);
	return list.count == 0;
}

/* ---- tests ---- */

static void test_apply_twice(void **state)
{
	struct world *world = world_new();
	struct container *container;
	unsigned int writes;

	apply(world, "web1");
	assert_int_equal(world->error.code, 0);
	assert_true(world->changed);
	container = registry_find(world->registry, "web1");
	assert_true(container_is(container, CONTAINER_PHASE_RUNNING));
	assert_true(container_is_ready(container));
	assert_int_equal(world->agent.installs, 1);
	assert_int_equal(world->agent.verifies, 1);
	assert_int_equal(world->agent.resumes, 1);

	writes = world->host.writes;
	apply(world, "web1");
	assert_int_equal(world->error.code, 0);
	assert_false(world->changed);
	assert_int_equal(world->steps_changed, 0);
	assert_int_equal(world->host.writes, writes);
	assert_int_equal(world->agent.installs, 1);
	assert_int_equal(world->agent.verifies, 1);
	/* Judged by what was asked for: else Docker from another source is never as planned. */
	assert_int_equal(world->agent.sourceless, 0);

	remove_container(world, "web1");
	assert_int_equal(world->error.code, 0);
	assert_null(registry_find(world->registry, "web1"));
	assert_true(fake_host_is_empty(&world->host));
	assert_true(store_is_empty(world));
	world_free(world);
}

/* What the host says about its network reaches the operator, once. */
static void test_network_findings_are_told(void **state)
{
	struct world *world = world_new();
	EVENTS_AUTO_BATCH struct events_batch batch = { 0 };
	size_t told = 0;

	apply(world, "web1");
	apply(world, "web1");
	journal_flush(world->registry->journal);
	assert_int_equal(events_read(journal_events(world->registry->journal), 0, NULL, 1000,
				     &batch, NULL),
			 0);
	for (size_t i = 0; i < batch.count; i++)
		if (text_equal(batch.events[i]->type, "network.finding"))
			told += strstr(batch.events[i]->message, "use a real one") != NULL;
	assert_int_equal(told, 1);
	world_free(world);
}

static size_t count_findings(struct world *world, const char *id)
{
	EVENTS_AUTO_BATCH struct events_batch batch = { 0 };
	size_t told = 0;

	journal_flush(world->registry->journal);
	assert_int_equal(events_read(journal_events(world->registry->journal), 0, NULL, 1000,
				     &batch, NULL),
			 0);
	for (size_t i = 0; i < batch.count; i++)
		if (text_equal(batch.events[i]->type, "preflight.finding"))
			told += text_has_prefix(batch.events[i]->message, id);
	return told;
}

/* The host's findings once, those of the inside for each new container; none keeps apply from ending. */
static void test_preflight_findings_are_told(void **state)
{
	struct world *world = world_new();

	world->host.no_namespaces = true;
	world->agent.has_clash = true;
	apply(world, "web1");
	assert_int_equal(world->error.code, 0);
	apply(world, "web1");
	apply(world, "web2");
	assert_int_equal(world->error.code, 0);
	assert_int_equal(count_findings(world, "preflight.user-namespaces: "), 1);
	assert_int_equal(count_findings(world, "preflight.runc-clash: "), 2);
	assert_int_equal(count_findings(world, "preflight.cgroup"), 0);
	world_free(world);
}

/* A phoenix-host that cannot answer the question does not stand in an apply's way. */
static bool has_told_of_namespaces(struct world *world)
{
	return count_findings(world, "preflight.user-namespaces: ") > 0;
}

/* What the first container did not meet is told when a later one does not stay up. */
static void test_preflight_is_told_when_one_does_not_stay_up(void **state)
{
	struct world *world = world_new();

	apply(world, "web1");
	assert_int_equal(count_findings(world, "preflight."), 0);
	world->host.no_namespaces = true;
	world->host.fail_verb = "ContainerStart";
	world->host.fail_count = 1;
	apply(world, "web2");
	assert_string_equal(world->error.step, "start");
	world_run_until(world, has_told_of_namespaces);
	assert_int_equal(count_findings(world, "preflight.user-namespaces: "), 1);
	world_free(world);
}

static void test_preflight_may_fail(void **state)
{
	struct world *world = world_new();

	world->host.fail_verb = "Preflight";
	world->host.fail_count = 1;
	apply(world, "web1");
	assert_int_equal(world->error.code, 0);
	assert_int_equal(world->host.fail_count, 0);
	assert_int_equal(count_findings(world, "preflight."), 0);
	world_free(world);
}

/* Verbs in the order of the flow; each fails before and after its work. */
static const struct {
	const char *verb;
	bool after;
	const char *step;
} walk[] = {
	{ "NetworkEnsure", false, "network" },     { "NetworkEnsure", true, "network" },
	{ "ConfineEnsure", false, "confinement" }, { "ConfineEnsure", true, "confinement" },
	{ "ContainerCreate", false, "create" },    { "ContainerCreate", true, "create" },
	{ "ContainerStart", false, "start" },      { "ContainerStart", true, "start" },
	{ "ContainerObserve", false, "start" },
};

static void test_failure_walk(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(walk); i++) {
		struct world *world = world_new();

		world->host.fail_verb = walk[i].verb;
		world->host.fail_after = walk[i].after;
		world->host.fail_count = 1;
		apply(world, "web1");
		if (world->error.code != -EIO || !text_equal(world->error.step, walk[i].step) ||
		    !world->error.remedy[0] || !world->error.where[0])
			fail_msg("%s: code %d step '%s' where '%s'", walk[i].verb,
				 world->error.code, world->error.step, world->error.where);
		if (!fake_host_is_empty(&world->host) || !store_is_empty(world) ||
		    registry_find(world->registry, "web1"))
			fail_msg("%s: something is left", walk[i].verb);

		apply(world, "web1"); /* and nothing stands in the way of the next try */
		assert_int_equal(world->error.code, 0);
		world_free(world);
	}
}

static void test_unconfined_is_stopped(void **state)
{
	struct world *world = world_new();

	world->host.starts_off_label = true;
	apply(world, "web1");
	assert_int_equal(world->error.code, -EPERM);
	assert_string_equal(world->error.step, "check confinement");
	assert_non_null(strstr(world->error.why, "pid 9 (sh)"));
	assert_true(fake_host_is_empty(&world->host));
	world_free(world);
}

static size_t count_events(struct world *world, const char *type, const char *reason)
{
	EVENTS_AUTO_BATCH struct events_batch batch = { 0 };
	size_t count = 0;

	journal_flush(world->registry->journal);
	assert_int_equal(events_read(journal_events(world->registry->journal), 0, NULL, 1000,
				     &batch, NULL),
			 0);
	for (size_t i = 0; i < batch.count; i++)
		count += text_equal(batch.events[i]->type, type) &&
			 text_equal(batch.events[i]->reason, reason);
	return count;
}

struct deletion {
	struct world *world;
	unsigned int deleted, in_log;
};

/* What is on the disk at that moment is what the next phoenixd would find. */
static void record_changed(void *user, const struct store_change *change)
{
	EVENTS_AUTO_BATCH struct events_batch batch = { 0 };
	struct deletion *deletion = user;

	if (!change->deleted)
		return;
	deletion->deleted++;
	assert_int_equal(events_read(journal_events(deletion->world->registry->journal), 0, NULL,
				     1000, &batch, NULL),
			 0);
	for (size_t i = 0; i < batch.count; i++)
		deletion->in_log += text_equal(batch.events[i]->type, "operation.done");
}

/* The record of an operation goes when its end is in the log: a kill between the two loses neither. */
static void test_end_is_in_the_log_first(void **state)
{
	struct world *world = world_new();
	struct deletion deletion = { .world = world };
	struct store_watch *watch;
	struct ph_error error;

	assert_int_equal(store_watch(world->registry->store, "operation/", 0, record_changed,
				     &deletion, &watch, &error),
			 0);
	apply(world, "web1");
	store_watch_cancel(watch);
	assert_int_equal(deletion.deleted, 1);
	assert_int_equal(deletion.in_log, 1);
	world_free(world);
}

/* Nothing overtakes an operation that a new phoenixd has not resumed yet. */
static void test_nothing_overtakes(void **state)
{
	Phoenix__OperationRecord record = PHOENIX__OPERATION_RECORD__INIT;
	struct world *world = world_new();
	struct ph_error error;

	apply(world, "web1");
	record.id = (char *)"0123456789abcdef";
	record.kind = (char *)"verify";
	record.container = (char *)"web1";
	assert_int_equal(operation_record_save(world->registry, &record, &error), 0);
	world->registry->is_adopted = false;
	assert_int_equal(operation_start(registry_find(world->registry, "web1"), &operation_verify,
					 NULL, false, NULL, &error),
			 -EBUSY);
	assert_non_null(strstr(error.why, "about to go on"));
	apply(world, "web2"); /* which has none */
	assert_int_equal(world->error.code, 0);
	world->registry->is_adopted = true;
	world_free(world);
}

static void refresh(struct world *world)
{
	world->has_ended = false;
	refresh_fleet(world->registry, refreshed, world);
	world_run_until(world, world_has_ended);
}

static bool is_repaired(struct world *world)
{
	return world->agent.repairs == 1 && !registry_find(world->registry, "web1")->is_repairing;
}

static bool is_limited(struct world *world)
{
	return registry_find(world->registry, "web1")->is_repair_limited;
}

static void consent_to_repair(struct container *container)
{
	Phoenix__DockerSpec docker = PHOENIX__DOCKER_SPEC__INIT;
	char *words[] = { (char *)"fuse-daemon" };

	docker.repair = words;
	docker.n_repair = 1;
	MESSAGE_REPLACE(container->record->spec->docker, &docker);
}

/* Without consent nothing is repaired; with it once, and not again at once, whatever restarts. */
static void test_repair(void **state)
{
	static const char id[] = "3f2a91c0d5e7aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	struct world *world = world_new();

	apply(world, "web1");
	world->agent.dead = id;
	refresh(world);
	assert_int_equal(world->agent.repairs, 0);
	assert_int_equal(count_events(world, "repair.started", "FuseDaemonDied"), 0);

	consent_to_repair(registry_find(world->registry, "web1"));
	refresh(world);
	world_run_until(world, is_repaired);
	assert_int_equal(world->agent.repairs, 1);
	assert_int_equal(count_events(world, "repair.started", "FuseDaemonDied"), 1);
	assert_int_equal(count_events(world, "repair.done", "Repaired"), 1);

	world->agent.dead = id; /* it has died again at once */
	refresh(world);
	world_run_until(world, is_limited);
	refresh(world); /* and is told once */
	assert_int_equal(world->agent.repairs, 1);
	assert_int_equal(count_events(world, "repair.limited", "TooOften"), 1);

	world_close(world); /* what was done is known to the next phoenixd too */
	world_open(world);
	for (int look = 0; look < 3; look++)
		refresh(world);
	assert_int_equal(world->agent.repairs, 1);
	world_free(world);
}

/* What becomes of policy while containers run: a condition, an event once, and apply as the remedy. */
static void test_states_of_policy(void **state)
{
	static const struct {
		const char *name, *profile_state, *label;
		bool off_label;
		const char *reason, *confined;
		bool restarts;
	} cases[] = {
		{ "an upgrade", "outdated", NULL, false, "Outdated", "AllProcessesLabelled",
		  false },
		{ "somebody else's text", "foreign", NULL, false, "Foreign", "AllProcessesLabelled",
		  false },
		{ "complain mode", "lax", "lxc-phoenix-v2 (complain)", true, "NotEnforced",
		  "OffLabel", false },
		{ "removed", "absent", "unconfined", true, "Removed", "OffLabel", true },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		struct world *world = world_new();
		const struct container *container;
		const Phoenix__Condition *condition;

		apply(world, "web1");
		container = registry_find(world->registry, "web1");
		condition = conditions_find(&container->conditions, "ProfileCurrent");
		assert_int_equal(condition->status, PHOENIX__CONDITION__STATUS__TRUE);
		world->host.profile_state = cases[i].profile_state;
		world->host.label = cases[i].label;
		world->host.off_label = cases[i].off_label;
		for (int look = 0; look < 3; look++)
			refresh(world);
		condition = conditions_find(&container->conditions, "ProfileCurrent");
		if (condition->status != PHOENIX__CONDITION__STATUS__FALSE ||
		    !text_equal(condition->reason, cases[i].reason) ||
		    !strstr(condition->remedy, "phoenixctl apply"))
			fail_msg("%s: %s: %s", cases[i].name, condition->reason, condition->remedy);
		assert_string_equal(conditions_find(&container->conditions, "Confined")->reason,
				    cases[i].confined);
		assert_int_equal(count_events(world, "condition.changed", cases[i].reason), 1);

		if (!cases[i].restarts)
			world->host.off_label = false, world->host.label = NULL;
		apply(world, "web1");
		assert_int_equal(world->error.code, 0);
		assert_int_equal(count_events(world, "confinement.restart", "LabelLost"),
				 cases[i].restarts);
		condition = conditions_find(&container->conditions, "ProfileCurrent");
		assert_int_equal(condition->status, PHOENIX__CONDITION__STATUS__TRUE);
		world_free(world);
	}
}

static void test_required_without_apparmor_makes_nothing(void **state)
{
	struct world *world = world_new();

	world->host.apparmor = false;
	apply(world, "web1");
	assert_int_equal(world->error.code, -EOPNOTSUPP);
	assert_string_equal(world->error.step, "confinement");
	assert_true(fake_host_is_empty(&world->host));
	assert_true(store_is_empty(world));
	world_free(world);
}

static bool is_rolled_back(struct world *world)
{
	return world->host.roll_backs > 0 &&
	       count_events(world, "confinement.rolled-back", "VerifyFailed") == 1;
}

/* A profile that was replaced under a running container is proved by a verify, or taken back. */
static void test_replaced_profile_is_proved(void **state)
{
	struct world *world = world_new();

	apply(world, "web1");
	world->host.new_text = true;
	apply(world, "web1");
	assert_int_equal(world->error.code, 0);
	assert_int_equal(world->agent.verifies, 2);
	assert_int_equal(world->agent.installs, 1);
	assert_int_equal(count_events(world, "confinement.replaced", "NewText"), 1);
	assert_int_equal(world->host.roll_backs, 0);

	world->host.new_text = true;
	world->agent.fail_verify = true;
	apply(world, "web1");
	assert_int_equal(world->error.code, -EBADE);
	world_run_until(world, is_rolled_back);
	assert_int_equal(world->host.roll_backs, 1);
	world_free(world);
}

static void test_push_that_keeps_failing(void **state)
{
	struct world *world = world_new();

	world->host.fail_verb = "AgentPush";
	world->host.fail_count = 100;
	apply(world, "web1");
	assert_string_equal(world->error.step, "start agent");
	assert_true(fake_host_is_empty(&world->host));
	world_free(world);
}

/* From the install on a failure leaves the container for the operator, and apply goes on. */
static void test_install_failure_keeps_the_container(void **state)
{
	struct world *world = world_new();
	struct container *container;

	world->agent.fail_install = true;
	apply(world, "web1");
	assert_int_equal(world->error.code, -ENETUNREACH);
	assert_string_equal(world->error.remedy, "check the network");
	container = registry_find(world->registry, "web1");
	assert_non_null(container);
	assert_true(container_is(container, CONTAINER_PHASE_FAILED));
	assert_false(container_is_ready(container));

	world->agent.fail_install = false;
	apply(world, "web1");
	assert_int_equal(world->error.code, 0);
	assert_true(container_is_ready(container));
	world_free(world);
}

static void test_verify_failure(void **state)
{
	struct world *world = world_new();
	struct container *container;

	world->agent.fail_verify = true;
	apply(world, "web1");
	assert_int_equal(world->error.code, -EBADE);
	assert_string_equal(world->error.where, "storage.whiteout");
	container = registry_find(world->registry, "web1");
	assert_false(container_is_ready(container));
	assert_false(container->record->verify->passed);

	world->agent.fail_verify = false;
	begin(world, &operation_verify, "web1");
	world_run_until(world, world_has_ended);
	assert_int_equal(world->error.code, 0);
	assert_true(container_is_ready(container));
	world_free(world);
}

static bool agent_is_back(struct world *world)
{
	return container_is_connected(registry_find(world->registry, "web1"));
}

static bool agent_is_gone(struct world *world)
{
	return !agent_is_back(world);
}

static void test_killed_agent_comes_back(void **state)
{
	struct world *world = world_new();
	uint64_t killed;

	apply(world, "web1");
	killed = clock_monotonic_ms();
	fake_agent_kill(&world->agent, "web1");
	world_run_until(world, agent_is_gone);
	world_run_until(world, agent_is_back);
	print_message("agent back after %llu ms\n",
		      (unsigned long long)(clock_monotonic_ms() - killed));
	world_free(world);
}

static bool web2_is_gone(struct world *world)
{
	return !container_is_connected(registry_find(world->registry, "web2"));
}

static bool has_reconnected(struct world *world)
{
	struct container *container = registry_find(world->registry, "web1");

	return container_is_connected(container) && container->keeper == KEEPER_IDLE &&
	       world->agent.starts == 2;
}

static void nothing_but_time(uv_timer_t *timer)
{
}

/* An agent that is not back yet is not pushed while others come back: it may be one of them. */
static void test_grace_grows_with_the_fleet(void **state)
{
	struct world *world = world_new();
	struct container *container;
	uint64_t begun;
	unsigned int starts;
	uv_timer_t tick;

	apply(world, "web1");
	fake_agent_kill(&world->agent, "web1");
	world_close(world);
	starts = world->agent.starts;
	world_open(world);
	container = registry_find(world->registry, "web1");
	uv_timer_init(&world->loop, &tick);
	uv_timer_start(&tick, nothing_but_time, 10, 10);
	for (begun = clock_monotonic_ms(); clock_monotonic_ms() - begun < 3500;) {
		world->registry->pushes.connected_ms = clock_monotonic_ms();
		uv_run(&world->loop, UV_RUN_ONCE);
		assert_int_equal(container->keeper, KEEPER_GRACE);
	}
	assert_int_equal(world->agent.starts, starts);
	uv_close((uv_handle_t *)&tick, NULL);
	world_run_until(world, agent_is_back); /* nobody came any more */
	world_free(world);
}

/* An agent that has lost no more than its session dials again: no other one is pushed over it. */
static void test_lost_session_is_no_dead_agent(void **state)
{
	struct world *world = world_new();
	uint8_t key[HANDSHAKE_KEY_SIZE];
	struct container *container;

	apply(world, "web1");
	container = registry_find(world->registry, "web1");
	assert_int_equal(agent_key_read(world->config.state_dir, "web1", key), 0);
	for (uint64_t ago = 0; ago <= 60000; ago += 60000) { /* a session that was short, or long */
		unsigned int starts = world->agent.starts;

		container->connected_ms = clock_monotonic_ms() - ago;
		fake_agent_kill(&world->agent, "web1");
		world_run_until(world, agent_is_gone);
		assert_int_equal(container->keeper, KEEPER_GRACE);
		fake_agent_start(&world->agent, &world->loop, world->scratch.path, "web1",
				 container->record->incarnation, key,
				 container->record->ids->first);
		world_run_until(world, agent_is_back);
		assert_int_equal(container->keeper, KEEPER_IDLE);
		assert_int_equal(world->agent.starts, starts + 1); /* ours */
	}
	world_free(world);
}

static bool agent_is_spared(struct world *world)
{
	const struct container *container = registry_find(world->registry, "web1");

	return world->host.spared > 0 && container->keeper == KEEPER_GRACE;
}

/* One that lives, as phoenix-host sees it, is given time to come back, and replaced when it does not. */
static void test_living_agent_is_spared(void **state)
{
	struct world *world = world_new();
	uint8_t key[HANDSHAKE_KEY_SIZE];
	struct container *container;
	unsigned int starts;

	apply(world, "web1");
	container = registry_find(world->registry, "web1");
	assert_int_equal(agent_key_read(world->config.state_dir, "web1", key), 0);
	world->host.agent_lives = true;
	for (int i = 0; i < 2; i++) {
		starts = world->agent.starts;
		world->host.spared = 0;
		container->connected_ms = clock_monotonic_ms() - 60000;
		fake_agent_kill(&world->agent, "web1");
		world_run_until(world, agent_is_spared);
		assert_int_equal(world->agent.starts, starts);
		if (i == 0) /* it dials by itself */
			fake_agent_start(&world->agent, &world->loop, world->scratch.path, "web1",
					 container->record->incarnation, key,
					 container->record->ids->first);
		else
			timer_start(container->keeper_timer, 1, 0); /* the time is over */
		world_run_until(world, agent_is_back);
		assert_int_equal(world->agent.starts, starts + 1);
		assert_int_equal(world->host.spared, 1);
	}
	world_free(world);
}

/* A fleet that cannot be asked at once is told of by what is known, as long as that is young. */
static void test_fresh(void **state)
{
	struct world *world = world_new();
	Phoenix__ContainerStatus status;
	struct container *container;
	uint64_t now;

	assert_true(refresh_is_fresh(world->registry, 1000000)); /* nobody: nothing is old */
	apply(world, "web1");
	apply(world, "web2");
	container = registry_find(world->registry, "web2");
	now = container->claimed_ms + 20000;
	registry_find(world->registry, "web1")->claimed_ms = now;
	assert_true(refresh_is_fresh(world->registry, now));
	assert_false(refresh_is_fresh(world->registry, now + 1));
	fake_agent_kill(&world->agent, "web2"); /* who is not there tells nothing, old or new */
	agent_link_drop(container->link);
	container_borrow_status(container, &status);
	assert_int_not_equal(status.claimed_ms, 0);
	world_run_until(world, web2_is_gone);
	container_borrow_status(container, &status);
	assert_int_equal(status.claimed_ms, 0);
	assert_true(refresh_is_fresh(world->registry, now + 1));
	world_free(world);
}

/* One question at a time, and all are answered. */
static void test_taking_turns(void **state)
{
	struct world *world = world_new();

	world->registry->questions.maximum = 1;
	apply(world, "web1");
	apply(world, "web2");
	apply(world, "web3");
	for (struct container *container = world->registry->containers; container;
	     container = container->next)
		container_set_claimed(container, NULL);
	world->has_ended = false;
	refresh_fleet(world->registry, refreshed, world);
	assert_int_equal(world->registry->questions.busy, 1);
	world_run_until(world, world_has_ended);
	for (struct container *container = world->registry->containers; container;
	     container = container->next)
		assert_non_null(container->claimed);
	assert_int_equal(world->registry->questions.busy, 0);
	world_free(world);
}

/* Whoever looks at a large fleet of which everything is fresh is answered at once, and asks nobody. */
static void test_view(void **state)
{
	struct world *world = world_new();
	struct container *first, *second;

	apply(world, "web1");
	apply(world, "web2");
	first = registry_find(world->registry, "web1");
	second = registry_find(world->registry, "web2");
	world->has_ended = false;
	refresh_fleet(world->registry, refreshed, world);
	world_run_until(world, world_has_ended);

	world->has_ended = false; /* two may be asked at once: they are */
	refresh_view(world->registry, refreshed, world);
	assert_false(world->has_ended);
	assert_non_null(first->question);
	assert_non_null(second->question);
	world_run_until(world, world_has_ended);

	world->registry->questions.maximum = 1;
	world->has_ended = false;
	refresh_view(world->registry, refreshed, world);
	assert_true(world->has_ended);
	assert_null(first->question);

	container_set_claimed(second, NULL); /* not all has been told */
	world->has_ended = false;
	refresh_view(world->registry, refreshed, world);
	assert_false(world->has_ended);
	assert_non_null(first->question);
	world_run_until(world, world_has_ended);
	assert_non_null(second->claimed);

	world->registry->listed_ms = 0; /* phoenix-host has not told */
	world->has_ended = false;
	refresh_view(world->registry, refreshed, world);
	assert_false(world->has_ended);
	world_run_until(world, world_has_ended);

	world->has_ended = false;
	refresh_one(second, refreshed, world);
	assert_null(first->question);
	assert_non_null(second->question);
	world_run_until(world, world_has_ended);
	world_free(world);
}

static void count_call(void *user)
{
	++*(int *)user;
}

/* What an agent tells in one Publish: events first..last of a stream. */
static void tell(struct world *world, const char *stream, uint64_t first, uint64_t last)
{
	Phoenix__PublishRequest request = PHOENIX__PUBLISH_REQUEST__INIT;
	Phoenix__Event events[8], *list[8];

	for (uint64_t seq = first; seq <= last; seq++) {
		Phoenix__Event *event = &events[request.n_events];

		phoenix__event__init(event);
		event->stream = (char *)stream;
		event->seq = seq;
		event->type = (char *)"test";
		list[request.n_events++] = event;
	}
	request.events = list;
	claim_events_take(registry_find(world->registry, "web1"), &request, request.n_events);
}

/* The claims in the log, by their origin's numbers: "a1 a2 b1". */
static void read_claims(struct world *world, char *text, size_t size)
{
	EVENTS_AUTO_BATCH struct events_batch batch = { 0 };
	struct ph_error error;
	size_t used = 0;

	journal_flush(world->registry->journal);
	text[0] = '\0';
	assert_int_equal(events_read(journal_events(world->registry->journal), 0, "web1", 4000,
				     &batch, &error),
			 0);
	for (size_t i = 0; i < batch.count; i++)
		if (text_equal(batch.events[i]->type, "claim.test"))
			used += (size_t)snprintf(text + used, size - used, "%s%s%d",
						 used ? " " : "", batch.events[i]->origin_stream,
						 (int)batch.events[i]->origin_seq);
}

/* A batch whose answer was lost comes again, to this phoenixd or to the next one: it is taken once. */
static void test_claims_are_taken_once(void **state)
{
	struct world *world = world_new();
	char text[256];

	apply(world, "web1");
	tell(world, "a", 1, 3);
	tell(world, "a", 1, 4);
	read_claims(world, text, sizeof(text));
	assert_string_equal(text, "a1 a2 a3 a4");
	world_close(world);
	world_open(world);
	tell(world, "a", 3, 5);
	tell(world, "a", 5, 6);
	tell(world, "b", 1, 2); /* of a new agent */
	read_claims(world, text, sizeof(text));
	assert_string_equal(text, "a1 a2 a3 a4 a5 a6 b1 b2");
	world_free(world);
}

static void run_until_told(struct world *world, const int *told, int wanted)
{
	while (*told < wanted)
		uv_run(&world->loop, UV_RUN_ONCE);
}

/* Whoever waits for the log is told when it is on the disk, and not before; when there is nothing to wait for, at once. */
static void test_acknowledged_when_written(void **state)
{
	struct world *world = world_new();
	int told = 0;

	apply(world, "web1");
	journal_flush(world->registry->journal);
	journal_when_written(world->registry->journal, count_call, &told);
	run_until_told(world, &told, 1);
	journal_when_written(world->registry->journal, count_call, &told);
	assert_int_equal(told, 2);
	tell(world, "a", 1, 1);
	journal_when_written(world->registry->journal, count_call, &told);
	journal_when_written(world->registry->journal, count_call, &told);
	journal_flush(world->registry->journal);
	assert_int_equal(told, 2);
	run_until_told(world, &told, 4);
	tell(world, "a", 2, 2);
	journal_when_written(world->registry->journal, count_call, &told);
	world_close(world);
	assert_int_equal(told, 5);
	world_open(world);
	world_free(world);
}

/* A new key: pushed again with it, and who comes with the old one is turned away. */
static void test_rotate_key(void **state)
{
	uint8_t old[HANDSHAKE_KEY_SIZE], now[HANDSHAKE_KEY_SIZE];
	struct world *world = world_new();
	struct container *container;
	struct ph_error error;

	apply(world, "web1");
	container = registry_find(world->registry, "web1");
	assert_int_equal(world->agent.starts, 1);
	assert_int_equal(agent_key_read(world->config.state_dir, "web1", old), 0);
	assert_int_equal(container_rotate_key(container, &error), 0);
	assert_int_equal(agent_key_read(world->config.state_dir, "web1", now), 0);
	assert_memory_not_equal(old, now, sizeof(old));
	world_run_until(world, has_reconnected);

	fake_agent_start(&world->agent, &world->loop, world->scratch.path, "web1",
			 container->record->incarnation, old, container->record->ids->first);
	world_run_until(world, agent_is_gone);
	world_run_until(world, agent_is_back); /* pushed again, with the key of now */
	remove_container(world, "web1");
	assert_int_equal(agent_key_read(world->config.state_dir, "web1", now), -ENOENT);
	world_free(world);
}

static bool is_installing(struct world *world)
{
	return text_equal(world->last_step, "install docker");
}

static void test_agent_lost_during_install(void **state)
{
	struct world *world = world_new();

	world->agent.hang_install = true;
	begin(world, &operation_apply, "web1");
	world_run_until(world, is_installing);
	for (int i = 0; i < 20; i++)
		uv_run(&world->loop, UV_RUN_NOWAIT);
	world->agent.hang_install = false;
	fake_agent_kill(&world->agent, "web1");
	world_run_until(world, world_has_ended);
	assert_int_equal(world->error.code, 0);
	assert_int_equal(world->agent.installs, 1);
	world_free(world);
}

/* phoenix-host dies while it is being asked: the verb is asked again of the next one. */
static void test_host_restart(void **state)
{
	struct world *world = world_new();

	begin(world, &operation_apply, "web1");
	fake_host_close(&world->host);
	for (int i = 0; i < 50; i++)
		uv_run(&world->loop, UV_RUN_NOWAIT);
	assert_false(world->has_ended);
	fake_host_open(&world->host, &world->loop, world->scratch.path);
	world_run_until(world, world_has_ended);
	assert_int_equal(world->error.code, 0);
	world_free(world);
}

static const char *const steps[] = { "reserve",     "network",        "confinement",
				     "create",      "start",          "check confinement",
				     "start agent", "install docker", "verify" };

static bool is_running_again(struct world *world)
{
	struct container *container = registry_find(world->registry, "web1");

	return container && container_is(container, CONTAINER_PHASE_RUNNING) &&
	       !world->registry->operations && container_is_ready(container);
}

/* Killed at each step, the next phoenixd finishes, and what was done is not done again. */
static void test_crash_at_every_step(void **state)
{
	for (size_t i = 1; i < ARRAY_LENGTH(steps); i++) {
		struct world *world = world_new();

		world->kill_at = steps[i];
		begin(world, &operation_apply, "web1");
		world_run_until(world, world_has_ended_or_killed);
		if (!world->is_killed)
			fail_msg("%s: the step was never reached", steps[i]);
		world_close(world);
		world_open(world);
		world_run_until(world, is_running_again);
		assert_int_equal(world->agent.installs, 1);
		assert_true(container_is_ready(registry_find(world->registry, "web1")));
		remove_container(world, "web1");
		if (!fake_host_is_empty(&world->host) || !store_is_empty(world))
			fail_msg("%s: something is left", steps[i]);
		world_free(world);
	}
}

/* A container that was deleted behind our back is made again by apply. */
static void test_deleted_behind_our_back(void **state)
{
	struct world *world = world_new();

	apply(world, "web1");
	fake_host_find(&world->host, "web1")->exists = false;
	fake_agent_kill(&world->agent, "web1");
	world_run_until(world, agent_is_gone);
	world->host.fail_verb = "AgentPush"; /* nobody can be pushed into what is not there */
	world->host.fail_count = 1;
	apply(world, "web1");
	assert_int_equal(world->error.code, 0);
	assert_true(world->changed);
	assert_true(container_is_ready(registry_find(world->registry, "web1")));
	world_free(world);
}

static void test_second_operation_is_refused(void **state)
{
	struct world *world = world_new();
	struct container *container;
	struct ph_error error;

	world->agent.hang_install = true;
	begin(world, &operation_apply, "web1");
	world_run_until(world, is_installing);
	container = registry_find(world->registry, "web1");
	assert_int_equal(operation_start(container, &operation_remove, NULL, false, NULL, &error),
			 -EBUSY);
	assert_true(error.remedy[0]);
	world_free(world);
}

static bool one_is_held(struct world *world)
{
	return world->host.held_count == 1;
}

static void test_last_one_takes_the_shared_things_along(void **state)
{
	struct world *world = world_new();

	apply(world, "web1");
	apply(world, "web2");
	assert_string_not_equal(fake_host_find(&world->host, "web1")->address,
				fake_host_find(&world->host, "web2")->address);
	assert_int_not_equal(fake_host_find(&world->host, "web1")->first_id,
			     fake_host_find(&world->host, "web2")->first_id);
	remove_container(world, "web1");
	assert_true(world->host.network);
	assert_true(world->host.profile);
	remove_container(world, "web2");
	assert_true(fake_host_is_empty(&world->host));
	world_free(world);
}

/* One that is still being stopped has its interface on the bridge: the other leaves that to it. */
static void test_last_one_of_two_at_once(void **state)
{
	struct world *world = world_new();

	apply(world, "web1");
	apply(world, "web2");
	world->host.hold_verb = "ContainerStop";
	world_begin(world, &operation_remove, "web2", NULL);
	world_run_until(world, one_is_held);
	world->host.hold_verb = NULL;
	remove_container(world, "web1");
	assert_int_equal(world->error.code, 0);
	assert_null(registry_find(world->registry, "web1"));
	assert_true(world->host.network);
	assert_true(world->host.profile);
	fake_host_let_go(&world->host); /* it fails */
	world_run_until(world, world_is_idle);
	remove_container(world, "web2");
	assert_true(fake_host_is_empty(&world->host));
	world_free(world);
}

/* The same of two that are undone. */
static void test_last_one_of_two_undone_at_once(void **state)
{
	struct world *world = world_new();

	world->host.fail_verb = "ContainerStart";
	world->host.fail_after = true; /* they run all the same */
	world->host.fail_count = 2;
	world->host.hold_verb = "ContainerStop";
	begin(world, &operation_apply, "web2");
	world_run_until(world, one_is_held);
	world->host.hold_verb = NULL;
	apply(world, "web1");
	assert_null(registry_find(world->registry, "web1"));
	assert_true(fake_host_find(&world->host, "web2")->running);
	assert_true(world->host.network);
	assert_true(world->host.profile);
	fake_host_let_go(&world->host);
	world_run_until(world, world_is_idle);
	assert_true(fake_host_is_empty(&world->host));
	world_free(world);
}

/* A removal that has failed behind destroying the container has taken its socket along. */
static void test_applied_after_half_a_removal(void **state)
{
	struct world *world = world_new();
	char path[320];

	apply(world, "web1");
	world->host.fail_verb = "NetworkRemove";
	world->host.fail_count = 1;
	world_run(world, &operation_remove, "web1", NULL);
	assert_int_equal(world->error.code, -EIO);
	snprintf(path, sizeof(path), "%s/agents/web1/agent.sock", world->scratch.path);
	assert_int_equal(unlink(path), 0);
	apply(world, "web1");
	assert_int_equal(world->error.code, 0);
	assert_true(container_is_connected(registry_find(world->registry, "web1")));
	world_free(world);
}

/* ---- the verdict ---- */

static const struct {
	const char *name;
	bool best_effort;
	const char *profile;
	bool has_seen;
	unsigned int processes, off_label;
	const char *nested_label; /* NULL: no nested process was seen */
	bool passed;
	const char *missing; /* the check that the agent's report lacks; "all" of them; NULL: none */
} verdicts[] = {
	{ "confined", false, "p", true, 5, 0, "p (enforce)", true },
	{ "an empty report", false, "p", true, 5, 0, "p (enforce)", false, "all" },
	{ "no storage tried", false, "p", true, 5, 0, "p (enforce)", false, "storage.unmount" },
	{ "no container run", false, "p", true, 5, 0, "p (enforce)", false, "docker.run" },
	{ "no nonce", false, "p", true, 5, 0, "p (enforce)", false, "docker.nonce" },
	{ "nested unconfined", false, "p", true, 5, 0, "unconfined", false },
	{ "nested complains only", false, "p", true, 5, 0, "p (complain)", false },
	{ "nested not seen", false, "p", true, 5, 0, NULL, false },
	{ "host did not look", false, "p", false, 0, 0, NULL, false },
	{ "one process off label", false, "p", true, 5, 1, "p (enforce)", false },
	{ "no process", false, "p", true, 0, 0, "p (enforce)", false },
	{ "no AppArmor, best effort", true, "", true, 5, 0, NULL, true },
	{ "no AppArmor, required", false, "", true, 5, 0, NULL, false },
};

/* What an agent that does its work reports at least, but for one check. */
static void claim(Phoenix__VerifyReport *report, const char *missing)
{
	static const char *const ids[] = { "storage.mount", "storage.unmount", "docker.run",
					   "docker.nonce",  "docker.root",     "docker.clean",
					   "docker.exec",   "docker.build",    "docker.bridge",
					   "docker.restart" };

	for (size_t i = 0; i < ARRAY_LENGTH(ids); i++) {
		Phoenix__Check check = PHOENIX__CHECK__INIT;

		if (missing && (text_equal(missing, "all") || text_equal(missing, ids[i])))
			continue;
		check.id = (char *)ids[i];
		check.status = PHOENIX__CHECK__STATUS__PASS;
		report->checks = ph_realloc(report->checks,
					    (report->n_checks + 1) * sizeof(*report->checks));
		report->checks[report->n_checks++] = MESSAGE_COPY(&check);
	}
}

static void test_verdicts(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(verdicts); i++) {
		Phoenix__VerifyReport *report;
		Phoenix__VerifyReport empty = PHOENIX__VERIFY_REPORT__INIT;
		Phoenix__ContainerSpec spec = PHOENIX__CONTAINER_SPEC__INIT;
		Phoenix__ContainerObservation observed = PHOENIX__CONTAINER_OBSERVATION__INIT;
		Phoenix__Pair pair = PHOENIX__PAIR__INIT, *pairs[] = { &pair };

		report = MESSAGE_COPY(&empty);
		claim(report, verdicts[i].missing);
		spec.confinement = verdicts[i].best_effort ?
					   PHOENIX__CONFINEMENT__CONFINEMENT_BEST_EFFORT :
					   PHOENIX__CONFINEMENT__CONFINEMENT_REQUIRED;
		observed.processes = verdicts[i].processes;
		observed.processes_off_label = verdicts[i].off_label;
		pair.key = (char *)"7 agent";
		pair.value = (char *)(verdicts[i].nested_label ? verdicts[i].nested_label : "");
		observed.n_nested = verdicts[i].nested_label ? 1 : 0;
		observed.nested = pairs;
		verify_judge(report, &spec, verdicts[i].profile,
			     verdicts[i].has_seen ? &observed : NULL);
		if (report->passed != verdicts[i].passed)
			fail_msg("%s", verdicts[i].name);
		message_free(report);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_apply_twice),
		cmocka_unit_test(test_network_findings_are_told),
		cmocka_unit_test(test_preflight_findings_are_told),
		cmocka_unit_test(test_preflight_is_told_when_one_does_not_stay_up),
		cmocka_unit_test(test_preflight_may_fail),
		cmocka_unit_test(test_failure_walk),
		cmocka_unit_test(test_unconfined_is_stopped),
		cmocka_unit_test(test_repair),
		cmocka_unit_test(test_states_of_policy),
		cmocka_unit_test(test_required_without_apparmor_makes_nothing),
		cmocka_unit_test(test_replaced_profile_is_proved),
		cmocka_unit_test(test_push_that_keeps_failing),
		cmocka_unit_test(test_install_failure_keeps_the_container),
		cmocka_unit_test(test_verify_failure),
		cmocka_unit_test(test_killed_agent_comes_back),
		cmocka_unit_test(test_rotate_key),
		cmocka_unit_test(test_grace_grows_with_the_fleet),
		cmocka_unit_test(test_end_is_in_the_log_first),
		cmocka_unit_test(test_nothing_overtakes),
		cmocka_unit_test(test_lost_session_is_no_dead_agent),
		cmocka_unit_test(test_living_agent_is_spared),
		cmocka_unit_test(test_fresh),
		cmocka_unit_test(test_view),
		cmocka_unit_test(test_taking_turns),
		cmocka_unit_test(test_claims_are_taken_once),
		cmocka_unit_test(test_acknowledged_when_written),
		cmocka_unit_test(test_agent_lost_during_install),
		cmocka_unit_test(test_host_restart),
		cmocka_unit_test(test_crash_at_every_step),
		cmocka_unit_test(test_deleted_behind_our_back),
		cmocka_unit_test(test_second_operation_is_refused),
		cmocka_unit_test(test_last_one_takes_the_shared_things_along),
		cmocka_unit_test(test_last_one_of_two_at_once),
		cmocka_unit_test(test_last_one_of_two_undone_at_once),
		cmocka_unit_test(test_applied_after_half_a_removal),
		cmocka_unit_test(test_verdicts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
