/*
 * The events "condition.changed". What was told last is noted beside them in the event log, so that a restarted
 * phoenixd, which knows no condition at first, tells only what has changed since.
 */
#pragma once

#include "controller/container/conditions.h"

struct container;

/* Tell a condition of a container unless it is as in old, or as it was told last. */
void condition_events_tell(struct container *container, const struct conditions *old,
			   const Phoenix__Condition *condition);
