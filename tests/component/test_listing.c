/*
 * list and health of many containers through phoenixd's socket: more than fit into one frame, in order, each
 * once, as fast as they are taken, and given up in the middle.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/channel.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/container/container.h"
#include "tests/support/cmocka.h"
#include "tests/support/world.h"

#define DEADLINE_MS 20000
#define CONTAINERS 600 /* of a kilobyte each: more than a frame, and than what a connection holds unsent */
#define LABELS 8

/* What came of one call. */
struct listing {
	struct world *world;
	size_t items, containers, cancel_at;
	struct rpc_call *call; /* borrowed */
	char last[64];         /* name */
	int result;
};

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
	struct listing *listing = user;

	listing->items++;
	for (size_t i = 0; i < item->n_containers; i++) {
		const char *name = item->containers[i]->spec->name;

		assert_true(strcmp(listing->last, name) < 0);
		text_copy(listing->last, sizeof(listing->last), name);
		listing->containers++;
	}
	if (listing->items == listing->cancel_at)
		rpc_cancel(listing->call);
}

static void list_finished(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	struct listing *listing = user;

	listing->world->has_answer = true;
	listing->result = error ? error->code : 0;
}

static struct listing ask(struct world *world, const char *method, const char *selector,
			  size_t cancel_at)
{
	static const struct rpc_handlers handlers = { .item = take_item, .finished = list_finished };
	struct listing listing = { .world = world, .cancel_at = cancel_at };
	Phoenix__NameRequest request = PHOENIX__NAME_REQUEST__INIT;

	request.name = (char *)selector;
	world->has_answer = false;
	assert_int_equal(channel_call(world->client, &phoenix__control__descriptor, method,
				      &request.base, DEADLINE_MS, &handlers, &listing, &listing.call),
			 0);
	world_run_until(world, world_has_answer);
	return listing;
}

static void test_all(void **state)
{
	static const char *const methods[] = { "List", "Health" };
	struct world *world = world_new();
	struct listing listing;

	add_containers(world);
	world_connect(world);
	for (size_t i = 0; i < 2; i++) {
		listing = ask(world, methods[i], "", 0);
		assert_int_equal(listing.result, 0);
		assert_int_equal(listing.containers, CONTAINERS);
		assert_true(listing.items > 10);
	}
	world_free(world);
}

static void test_selected(void **state)
{
	struct world *world = world_new();
	struct listing listing;

	add_containers(world);
	world_connect(world);
	listing = ask(world, "List", "c300", 0);
	assert_int_equal(listing.result, 0);
	assert_int_equal(listing.containers, 1);
	assert_string_equal(listing.last, "c300");
	listing = ask(world, "List", "none", 0);
	assert_int_equal(listing.result, -ENOENT);
	world_free(world);
}

/* In the middle, and with the connection itself; what is left of it would be a leak. */
static void test_given_up(void **state)
{
	struct world *world = world_new();
	struct listing listing;

	add_containers(world);
	world_connect(world);
	listing = ask(world, "List", "", 3);
	assert_int_equal(listing.result, -ECANCELED);
	listing = ask(world, "List", "c001", 0);
	assert_int_equal(listing.containers, 1);
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
