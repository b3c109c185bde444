/*
 * What the host sees of a container, never what the container says: the kernel's processes, labels
 * and groups, and our own records.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/worker.h"
#include "controller/host/confine/label.h"
#include "controller/host/image/clone.h"
#include "controller/host/verbs/placement.h"
#include "controller/host/verbs/profile_state.h"
#include "proto/host.pb-c.h"

#define OBSERVE_NESTED_MAXIMUM 64

struct observe_nested {
	char process[64]; /* "4711 nginx" */
	char label[128];
};

struct observation {
	struct placement placement;
	bool exists;
	bool running;
	pid_t init;
	uint64_t init_start_ticks;
	char label[CONFINE_LABEL_SIZE]; /* of init; "" without AppArmor */
	uint32_t processes;
	uint32_t off_label;
	char first_offender[CONFINE_LABEL_SIZE];
	struct clone clone; /* no root has an image when there is none, or its record is damaged */
	enum confine_currency currency; /* of the profile, when it runs under one */
	uint64_t memory_bytes;
	struct observe_nested nested[OBSERVE_NESTED_MAXIMUM];
	size_t nested_count;
};

/*
 * Look at a container. A container that does not exist is an observation, not an error; a record
 * that cannot be read is an error. states remembers the profiles from one look to the next; NULL
 * where there is one only.
 */
int observe(const struct config *config, const char *name, struct profile_states *states,
	    struct observation *ret_observation, struct ph_error *error);

/* How its profile stands, for a message; "" when it does not run under one. A constant. */
const char *observe_profile_state(const struct observation *observation);

/* The method of a root, for a message; "" when there is no such root. A constant. */
const char *observe_clone_method(const struct clone_root *root);

/*
 * Send the observation as a verb's reply. changed is passed on.
 */
void observe_send(const struct observation *observation, bool changed,
		  struct worker_output *output);

/* Look at a container and send that as a verb's reply. */
int observe_reply(const struct config *config, const char *name, bool changed,
		  struct worker_output *output, struct ph_error *error);

/* The init of a container that runs with its own id map; 0 when it does not. */
pid_t observe_init(const struct config *config, const struct placement *placement);
