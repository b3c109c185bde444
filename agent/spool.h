/*
 * Events of this agent that the controller has not taken yet: a bounded ring, numbered without gaps. When
 * it is full the oldest go, and the next batch begins with a record of how many. Pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proto/agent.pb-c.h"

#define SPOOL_EVENTS 256 /* kept at most */
#define SPOOL_BATCH 32   /* in one Publish */
#define SPOOL_TEXT 256   /* bytes of a message; longer ones are cut */

struct spool;

/* Make an empty one; stream identifies it, and the agent with it, in every event. */
struct spool *spool_new(const char *stream);

/* Free it. NULL is allowed. */
void spool_free(struct spool *spool);

/* Add an event; texts are copied. Returns its number. */
uint64_t spool_add(struct spool *spool, uint64_t wall_ms, uint64_t monotonic_ms,
	       Phoenix__Event__Severity severity, const char *type, const char *reason,
	       const char *message);

/* Events that wait, the record of a gap not counted. */
size_t spool_count(const struct spool *spool);

/*
 * The oldest events as a request, in order; behind a gap its record comes first. Borrowed until the next
 * spool_add() or spool_taken(); NULL when nothing waits.
 */
const Phoenix__PublishRequest *spool_batch(struct spool *spool);

/* The last batch has arrived: forget it. Events that were added or dropped meanwhile are accounted for. */
void spool_taken(struct spool *spool);
