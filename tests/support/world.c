#include "tests/support/world.h"

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
#include "controller/container/adopt.h"
#include "controller/link/agent_key.h"
#include "tests/support/cmocka.h"

#define PATIENCE_MS 60000

/* ---- the loop ---- */

static void patience_lost(uv_timer_t *timer)
{
	struct world *world = timer->data;

	fail_msg("nothing happened for %d ms after step '%s'", PATIENCE_MS, world->last_step);
}

void world_run_until(struct world *world, bool (*holds)(struct world *world))
{
	uv_timer_t patience;

	uv_timer_init(&world->loop, &patience);
	patience.data = world;
	uv_timer_start(&patience, patience_lost, PATIENCE_MS, 0);
	while (!holds(world))
		uv_run(&world->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&patience, NULL);
	uv_run(&world->loop, UV_RUN_NOWAIT);
}

bool world_has_ended(struct world *world)
{
	return world->has_ended;
}

bool world_has_ended_or_killed(struct world *world)
{
	return world->has_ended || world->is_killed;
}

bool world_is_idle(struct world *world)
{
	return world->registry->is_adopted && !world->registry->operations;
}

static bool is_adopted(struct world *world)
{
	return world->registry->is_adopted;
}

static bool is_closed(struct world *world)
{
	return world->is_closed;
}

/* ---- life ---- */

void world_open(struct world *world)
{
	struct ph_error error;

	if (registry_open(&world->loop, &world->config, &world->registry, &error) < 0 ||
	    rollouts_open(world->registry, &world->rollouts, &error) < 0 ||
	    api_open(world->registry, &world->api, &error) < 0)
		fail_msg("%s: %s", error.where, error.why);
	world->registry->check_peer = NULL; /* our agents are in no container */
	world_run_until(world, is_adopted);
}

static void api_closed(void *user)
{
	((struct world *)user)->is_closed = true;
}

void world_close(struct world *world)
{
	world_hang_up(world);
	world->is_closed = false;
	api_close(world->api, api_closed, world);
	world_run_until(world, is_closed);
	rollouts_close(world->rollouts);
	registry_close(world->registry);
	world->registry = NULL;
	for (int i = 0; i < 20; i++)
		uv_run(&world->loop, UV_RUN_NOWAIT);
}

struct world *world_new(void)
{
	struct world *world = ph_alloc(sizeof(*world));
	char path[320];

	log_set_level(LOG_LEVEL_ERROR + 1);
	scratch_init(&world->scratch);
	chmod(world->scratch.path, 0711); /* agents come with the ids of their containers */
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
	world_open(world);
	return world;
}

void world_free(struct world *world)
{
	if (world->registry)
		world_close(world);
	fake_agent_kill_all(&world->agent);
	fake_host_close(&world->host);
	uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world->loop), 0);
	message_free(world->reply);
	scratch_fini(&world->scratch);
	free(world);
}

/* ---- operations ---- */

static void progress(void *user, const Phoenix__Progress *message)
{
	struct world *world = user;

	if (message->state == PHOENIX__PROGRESS__STATE__DONE)
		world->steps_changed++;
	if (message->state != PHOENIX__PROGRESS__STATE__STARTED)
		return;
	text_copy(world->last_step, sizeof(world->last_step), message->step);
	if (world->kill_at && text_equal(world->kill_at, message->step))
		world->is_killed = true;
}

static void ended(void *user, const char *name, bool changed, const struct ph_error *error)
{
	struct world *world = user;

	world->has_ended = true;
	world->changed = changed;
	world->error = error ? *error : (struct ph_error){ 0 };
}

static struct container *find_or_make(struct world *world, const char *name,
				      const Phoenix__ContainerSpec *spec, bool *ret_is_new)
{
	struct container *container = registry_find(world->registry, name);
	Phoenix__ContainerRecord record = PHOENIX__CONTAINER_RECORD__INIT;

	*ret_is_new = !container;
	if (container)
		return container;
	if (!spec)
		fail_msg("there is no container %s", name);
	record.spec = (Phoenix__ContainerSpec *)spec;
	record.phase = (char *)CONTAINER_PHASE_PREPARING;
	container = container_new(world->registry, MESSAGE_COPY(&record));
	registry_add(world->registry, container);
	return container;
}

void world_begin_order(struct world *world, const char *name, const struct operation_order *wanted)
{
	struct operation_order order = *wanted;
	struct container *container = find_or_make(world, name, order.spec, &order.is_new);
	struct ph_error error;

	world->watcher = (struct operation_watcher){ .progress = progress, .ended = ended,
						     .user = world };
	world->has_ended = world->changed = world->is_killed = false;
	world->error = (struct ph_error){ 0 };
	world->steps_changed = 0;
	world->last_step[0] = '\0';
	if (operation_start_order(container, &order, &world->watcher, &error) < 0)
		fail_msg("start: %s", error.why);
}

void world_begin(struct world *world, const struct operation_type *type, const char *name,
		 const Phoenix__ContainerSpec *spec)
{
	const struct operation_order order = { .type = type, .spec = spec };

	world_begin_order(world, name, &order);
}

void world_run(struct world *world, const struct operation_type *type, const char *name,
	       const Phoenix__ContainerSpec *spec)
{
	world_begin(world, type, name, spec);
	world_run_until(world, world_has_ended_or_killed);
}

struct fake_container *world_adopt(struct world *world, const char *name, unsigned int images)
{
	struct fake_container *container = fake_host_add_foreign(&world->host, name, images);
	Phoenix__AdoptOrder order = PHOENIX__ADOPT_ORDER__INIT;

	order.name = (char *)name;
	order.lxc_path = (char *)"/var/lib/lxc";
	if (world_call(world, "Adopt", &order.base) < 0)
		fail_msg("adopt %s: %s", name, world->error.why);
	return container;
}

void world_bring_agents_back(struct world *world)
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

/* ---- calls ---- */

static void client_closed(void *user, const struct ph_error *error)
{
}

void world_connect(struct world *world)
{
	struct address address = { .family = ADDRESS_UNIX };
	const struct channel_config config = { .closed = client_closed };
	int fd;

	snprintf(address.path, sizeof(address.path), "%.90s/control.sock", world->scratch.path);
	fd = address_connect(&address);
	assert_true(fd >= 0);
	assert_int_equal(channel_open(&world->loop, fd, &config, &world->client), 0);
}

static void answered(void *user, const ProtobufCMessage *message, const struct ph_error *error)
{
	struct world *world = user;

	world->has_answer = true;
	world->error = error ? *error : (struct ph_error){ 0 };
	message_free(world->reply);
	world->reply = message ? message_copy(message) : NULL;
}

int world_call(struct world *world, const char *method, const ProtobufCMessage *request)
{
	world_ask(world, method, request);
	world_run_until(world, world_has_answer);
	return world->error.code;
}

void world_ask(struct world *world, const char *method, const ProtobufCMessage *request)
{
	static const struct rpc_handlers handlers = { .finished = answered };

	if (!world->client)
		world_connect(world);
	world->has_answer = false;
	assert_int_equal(channel_call(world->client, &phoenix__control__descriptor, method, request,
				      PATIENCE_MS, &handlers, world, NULL), 0);
}

bool world_has_answer(struct world *world)
{
	return world->has_answer;
}

void world_hang_up(struct world *world)
{
	if (world->client)
		channel_close(world->client);
	world->client = NULL;
}
