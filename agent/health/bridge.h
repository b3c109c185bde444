/*
 * The bridge that Docker puts its containers on by default: dockerd makes it when it starts, and
 * does not notice when it goes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "agent/health/judgement.h"

struct bridge {
	bool is_running; /* dockerd runs: only then there has to be one */
	char name[32];   /* "docker0"; "none" when there is to be none */
	bool exists;
	bool is_up;
	bool has_address;
};

/*
 * Which bridge a dockerd with this command line (words that each end with NUL) and this daemon.json
 * (NULL: none) uses: "docker0" by default, "none". Pure.
 */
void bridge_name(const char *command_line, size_t length, const char *daemon_json, char *name,
		 size_t size);

/* Look at the bridge of the dockerd with this pid; 0: it does not run. */
void bridge_read(pid_t dockerd, struct bridge *ret_bridge);

/* Judge BridgeUp. */
struct judgement bridge_judge(const struct bridge *bridge);
