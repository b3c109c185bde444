/*
 * Orders for many containers through phoenixd's socket: how many are in progress at a time, and that
 * all have their turn. The fake phoenix-host keeps a step waiting.
 */
#include <string.h>

#include "common/channel.h"
#include "common/str.h"
#include "controller/fleet/fleet.h"
#include "tests/support/cmocka.h"
#include "tests/support/world.h"

#define DEADLINE_MS 20000
#define IN_PROGRESS 8 /* as docs/fleet.md says */
#define CONTAINERS 200

static bool waits_as_wanted(struct world *world)
{
	return world->host.held_count >= IN_PROGRESS;
}

/* Let everything go on that can: until the host has heard of nothing for many turns of the loop. */
static void settle(struct world *world)
{
	unsigned int calls = world->host.calls;

	for (int i = 0; i < 200; i++) {
		uv_run(&world->loop, UV_RUN_NOWAIT);
		if (world->host.calls != calls) {
			calls = world->host.calls;
			i = 0;
		}
	}
}

/* How many containers have failed, as the summary says. */
static void told(void *user, const ProtobufCMessage *message)
{
	const Phoenix__ApplyItem *item = (const void *)message;

	if (item->summary)
		*(uint32_t *)((struct world *)user)->user = item->summary->failed;
}

static void ended(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	((struct world *)user)->has_ended = true;
}

static void apply(struct world *world, const Phoenix__Fleet *fleet)
{
	static const struct rpc_handlers handlers = { .item = told, .finished = ended };
	Phoenix__ApplyRequest request = PHOENIX__APPLY_REQUEST__INIT;

	request.fleet = (Phoenix__Fleet *)fleet;
	assert_int_equal(channel_call(world->client, &phoenix__control__descriptor, "Apply",
				      &request.base, DEADLINE_MS, &handlers, world, NULL), 0);
}

static Phoenix__Fleet *make_fleet(unsigned int count)
{
	struct str text = STR_INIT;
	Phoenix__Fleet *fleet;
	struct ph_error error;

	str_appendf(&text, "version: 1\ndefaults: {image: bookworm}\ncontainers:\n");
	for (unsigned int i = 0; i < count; i++)
		str_appendf(&text, "- name: web%u\n", i);
	if (fleet_parse("f", str_text(&text), text.length, &fleet, &error) < 0)
		fail_msg("%s", error.why);
	str_fini(&text);
	return fleet;
}

/* Hundreds of containers are prepared a few at a time, and each that ends makes room for one. */
static void few_are_in_progress(void **state)
{
	Phoenix__Fleet *fleet = make_fleet(CONTAINERS);
	struct world *world = world_new();
	uint32_t failed = 0;

	world->user = &failed;
	world->host.hold_verb = "NetworkEnsure";
	world_connect(world);
	apply(world, fleet);
	for (unsigned int done = 0; done + IN_PROGRESS <= CONTAINERS; done++) {
		world_run_until(world, waits_as_wanted);
		if (done % 20 == 0)
			settle(world);
		assert_int_equal(world->host.held_count, IN_PROGRESS);
		assert_false(world->has_ended);
		fake_host_let_go(&world->host);
	}
	while (world->host.held_count > 0)
		fake_host_let_go(&world->host);
	world_run_until(world, world_has_ended);
	assert_int_equal(failed, CONTAINERS);
	world_free(world);
	fleet_free(fleet);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_are_in_progress),
	};

	return cmocka_run_group_tests_name("orders", tests, NULL, NULL);
}
