/*
 * Who follows the log live. Committed batches go through a queue, so that a callback may flush more
 * events, subscribe and unsubscribe without anybody missing one or seeing two in the wrong order.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "controller/events/events.h"

struct live_batch {
	TAILQ_ENTRY(live_batch) link;
	Phoenix__Event *events[EVENTS_BATCH]; /* owned */
	size_t count;
};

struct live {
	TAILQ_HEAD(, events_subscription) subscriptions; /* owned; oldest first */
	TAILQ_HEAD(live_batches, live_batch) queue;      /* owned; committed, not yet delivered */
	bool delivering;
};

/* Begin with nobody. */
void live_init(struct live *live);

/* Forget all subscriptions and what was not delivered. */
void live_fini(struct live *live);

/* Whether anybody follows: else nothing has to be decoded. */
bool live_is_wanted(const struct live *live);

/* Add a follower of a container ("": all) that sees events after seq `last`. */
struct events_subscription *live_subscribe(struct live *live, const char *container, uint64_t last,
					   events_live_fn function, void *user);

/* Queue one committed event, which is owned from here on. */
void live_push(struct live *live, Phoenix__Event *event);

/* Deliver what is queued, unless a delivery is already going on: it goes on with this then. */
void live_deliver(struct live *live);
