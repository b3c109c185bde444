/*
 * Tables of allowed state moves. A long-lived object has an enum of states, one table, and calls
 * states_move() for every change; a move that the table does not hold is our own bug and aborts.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct states_table {
	const char *name;          /* "session" */
	const char *const *states; /* names, indexed by state */
	size_t count;              /* of states, at most 32 */
	const uint32_t *allowed;   /* per state: bit n set when moving to n is allowed */
};

#define STATE_BIT(state) (UINT32_C(1) << (state))

/* Whether the table allows this move; staying is always allowed. */
bool states_may_move(const struct states_table *table, unsigned int from, unsigned int to);

/* Move *state to a state that the table allows, or abort with both names. */
void states_move(const struct states_table *table, unsigned int *state, unsigned int to);

/* The name of a state, "?" outside the table. */
const char *states_name(const struct states_table *table, unsigned int state);
