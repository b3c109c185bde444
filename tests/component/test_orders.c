/*
 * Orders for many containers through phoenixd's socket: how many are in progress at a time, and that
 * all have their turn. The fake phoenix-host keeps a step waiting.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/channel.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/api/api.h"
#include "controller/container/registry.h"
#include "controller/fleet/fleet.h"
#include "tests/support/cmocka.h"
#include "tests/support/fake_host.h"
#include "tests/support/scratch.h"

#define PATIENCE_MS 20000
#define IN_PROGRESS 8 /* as docs/fleet.md says */
#define CONTAINERS 200

struct world {
	struct scratch scratch;
	uv_loop_t loop;
	struct config config;
	struct fake_host host;
	struct registry *registry;
	struct api *api;
	struct channel *client;
	size_t wanted;      /* requests that are to wait at the host */
	uint32_t failed;    /* containers, of the summary */
	bool has_ended, is_closed;
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

static bool is_adopted(struct world *world)
{
	return world->registry->is_adopted;
}

static bool waits_as_wanted(struct world *world)
{
	return world->host.held_count >= world->wanted;
}

static bool has_ended(struct world *world)
{
	return world->has_ended;
}

static bool is_closed(struct world *world)
{
	return world->is_closed;
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

static void client_closed(void *user, const struct ph_error *error)
{
}

static void connect_client(struct world *world)
{
	struct address address = { .family = ADDRESS_UNIX };
	const struct channel_config config = { .closed = client_closed };
	int fd;

	snprintf(address.path, sizeof(address.path), "%.90s/control.sock", world->scratch.path);
	fd = address_connect(&address);
	assert_true(fd >= 0);
	assert_int_equal(channel_open(&world->loop, fd, &config, &world->client), 0);
}

static void world_init(struct world *world)
{
	struct ph_error error;
	char path[320];

	*world = (struct world){ .host = { .apparmor = true, .image = "i" } };
	log_set_level(LOG_LEVEL_ERROR + 1);
	scratch_init(&world->scratch);
	chmod(world->scratch.path, 0711);
	uv_loop_init(&world->loop);
	config_init(&world->config);
	text_copy(world->config.run_dir, sizeof(world->config.run_dir), world->scratch.path);
	text_copy(world->config.state_dir, sizeof(world->config.state_dir), world->scratch.path);
	snprintf(path, sizeof(path), "%s/db", world->scratch.path);
	mkdir(path, 0700);
	fake_host_open(&world->host, &world->loop, world->scratch.path);
	if (registry_open(&world->loop, &world->config, &world->registry, &error) < 0 ||
	    api_open(world->registry, &world->api, &error) < 0)
		fail_msg("%s", error.why);
	run_until(world, is_adopted);
	connect_client(world);
}

static void api_closed(void *user)
{
	((struct world *)user)->is_closed = true;
}

static void world_fini(struct world *world)
{
	channel_close(world->client);
	api_close(world->api, api_closed, world);
	run_until(world, is_closed);
	registry_close(world->registry);
	fake_host_close(&world->host);
	uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world->loop), 0);
	scratch_fini(&world->scratch);
}

static void told(void *user, const ProtobufCMessage *message)
{
	const Phoenix__ApplyItem *item = (const void *)message;

	if (item->summary)
		((struct world *)user)->failed = item->summary->failed;
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
				      &request.base, PATIENCE_MS, &handlers, world, NULL), 0);
}

static Phoenix__Fleet *make_fleet(unsigned int count)
{
	struct str text = STR_INIT;
	Phoenix__Fleet *fleet;
	struct ph_error error;

	str_appendf(&text, "version: 1\ndefaults: {image: i}\ncontainers:\n");
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
	struct world world;

	world_init(&world);
	world.host.hold_verb = "NetworkEnsure";
	apply(&world, fleet);
	world.wanted = IN_PROGRESS;
	for (unsigned int done = 0; done + IN_PROGRESS <= CONTAINERS; done++) {
		run_until(&world, waits_as_wanted);
		if (done % 20 == 0)
			settle(&world);
		assert_int_equal(world.host.held_count, IN_PROGRESS);
		assert_false(world.has_ended);
		fake_host_let_go(&world.host);
	}
	while (world.host.held_count > 0)
		fake_host_let_go(&world.host);
	run_until(&world, has_ended);
	assert_int_equal(world.failed, CONTAINERS);
	world_fini(&world);
	fleet_free(fleet);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_are_in_progress),
	};

	return cmocka_run_group_tests_name("orders", tests, NULL, NULL);
}
