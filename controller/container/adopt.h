/*
 * Containers that others made: taking one over, and what may not be done with it because it is not
 * ours. The operations that change its confinement are in operation.h.
 */
#pragma once

#include "controller/container/container.h"

#define CONTAINER_PHASE_ADOPTED "adopted" /* known, and as its owner has it */

/* Make and store the record of a container that phoenix-host has adopted. */
int adopt_record(struct registry *registry, const Phoenix__ForeignContainer *found,
		 struct container **ret_container, struct ph_error *error);

/* Whether a container was adopted. */
bool adopt_is(const struct container *container);

/* Whether an agent may run in it: it is ours, or confined by us. */
bool adopt_may_have_agent(const struct container *container);

/*
 * Whether every image of before is there after: both are 12 digits each, ascending. The first that is
 * missing is returned, NULL when none is.
 */
const char *adopt_missing_image(char *const *before, size_t before_count, char *const *after,
				size_t after_count);
