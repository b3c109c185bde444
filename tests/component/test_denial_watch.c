/*
 * phoenixd's side of denials with a fake phoenix-host behind a real socket: whose they are, events,
 * a host that dies, one that has nothing to read, and a flood.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/container/container.h"
#include "controller/denials/denials.h"
#include "controller/denials/patterns.h"
#include "tests/support/cmocka.h"
#include "tests/support/fake_host.h"
#include "tests/support/scratch.h"

#define PATIENCE_MS 20000

struct world {
	struct scratch scratch;
	uv_loop_t loop;
	struct config config;
	struct fake_host host;
	struct registry *registry;
	uint64_t wanted; /* of what is waited for */
	const char *event;
	uint64_t followed;
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

static bool is_watched(struct world *world)
{
	return world->host.denials != NULL;
}

static bool is_source_known(struct world *world)
{
	return text_has_prefix(denials_source(world->registry->denials)->reason, "a fake");
}

static void open_registry(struct world *world)
{
	struct ph_error error;

	if (registry_open(&world->loop, &world->config, &world->registry, &error) < 0)
		fail_msg("registry: %s", error.why);
}

static void add_container(struct world *world, const char *name, uint32_t first_id)
{
	Phoenix__ContainerRecord record = PHOENIX__CONTAINER_RECORD__INIT;
	Phoenix__ContainerSpec spec = PHOENIX__CONTAINER_SPEC__INIT;
	Phoenix__IdRange ids = PHOENIX__ID_RANGE__INIT;

	spec.name = (char *)name;
	ids.first = first_id;
	ids.count = 65536;
	record.spec = &spec;
	record.ids = &ids;
	record.phase = (char *)CONTAINER_PHASE_RUNNING;
	registry_add(world->registry, container_new(world->registry, MESSAGE_COPY(&record)));
}

static struct world *world_new(bool apparmor)
{
	struct world *world = ph_alloc(sizeof(*world));
	char path[320];

	log_set_level(LOG_LEVEL_ERROR + 1);
	scratch_init(&world->scratch);
	uv_loop_init(&world->loop);
	config_init(&world->config);
	text_copy(world->config.run_dir, sizeof(world->config.run_dir), world->scratch.path);
	text_copy(world->config.state_dir, sizeof(world->config.state_dir), world->scratch.path);
	snprintf(path, sizeof(path), "%s/db", world->scratch.path);
	mkdir(path, 0700);
	world->host.apparmor = apparmor;
	fake_host_open(&world->host, &world->loop, world->scratch.path);
	open_registry(world);
	return world;
}

static void world_free(struct world *world)
{
	registry_close(world->registry);
	fake_host_close(&world->host);
	uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world->loop), 0);
	scratch_fini(&world->scratch);
	free(world);
}

static void deny(struct world *world, const char *container, uint32_t uid, const char *path,
		 uint64_t count)
{
	Phoenix__DenialsItem item = PHOENIX__DENIALS_ITEM__INIT;
	Phoenix__Denial denial = PHOENIX__DENIAL__INIT, *denials[] = { &denial };

	denial.container = (char *)container;
	denial.has_uid = uid != 0;
	denial.uid = uid;
	denial.operation = (char *)"open";
	denial.name = (char *)path;
	denial.requested = (char *)"w";
	denial.process = (char *)"sh";
	denial.count = count;
	item.n_denials = 1;
	item.denials = denials;
	assert_true(fake_host_deny(&world->host, &item));
}

static void add_count(void *user, const Phoenix__DenialPattern *pattern)
{
	*(uint64_t *)user += pattern->count;
}

static void count_one(void *user, const Phoenix__DenialPattern *pattern)
{
	++*(uint64_t *)user;
}

static uint64_t counted(struct world *world, const char *container)
{
	uint64_t sum = 0;

	patterns_visit(denials_patterns(world->registry->denials), container, add_count, &sum);
	return sum;
}

static bool all_are_counted(struct world *world)
{
	return counted(world, NULL) >= world->wanted;
}

