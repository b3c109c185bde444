/*
 * What may never happen in a rollout, judged by what the simulated world saw and not by what the
 * engine thinks of itself. The first violation is kept in world->violation and ends the run.
 */
#pragma once

#include "tests/simulation/world.h"

/* Before an action is started. */
void check_start(struct world *world, const struct rollout_action *action);

/* After a transition was made; item as in struct rollout_step. */
void check_transition(struct world *world, size_t item);

/* When the engine says that there is nothing to do now. */
void check_wait(struct world *world, uint64_t wake_ms);

/* When the engine says that it is over. */
void check_end(struct world *world);

/* Note a violation; printf format. */
void check_violated(struct world *world, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
