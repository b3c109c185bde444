#include "tests/faults/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/message.h"
#include "common/str.h"

#define PATIENCE_SECONDS 30 /* more than an agent that has to be pushed again */

void world_init(struct world *world, const struct scene *scene)
{
	memset(world, 0, sizeof(*world));
	world->scene = scene;
	uv_loop_init(&world->loop);
	config_init(&world->config);
	text_copy(world->config.run_dir, sizeof(world->config.run_dir), scene->directory);
	text_copy(world->config.state_dir, sizeof(world->config.state_dir), scene->directory);
	mkdir(scene_file(scene, "db"), 0700);
	world->host.apparmor = true;
	world->host.image = "bookworm";
	world->host.agent = &world->agent;
	fake_host_open(&world->host, &world->loop, scene->directory);
}

bool world_open(struct world *world)
{
	struct ph_error error;

	if (registry_open(&world->loop, &world->config, &world->registry, &error) < 0) {
		world->registry = NULL;
		for (int i = 0; i < 20; i++)
			uv_run(&world->loop, UV_RUN_NOWAIT);
		return false;
	}
	world->registry->check_peer = NULL; /* our agents are in no container */
	return scene_run_loop(world->scene, &world->loop, &world->registry->is_adopted, PATIENCE_SECONDS);
}

void world_close(struct world *world)
{
	if (world->registry)
		registry_close(world->registry);
	world->registry = NULL;
	for (int i = 0; i < 20; i++)
		uv_run(&world->loop, UV_RUN_NOWAIT);
}

char *world_operation(uint32_t round, char id[16])
{
	snprintf(id, 16, "round-%u", round);
	return id;
}

static void progress(void *user, const Phoenix__Progress *message)
{
}

static void apply_ended(void *user, const char *name, bool changed, const struct ph_error *error)
{
	struct world *world = user;

	world->has_ended = true;
	world->error = error ? *error : (struct ph_error){ 0 };
}

static struct container *find_or_make(struct world *world, Phoenix__ContainerSpec *spec, bool *ret_is_new)
{
	struct container *container = registry_find(world->registry, spec->name);
	Phoenix__ContainerRecord record = PHOENIX__CONTAINER_RECORD__INIT;

	*ret_is_new = !container;
	if (container)
		return container;
	record.spec = spec;
	record.phase = (char *)CONTAINER_PHASE_PREPARING;
	container = container_new(world->registry, MESSAGE_COPY(&record));
	registry_add(world->registry, container);
	return container;
}

static bool wait_for_end(struct world *world)
{
	bool is_over = scene_run_loop(world->scene, &world->loop, &world->has_ended, PATIENCE_SECONDS);

	operation_unwatch(&world->watcher);
	return is_over && world->error.code == 0;
}

bool world_apply(struct world *world, uint32_t round)
{
	Phoenix__ContainerSpec spec = PHOENIX__CONTAINER_SPEC__INIT;
	Phoenix__Pair label = PHOENIX__PAIR__INIT, *labels[] = { &label };
	struct operation_order order = { .type = &operation_apply, .spec = &spec };
	struct container *container;
	char number[16], id[16];

	snprintf(number, sizeof(number), "%u", round);
	label.key = (char *)WORLD_ROUND;
	label.value = number;
	spec.name = (char *)WORLD_NAME;
	spec.image = (char *)"bookworm";
	spec.storage_driver = (char *)"fuse-overlayfs";
	spec.docker_source = (char *)"distribution";
	spec.labels = labels;
	spec.n_labels = 1;
	world->watcher = (struct operation_watcher){ .progress = progress, .ended = apply_ended, .user = world };
	world->has_ended = false;
	order.id = world_operation(round, id);
	container = find_or_make(world, &spec, &order.is_new);
	if (operation_start_order(container, &order, &world->watcher, &world->error) < 0)
		return false;
	return wait_for_end(world);
}

bool world_remove(struct world *world)
{
	struct container *container = registry_find(world->registry, WORLD_NAME);

	world->watcher = (struct operation_watcher){ .progress = progress, .ended = apply_ended, .user = world };
	world->has_ended = false;
	if (!container || operation_start(container, &operation_remove, NULL, false, &world->watcher,
					  &world->error) < 0)
		return false;
	return wait_for_end(world);
}

bool world_settle(struct world *world)
{
	bool has_none = false;

	for (int i = 0; i < 2000 && world->registry->operations; i++) {
		scene_run_loop(&(struct scene){ .every = 1 }, &world->loop, &has_none, 0);
		uv_sleep(5);
	}
	return !world->registry->operations;
}

uint32_t world_round(const struct world *world)
{
	const struct container *container = registry_find(world->registry, WORLD_NAME);
	unsigned int round = 0;

	for (size_t i = 0; container && i < container->record->spec->n_labels; i++)
		sscanf(container->record->spec->labels[i]->value, "%u", &round);
	return round;
}

void world_fini(struct world *world)
{
	world_close(world);
	fake_agent_kill_all(&world->agent);
	fake_host_close(&world->host);
	uv_run(&world->loop, UV_RUN_DEFAULT);
	if (uv_loop_close(&world->loop) < 0) {
		uv_print_all_handles(&world->loop, stderr);
		abort();
	}
}
