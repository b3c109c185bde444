/*
 * A profile's way into the kernel of a host with running containers: compiled first, replaced in
 * place, the labels of everything that runs under it read before and after, taken back when
 * something has lost its label. What was loaded is kept, and what was loaded before it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "controller/host/verbs/profile_state.h"

struct go_live {
	bool changed;       /* the kernel's policy was changed */
	bool replaced;      /* under processes that ran */
	uint32_t processes; /* whose labels were read after it */
	char hash[65];      /* of the text */
};

/*
 * Load a text as the profile. -EINVAL when it does not compile: nothing has changed then. -EBADE when
 * it was loaded, did not hold what the one before it held, and was taken back.
 */
int go_live(struct profile_states *states, const char *profile, const char *text,
	    struct go_live *ret_result, struct ph_error *error);

/* Load the text before the one that is loaded: -ENOENT when none is kept. */
int go_live_back(struct profile_states *states, const char *profile, struct go_live *ret_result,
		 struct ph_error *error);