static uint64_t count_events(struct world *world, const char *type, const char *container)
{
	EVENTS_AUTO_BATCH struct events_batch batch = { 0 };
	uint64_t found = 0;

	journal_flush(world->registry->journal);
	assert_int_equal(events_read(journal_events(world->registry->journal), 1, container, 1000,
				     &batch, NULL),
			 0);
	for (size_t i = 0; i < batch.count; i++)
		found += text_equal(batch.events[i]->type, type);
	return found;
}

/* By name, by id range, by being the only one; and nobody's rather than the wrong one's. */
static void test_whose(void **state)
{
	struct world *world = world_new(true);

	run_until(world, is_watched);
	add_container(world, "web1", 100000);
	deny(world, "", 0, "/a", 1); /* the only one */
	world->wanted = 1;
	run_until(world, all_are_counted);
	assert_int_equal(counted(world, "web1"), 1);
	deny(world, "", 5, "/host", 1); /* not the only one's: nobody's id */
	world->wanted = 2;
	run_until(world, all_are_counted);
	assert_int_equal(counted(world, "web1"), 1);
	add_container(world, "web2", 165536);
	deny(world, "web2", 0, "/a", 2);
	deny(world, "", 165536 + 65535, "/a", 4);
	deny(world, "", 100000, "/a", 8);
	deny(world, "", 165536 + 65536, "/a", 16); /* nobody's id */
	deny(world, "", 0, "/b", 32);
	deny(world, "web9", 0, "/c", 64); /* no such container */
	world->wanted = 128;
	run_until(world, all_are_counted);
	assert_int_equal(counted(world, "web1"), 1 + 8);
	assert_int_equal(counted(world, "web2"), 2 + 4);
	assert_int_equal(counted(world, ""), 1 + 16 + 32 + 64);
	assert_int_equal(count_events(world, "apparmor.denied", "web2"), 1);
	assert_int_equal(count_events(world, "apparmor.denied", NULL), 2 + 4);
	world_free(world);
}

static void test_event_has_its_fields(void **state)
{
	EVENTS_AUTO_BATCH struct events_batch batch = { 0 };
	struct world *world = world_new(true);
	const Phoenix__Event *event = NULL;
	static const char *const expected[][2] = { { "operation", "open" },
						   { "path", "/sys/power/state" },
						   { "requested", "w" },
						   { "process", "sh" },
						   { "count", "3" } };

	run_until(world, is_watched);
	add_container(world, "web1", 100000);
	deny(world, "web1", 0, "/sys/power/state", 3);
	world->wanted = 3;
	run_until(world, all_are_counted);
	journal_flush(world->registry->journal);
	assert_int_equal(events_read(journal_events(world->registry->journal), 1, "web1", 100,
				     &batch, NULL),
			 0);
	for (size_t i = 0; i < batch.count; i++)
		if (text_equal(batch.events[i]->type, "apparmor.denied"))
			event = batch.events[i];
	assert_non_null(event);
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		assert_string_equal(event->fields[i]->key, expected[i][0]);
		assert_string_equal(event->fields[i]->value, expected[i][1]);
	}
	world_free(world);
}

static bool is_watched_again(struct world *world)
{
	return world->host.denials && world->host.watches >= world->wanted;
}

/* A phoenix-host that dies is watched again when it is back, and what was counted stays. */
static void test_host_dies(void **state)
{
	struct world *world = world_new(true);

	run_until(world, is_watched);
	add_container(world, "web1", 100000);
	deny(world, "web1", 0, "/a", 5);
	world->wanted = 5;
	run_until(world, all_are_counted);
	for (unsigned int round = 1; round <= 3; round++) {
		fake_host_close(&world->host);
		for (int i = 0; i < 20; i++)
			uv_run(&world->loop, UV_RUN_NOWAIT);
		fake_host_open(&world->host, &world->loop, world->scratch.path);
		world->wanted = round + 1;
		run_until(world, is_watched_again);
	}
	deny(world, "web1", 0, "/a", 5);
	world->wanted = 10;
	run_until(world, all_are_counted);
	assert_int_equal(counted(world, "web1"), 10);
	world_free(world);
}

