/*
 * list and health of many containers through phoenixd's socket: more than fit into one frame, in order, each
 * once, as fast as they are taken, and given up in the middle.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/channel.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/api/api.h"
#include "controller/container/container.h"
#include "tests/support/cmocka.h"
#include "tests/support/fake_host.h"
#include "tests/support/scratch.h"

#define PATIENCE_MS 20000
#define CONTAINERS 600 /* of a kilobyte each: more than a frame, and than what a connection holds unsent */
#define LABELS 8

struct world {
	struct scratch scratch;
	uv_loop_t loop;
	struct config config;
	struct fake_host host;
	struct registry *registry;
	struct api *api;
	struct channel *client;
	size_t items, containers, cancel_at;
	struct rpc_call *call; /* borrowed */
	char last[64];         /* name */
	int result;
	bool has_answer, is_closed;
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

static bool has_answer(struct world *world)
{
	return world->has_answer;
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

static struct world *world_new(void)
{
	struct world *world = ph_alloc(sizeof(*world));
	struct ph_error error;
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
	fake_host_open(&world->host, &world->loop, world->scratch.path);
	if (registry_open(&world->loop, &world->config, &world->registry, &error) < 0 ||
	    api_open(world->registry, &world->api, &error) < 0)
		fail_msg("%s", error.why);
	world->registry->check_peer = NULL; /* our agents are in no container */
	run_until(world, is_adopted);
	return world;
}

static void api_closed(void *user)
{
	((struct world *)user)->is_closed = true;
}

static bool is_closed(struct world *world)
{
	return world->is_closed;
}

static void world_free(struct world *world)
{
	if (world->client)
		channel_close(world->client);
	api_close(world->api, api_closed, world);
	run_until(world, is_closed);
	registry_close(world->registry);
	fake_host_close(&world->host);
	uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world->loop), 0);
	scratch_fini(&world->scratch);
	free(world);
}

static void add_containers(struct world *world)
{
	Phoenix__ContainerRecord record = PHOENIX__CONTAINER_RECORD__INIT;
	Phoenix__ContainerSpec spec = PHOENIX__CONTAINER_SPEC__INIT;
	Phoenix__Pair label = PHOENIX__PAIR__INIT, *labels[LABELS];
	char name[16], text[300];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	label.key = (char *)"text";
	label.value = text;
	for (size_t i = 0; i < LABELS; i++)
		labels[i] = &label;
	spec.labels = labels;
	spec.n_labels = LABELS;
	spec.name = name;
	record.spec = &spec;
	record.phase = (char *)CONTAINER_PHASE_RUNNING;
	/* Not in the order of their names. */
	for (size_t i = 0; i < CONTAINERS; i++) {
		snprintf(name, sizeof(name), "c%03zu", i * 7 % CONTAINERS);
		registry_add(world->registry, container_new(world->registry, MESSAGE_COPY(&record)));
	}
}

static void take_item(void *user, const ProtobufCMessage *message)
{
	const Phoenix__ListReply *item = (const Phoenix__ListReply *)message;
	struct world *world = user;

	world->items++;
	for (size_t i = 0; i < item->n_containers; i++) {
		const char *name = item->containers[i]->spec->name;

		assert_true(strcmp(world->last, name) < 0);
		text_copy(world->last, sizeof(world->last), name);
		world->containers++;
	}
	if (world->items == world->cancel_at)
		rpc_cancel(world->call);
}

static void list_finished(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	struct world *world = user;

	world->has_answer = true;
	world->result = error ? error->code : 0;
}

static void ask(struct world *world, const char *method, const char *selector, size_t cancel_at)
{
	static const struct rpc_handlers handlers = { .item = take_item, .finished = list_finished };
	Phoenix__NameRequest request = PHOENIX__NAME_REQUEST__INIT;

	request.name = (char *)selector;
	world->items = world->containers = 0;
	world->last[0] = '\0';
	world->has_answer = false;
	world->cancel_at = cancel_at;
	assert_int_equal(channel_call(world->client, &phoenix__control__descriptor, method,
				      &request.base, PATIENCE_MS, &handlers, world, &world->call),
			 0);
	run_until(world, has_answer);
}

static void test_all(void **state)
{
	static const char *const methods[] = { "List", "Health" };
	struct world *world = world_new();

	add_containers(world);
	connect_client(world);
	for (size_t i = 0; i < 2; i++) {
		ask(world, methods[i], "", 0);
		assert_int_equal(world->result, 0);
		assert_int_equal(world->containers, CONTAINERS);
		assert_true(world->items > 10);
	}
	world_free(world);
}

static void test_selected(void **state)
{
	struct world *world = world_new();

	add_containers(world);
	connect_client(world);
	ask(world, "List", "c300", 0);
	assert_int_equal(world->result, 0);
	assert_int_equal(world->containers, 1);
	assert_string_equal(world->last, "c300");
	ask(world, "List", "none", 0);
	assert_int_equal(world->result, -ENOENT);
	world_free(world);
}

/* In the middle, and with the connection itself; what is left of it would be a leak. */
static void test_given_up(void **state)
{
	struct world *world = world_new();

	add_containers(world);
	connect_client(world);
	ask(world, "List", "", 3);
	assert_int_equal(world->result, -ECANCELED);
	ask(world, "List", "c001", 0);
	assert_int_equal(world->containers, 1);
	world_free(world);
}

/* Names are found, and the order holds, whatever comes and goes. */
static void test_registry(void **state)
{
	struct world *world = world_new();
	struct container *container, *last;

	add_containers(world);
	last = registry_find(world->registry, "c599");
	assert_string_equal(container_name(last), "c599");
	registry_take(world->registry, last);
	assert_null(registry_find(world->registry, "c599"));
	assert_null(registry_next(world->registry, "c598"));
	assert_null(registry_next(world->registry, "c599"));
	registry_add(world->registry, last);
	assert_ptr_equal(registry_next(world->registry, "c598"), last);
	container = registry_find(world->registry, "c300");
	registry_take(world->registry, container);
	assert_string_equal(container_name(registry_next(world->registry, "c300")), "c301");
	registry_add(world->registry, container);
	assert_ptr_equal(registry_next(world->registry, "c299"), container);
	assert_string_equal(container_name(registry_next(world->registry, "")), "c000");
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_selected),
		cmocka_unit_test(test_given_up),
		cmocka_unit_test(test_registry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
