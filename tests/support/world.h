/*
 * phoenixd's rooms without its process, for component tests: registry, rollouts and control socket on
 * the test's own loop, a fake phoenix-host and fake agents behind their real sockets. Closing and opening
 * the controller leaves what kill -9 leaves: the store, phoenix-host and the agents.
 */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "common/config.h"
#include "controller/api/api.h"
#include "controller/container/operation.h"
#include "controller/rollout/rollouts.h"
#include "tests/support/fake_agent.h"
#include "tests/support/fake_host.h"
#include "tests/support/scratch.h"

#define WORLD_ADDRESS "10.209.0.0/16"

struct world {
	struct scratch scratch;
	uv_loop_t loop;
	struct config config;
	struct fake_host host;
	struct fake_agent agent;
	struct registry *registry; /* owned; NULL while the controller is closed */
	struct rollouts *rollouts; /* as the registry */
	struct api *api;           /* as the registry */
	void *user;                /* the test's own */

	/* The operation that world_begin() has started. */
	struct operation_watcher watcher;
	bool has_ended, changed;
	struct ph_error error;      /* how it ended; of a call too */
	unsigned int steps_changed; /* steps that reported DONE */
	char last_step[48];
	const char *kill_at;        /* is_killed is set when this step has started; NULL: never */
	bool is_killed;

	/* The call that world_call() has made. */
	struct channel *client;     /* owned; NULL until the first */
	ProtobufCMessage *reply;    /* owned; NULL: it failed */
	bool has_answer, is_closed;
};

/* Make one with an open controller, which has adopted nothing yet; ended with world_free(). */
struct world *world_new(void);

/* Close the controller, end the fakes, see that the loop is empty. */
void world_free(struct world *world);

/* Open the controller and wait until it has joined its records with what runs. */
void world_open(struct world *world);

/* Close it as kill -9 does. */
void world_close(struct world *world);

/* Run the loop until a condition holds; the test fails when that takes a minute. */
void world_run_until(struct world *world, bool (*holds)(struct world *world));

/* Conditions: the operation has ended, it has or is_killed is set, none is in progress. */
bool world_has_ended(struct world *world);
bool world_has_ended_or_killed(struct world *world);
bool world_is_idle(struct world *world);

/* Start an operation on a container, which is made when it is not known. spec NULL unless apply. */
void world_begin(struct world *world, const struct operation_type *type, const char *name,
		 const Phoenix__ContainerSpec *spec);

/* Start one with all that an order may say; is_new is found out. */
void world_begin_order(struct world *world, const char *name, const struct operation_order *wanted);

/* Start one and wait until it has ended or is_killed is set. */
void world_run(struct world *world, const struct operation_type *type, const char *name,
	       const Phoenix__ContainerSpec *spec);

/* A container of somebody else, adopted as the method Adopt does it: running, with so many images. */
struct fake_container *world_adopt(struct world *world, const char *name, unsigned int images);

/* Connect an agent to every container that has a key, as those do that outlived a phoenixd. */
void world_bring_agents_back(struct world *world);

/* Connect to the control socket, for calls that the test makes itself: world->client. */
void world_connect(struct world *world);

/* Call a unary method of the control socket and wait: reply or error. Returns the error's code. */
int world_call(struct world *world, const char *method, const ProtobufCMessage *request);

/* Call one and do not wait: world_has_answer() says when reply or error is there. */
void world_ask(struct world *world, const char *method, const ProtobufCMessage *request);
bool world_has_answer(struct world *world);

/* Leave as a client does that is killed. */
void world_hang_up(struct world *world);
