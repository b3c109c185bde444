/*
 * What agents tell, as events of the log: bounded, under the name of their own container whatever they call
 * it, and each one once. An agent that got no answer sends a batch again, also to a phoenixd that has been
 * started since: then the log itself knows what it has.
 */
#pragma once

#include "controller/container/container.h"

/* Append the first count events of a request; the others are above the rate, but have come all the same. */
void claim_events_take(struct container *container, const Phoenix__PublishRequest *request,
		       size_t count);
