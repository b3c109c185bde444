/*
 * How the profiles of containers stand in the kernel, asked once per profile and verb however many
 * containers there are. What the text should be is rendered anew, so that an upgrade shows.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/config.h"
#include "controller/host/confine/facts.h"
#include "controller/host/confine/kept.h"

#define PROFILE_STATES_MAXIMUM 16

struct profile_states {
	const struct config *config; /* borrowed */
	bool has_facts;
	struct confine_facts facts;
	struct {
		char name[64];
		enum confine_currency currency;
	} known[PROFILE_STATES_MAXIMUM];
	size_t count;
};

/* What the host can do, looked at once. Borrowed from states. */
const struct confine_facts *profile_states_facts(struct profile_states *states);

/* How a profile stands. */
enum confine_currency profile_states_get(struct profile_states *states, const char *profile);

/* Render the text of a profile by its name; the caller frees it. */
int profile_states_render(struct profile_states *states, const char *profile, char **ret_text,
			  struct ph_error *error);

/* Write the path of root's own directory of policy: cache and what is kept. */
int profile_states_directory(const struct config *config, char *path, size_t size,
			     struct ph_error *error);
