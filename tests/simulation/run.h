/* One rollout in a simulated world, from its seed to its end or its first violation. */
#pragma once

#include "tests/simulation/world.h"

/* Run a world that was just made. False when an invariant was violated: world->violation. */
bool run_world(struct world *world);
