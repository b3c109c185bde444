/*
 * What was denied lately: per container a bounded table of patterns with their counts, and the
 * decision which of them deserve an event. In memory only, so it begins anew with phoenixd. Pure:
 * time is an argument.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/control.pb-c.h"

#define PATTERNS_PER_CONTAINER 64
#define PATTERNS_CONTAINERS 1024
#define PATTERNS_BURST 16          /* events of one container at once */
#define PATTERNS_REFILL_MS 15000   /* and one more so often */
#define PATTERNS_AGAIN_MS 3600000  /* a pattern that goes on is announced again */
#define PATTERNS_AGAIN_FACTOR 10   /* or when it has become so many times more */

struct patterns;

/* Make an empty table. */
struct patterns *patterns_new(void);

/* Free it. NULL is allowed. */
void patterns_free(struct patterns *patterns);

/*
 * Count a record of a container ("": nobody knows whose). Gives the pattern, borrowed until the next
 * change, and whether it is to be announced now.
 */
const Phoenix__DenialPattern *patterns_take(struct patterns *patterns, const char *container,
					    const Phoenix__Denial *denial, uint64_t now_ms,
					    bool *ret_announce);

/* Count denials of a container that no pattern tells of. */
void patterns_drop(struct patterns *patterns, const char *container, uint64_t count,
		   uint64_t now_ms);

/*
 * Find a container that has dropped denials, or patterns without an event, that nobody was told of
 * for a while: once per container and minute. Returns its name, NULL: none.
 */
const char *patterns_next_dropped(struct patterns *patterns, uint64_t now_ms,
				  uint64_t *ret_denials, uint64_t *ret_events);

/* Forget a container. */
void patterns_forget(struct patterns *patterns, const char *container);

/* Call visit for every pattern of a container (NULL: all), the one seen last first. */
void patterns_visit(const struct patterns *patterns, const char *container,
		    void (*visit)(void *user, const Phoenix__DenialPattern *pattern), void *user);

/* Call visit for every container that has dropped denials, with how many since the start. */
void patterns_visit_dropped(const struct patterns *patterns, const char *container,
			    void (*visit)(void *user, const char *container, uint64_t count),
			    void *user);
