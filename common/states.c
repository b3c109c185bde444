/* A forbidden move is a bug of ours, and a crash-only process ends before it acts on one. */
#include "common/states.h"

#include <stdio.h>
#include <stdlib.h>

bool states_may_move(const struct states_table *table, unsigned int from, unsigned int to)
{
	if (from >= table->count || to >= table->count)
		return false;
	return from == to || (table->allowed[from] & STATE_BIT(to));
}

void states_move(const struct states_table *table, unsigned int *state, unsigned int to)
{
	if (!states_may_move(table, *state, to)) {
		fprintf(stderr, "phoenix: %s may not move from %s to %s\n", table->name,
			states_name(table, *state), states_name(table, to));
		abort();
	}
	*state = to;
}

const char *states_name(const struct states_table *table, unsigned int state)
{
	return state < table->count ? table->states[state] : "?";
}
