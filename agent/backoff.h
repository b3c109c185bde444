/*
 * How long the agent waits before it dials again. A controller that is not there comes back soon: up to a
 * second. Whoever answers there without the container's key is another thing: the key was rotated and no
 * agent with the new one could be pushed, or it is not the controller. That does not change from one second
 * to the next. Jittered, so that a fleet does not come back at one instant. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define BACKOFF_FIRST_MS 20
#define BACKOFF_LAST_MS 1000
#define BACKOFF_REFUSED_FIRST_MS 1000
#define BACKOFF_REFUSED_LAST_MS 60000

struct backoff {
	uint32_t lost_ms;    /* before the next one; 0: the first */
	uint32_t refused_ms;
};

/* Begin anew: a session has begun. */
void backoff_reset(struct backoff *backoff);

/* The milliseconds to wait now, and twice as many the next time; is_refused: who answered has not the key. */
uint32_t backoff_next(struct backoff *backoff, bool is_refused, uint16_t random);
