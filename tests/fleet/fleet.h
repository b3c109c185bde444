/*
 * A fleet of real agents on a real phoenixd, in a directory of its own: the state that an earlier phoenixd
 * would have left is written beforehand, then phoenixd is started, killed and asked. Needs root.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "controller/cli/client.h"
#include "tests/fleet/fleet_host.h"

#define FLEET_LOGS 1   /* agents' logs are kept: LOG_DIR/NAME */
#define FLEET_MOUNTS 2 /* fleet_host.h's has_mounts */

struct fleet {
	char base[64];               /* everything is below it */
	char run_dir[80], state_dir[80], log_dir[80];
	char bin[256];               /* where the programs are */
	size_t count;
	struct fleet_shared *shared;
	pid_t host;                  /* fleet_host.h's process */
	pid_t daemon;                /* phoenixd; 0: none runs */
	int daemon_log;
};

/* Make the state of a fleet of count running containers whose agents have gone, and start its host. */
void fleet_init(struct fleet *fleet, const char *bin, size_t count, unsigned int flags);

/* Kill everything and remove it. */
void fleet_fini(struct fleet *fleet);

/* Start phoenixd; it takes a moment until it answers. */
void fleet_start(struct fleet *fleet);

/* kill -9. */
void fleet_kill(struct fleet *fleet);

/* Connect to phoenixd as soon as it answers; the timeout is for its answers. Ends the program when that takes a minute. */
struct client *fleet_connect(struct fleet *fleet, uint32_t timeout_ms);

/* Wait until the agents of all containers have connected, by the events from *since on, which is moved on. Returns how
 * many have: fewer when the seconds have passed. */
size_t fleet_wait_connected(struct fleet *fleet, unsigned int seconds, uint64_t *since);

/* Nanoseconds of the monotonic clock. */
uint64_t fleet_now(void);

/* Say what failed, with errno, clean up and end the program. */
_Noreturn void fleet_die(struct fleet *fleet, const char *what);
