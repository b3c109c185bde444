/* The link to phoenix-host against a fake one: many calls at a time, and a host that goes in between. */
#include "controller/link/host_link.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/cmocka.h"
#include "tests/support/fake_host.h"
#include "tests/support/loop.h"
#include "tests/support/scratch.h"

#define CALLS 1000 /* more than rpc has in flight, or a host serves */
#define TIMEOUT_MS 20000

struct world {
	struct test_loop test;
	struct scratch scratch;
	struct fake_host host;
	struct host_link *link;
	int finished, failed;
};

static void world_init(struct world *world)
{
	struct host_link_config config = { .address.family = ADDRESS_UNIX };

	memset(world, 0, sizeof(*world));
	scratch_init(&world->scratch);
	test_loop_init(&world->test);
	snprintf(config.address.path, sizeof(config.address.path), "%.80s/host.sock",
		 world->scratch.path);
	fake_host_open(&world->host, &world->test.loop, world->scratch.path);
	world->link = host_link_open(&world->test.loop, &config);
}

static void world_fini(struct world *world)
{
	host_link_close(world->link);
	fake_host_close(&world->host);
	assert_int_equal(test_loop_fini(&world->test), 0);
	scratch_fini(&world->scratch);
}

static void call_finished(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	struct world *world = user;

	world->finished++;
	world->failed += error != NULL;
}

static void call_many(struct world *world, int count)
{
	Phoenix__ProbeRequest request = PHOENIX__PROBE_REQUEST__INIT;

	for (int i = 0; i < count; i++)
		host_link_call(world->link, "Probe", &request.base, TIMEOUT_MS, call_finished,
			       world, NULL);
}

/* Each waits for a place, and none fails for want of one. */
static void test_many(void **state)
{
	struct world world;

	world_init(&world);
	call_many(&world, CALLS);
	test_loop_until(&world.test, &world.finished, CALLS);
	assert_int_equal(world.failed, 0);
	assert_int_equal(world.host.calls, CALLS);
	world_fini(&world);
}

/* Those that were out are made again, with the places that the lost ones had. */
static void test_many_and_a_restart(void **state)
{
	struct world world;

	world_init(&world);
	call_many(&world, CALLS);
	test_loop_until(&world.test, &world.finished, CALLS / 4);
	fake_host_close(&world.host);
	memset(&world.host, 0, sizeof(world.host));
	fake_host_open(&world.host, &world.test.loop, world.scratch.path);
	test_loop_until(&world.test, &world.finished, CALLS);
	assert_int_equal(world.failed, 0);
	world_fini(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_many_and_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
