/*
 * Conditions from facts: a pure function of what the host observed, what the agent claimed and what
 * was asked for. Observed facts and claims stay apart: a condition says which of both it is.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/agent.pb-c.h"
#include "proto/host.pb-c.h"
#include "proto/state.pb-c.h"

#define CONDITIONS_CLAIMED_MAXIMUM 32 /* of an agent's conditions; more are dropped */

struct condition_facts {
	const Phoenix__ContainerSpec *spec;
	const char *profile;                           /* expected label; "" without AppArmor */
	const Phoenix__ContainerObservation *observed; /* NULL: never looked */
	const Phoenix__HealthReply *claimed;           /* NULL: not connected, or never asked */
	const Phoenix__VerifyReport *verify;           /* NULL: never verified */
	bool connected;                                /* an agent session is there */
	const char *health_problem;                    /* why the last question for its health failed,
							* "" or NULL when it did not */
};

struct conditions {
	Phoenix__Condition **items; /* owned, heap messages */
	size_t count;
};

/*
 * Compute the conditions at wall_ms. previous (may be empty) gives the last transition times of
 * those that did not change.
 */
void conditions_compute(const struct condition_facts *facts, const struct conditions *previous,
			uint64_t wall_ms, struct conditions *ret_conditions);

/* Free the items. */
void conditions_fini(struct conditions *conditions);

/* Find one by its type; NULL when there is none. */
const Phoenix__Condition *conditions_find(const struct conditions *conditions, const char *type);
