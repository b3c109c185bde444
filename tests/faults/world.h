/*
 * phoenixd's registry with a fake phoenix-host and fake agents around it, on one loop: what a scene needs to apply
 * containers, also after another process has died over it.
 */
#pragma once

#include "controller/container/container.h"
#include "controller/container/operation.h"
#include "tests/faults/scene.h"
#include "tests/support/fake_agent.h"
#include "tests/support/fake_host.h"

#define WORLD_NAME "web1"
#define WORLD_ROUND "round" /* the label that says which apply it was */

struct world {
	const struct scene *scene;
	uv_loop_t loop;
	struct config config;
	struct fake_host host;
	struct fake_agent agent;
	struct registry *registry; /* owned; NULL: closed */
	struct operation_watcher watcher;
	bool has_ended;
	struct ph_error error; /* how the last apply ended */
};

/* The fakes, and nothing of Phoenix yet. */
void world_init(struct world *world, const struct scene *scene);

/* Open the registry and wait until it has adopted what it finds; false: it could not be opened. */
bool world_open(struct world *world);

/* What kill -9 leaves. */
void world_close(struct world *world);

/* Apply the container with a label of that number; whether it ended well. */
bool world_apply(struct world *world, uint32_t round);

/* Remove the container; whether it ended well. */
bool world_remove(struct world *world);

/* The name of a round's operation; returns id. */
char *world_operation(uint32_t round, char id[16]);

/* Run the loop while operations are in progress; whether they have ended. */
bool world_settle(struct world *world);

/* The number in the container's record; 0: there is none. */
uint32_t world_round(const struct world *world);

/* End everything. */
void world_fini(struct world *world);