/* A stream that fails while the link stays up is begun again. */
static void test_stream_fails(void **state)
{
	struct world *world = world_new(true);
	struct rpc_request *request;
	struct ph_error error;

	run_until(world, is_watched);
	request = world->host.denials;
	world->host.denials = NULL;
	rpc_request_on_cancel(request, NULL, NULL);
	error_set(&error, -ECHILD, NULL, NULL, "the reader crashed");
	rpc_fail(request, &error);
	world->wanted = 2;
	run_until(world, is_watched_again);
	world_free(world);
}

static void test_nothing_to_read(void **state)
{
	struct world *world = world_new(false);

	run_until(world, is_source_known);
	assert_string_equal(denials_source(world->registry->denials)->kind, "none");
	assert_int_equal(count_events(world, "apparmor.denials-source", NULL), 1);
	assert_int_equal(world->host.watches, 1);
	world_free(world);
}

static void followed(void *user, const Phoenix__DenialPattern *pattern)
{
	((struct world *)user)->followed++;
}

static void test_follow(void **state)
{
	struct world *world = world_new(true);
	struct denials_follower *follower;

	run_until(world, is_watched);
	add_container(world, "web1", 100000);
	add_container(world, "web2", 165536);
	follower = denials_follow(world->registry->denials, "web1", followed, world);
	deny(world, "web1", 0, "/a", 1);
	deny(world, "web2", 0, "/a", 1);
	deny(world, "web1", 0, "/a", 1);
	world->wanted = 3;
	run_until(world, all_are_counted);
	assert_int_equal(world->followed, 2);
	denials_unfollow(follower);
	deny(world, "web1", 0, "/a", 1);
	world->wanted = 4;
	run_until(world, all_are_counted);
	assert_int_equal(world->followed, 2);
	world_free(world);
}

static bool has_drained(struct world *world)
{
	return rpc_request_unsent(world->host.denials) == 0;
}

static bool is_neighbour_counted(struct world *world)
{
	return counted(world, "web2") > 0;
}

/* More patterns than any container may have: memory, table and events stay small. */
static void test_flood(void **state)
{
	struct world *world = world_new(true);
	struct rusage before, after;
	uint64_t kept = 0;
	char path[64];

	run_until(world, is_watched);
	add_container(world, "web1", 100000);
	add_container(world, "web2", 165536);
	getrusage(RUSAGE_SELF, &before);
	for (size_t i = 0; i < 100000; i++) {
		snprintf(path, sizeof(path), "/flood/%zu", i);
		deny(world, "web1", 0, path, 10);
		if (rpc_request_unsent(world->host.denials) > 64 * 1024)
			run_until(world, has_drained);
	}
	deny(world, "web2", 0, "/calm", 1);
	run_until(world, is_neighbour_counted);
	getrusage(RUSAGE_SELF, &after);
#ifndef __SANITIZE_ADDRESS__ /* whose quarantine keeps what was freed */
	assert_true(after.ru_maxrss - before.ru_maxrss < 16 * 1024);
#endif
	assert_true(after.ru_maxrss >= before.ru_maxrss);
	patterns_visit(denials_patterns(world->registry->denials), "web1", count_one, &kept);
	assert_int_equal(kept, PATTERNS_PER_CONTAINER);
	assert_int_equal(count_events(world, "apparmor.denied", "web1"), PATTERNS_BURST);
	assert_int_equal(count_events(world, "apparmor.denials-dropped", "web1"), 1);
	assert_int_equal(count_events(world, "apparmor.denied", "web2"), 1);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whose),	    cmocka_unit_test(test_event_has_its_fields),
		cmocka_unit_test(test_host_dies),   cmocka_unit_test(test_stream_fails),
		cmocka_unit_test(test_nothing_to_read), cmocka_unit_test(test_follow),
		cmocka_unit_test(test_flood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
