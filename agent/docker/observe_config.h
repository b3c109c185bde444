/*
 * What daemon.json says, and what it would have to say. Reads files, writes none. Internal to the
 * room.
 */
#pragma once

#include "agent/docker/daemon_json.h"
#include "agent/docker/docker.h"

/* Fill the facts about daemon.json; what cannot be merged is a fact too (config_refusal). */
void config_observe(const struct docker_wanted *wanted, struct docker_facts *facts);

/*
 * Merge what is wanted into the present daemon.json: the outcomes and errors of daemon_json_merge(),
 * and -EEXIST with unit:line when a key of ours is also given to dockerd as a flag.
 */
int config_merge(const struct docker_wanted *wanted, char **ret_text, struct ph_error *error);
