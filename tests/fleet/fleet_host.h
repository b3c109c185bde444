/*
 * A phoenix-host whose containers are nothing but their agents: each push starts a real phoenix-agent as
 * root of a user namespace and first process of a pid namespace of its own, with the id map that its
 * record has and in a control group that is named like the container's. So phoenixd's look at its peers is
 * the one of production, where no AppArmor is. What is missing: LXC, a root file system, a network, a bind
 * mount for the socket (the agents dial its path on the host), and all verbs but the few that a running
 * fleet needs. Needs root.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define FLEET_MAXIMUM 16384
#define FLEET_IDS_FIRST 100000
#define FLEET_IDS_EACH 65536

/* What the host's process shows to the one that has started it. */
struct fleet_shared {
	_Atomic unsigned int pushes;
	_Atomic pid_t agents[FLEET_MAXIMUM];
};

struct fleet_host_config {
	const char *run_dir;
	const char *agent;   /* program */
	const char *log_dir; /* LOG_DIR/NAME takes what an agent writes to standard error; NULL: nothing */
	bool has_mounts;     /* each agent has a mount namespace, and a data-root of its own in it */
	size_t count;
	struct fleet_shared *shared;
};

/* The name of a container, from 0: sorted by name as by number. */
void fleet_name(size_t index, char name[64]);

/* The number behind such a name; false for any other. */
bool fleet_index(const char *name, size_t *ret_index);

/* Start it in a process of its own, which ends, and its agents with it, when this one does. */
pid_t fleet_host_start(const struct fleet_host_config *config);

/* Remove the control groups of agents that have gone. */
void fleet_host_clean(size_t count);
