#include "controller/events/live.h"

#include <assert.h>
#include <stdlib.h>

#include "common/memory.h"
#include "common/str.h"

struct events_subscription {
	TAILQ_ENTRY(events_subscription) link;
	struct live *live; /* borrowed */
	char *container;   /* owned */
	uint64_t last;     /* it sees what comes after this */
	events_live_fn function;
	void *user;
	bool cancelled; /* while delivering: freed afterwards */
};

void live_init(struct live *live)
{
	TAILQ_INIT(&live->subscriptions);
	TAILQ_INIT(&live->queue);
	live->delivering = false;
}

static void free_subscription(struct events_subscription *subscription)
{
	TAILQ_REMOVE(&subscription->live->subscriptions, subscription, link);
	free(subscription->container);
	free(subscription);
}

static void free_batch(struct live_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		phoenix__event__free_unpacked(batch->events[i], NULL);
	free(batch);
}

static struct live_batch *pop_batch(struct live *live)
{
	struct live_batch *batch = TAILQ_FIRST(&live->queue);

	if (batch)
		TAILQ_REMOVE(&live->queue, batch, link);
	return batch;
}

void live_fini(struct live *live)
{
	struct live_batch *batch;

	assert(!live->delivering);
	while (!TAILQ_EMPTY(&live->subscriptions))
		free_subscription(TAILQ_FIRST(&live->subscriptions));
	while ((batch = pop_batch(live)))
		free_batch(batch);
}

bool live_is_wanted(const struct live *live)
{
	return !TAILQ_EMPTY(&live->subscriptions);
}

struct events_subscription *live_subscribe(struct live *live, const char *container, uint64_t last,
					   events_live_fn function, void *user)
{
	struct events_subscription *subscription = ph_alloc(sizeof(*subscription));

	subscription->live = live;
	subscription->container = ph_strdup(container);
	subscription->last = last;
	subscription->function = function;
	subscription->user = user;
	TAILQ_INSERT_TAIL(&live->subscriptions, subscription, link);
	return subscription;
}

void events_unsubscribe(struct events_subscription *subscription)
{
	if (!subscription)
		return;
	if (subscription->live->delivering)
		subscription->cancelled = true;
	else
		free_subscription(subscription);
}

void live_push(struct live *live, Phoenix__Event *event)
{
	struct live_batch *batch = TAILQ_LAST(&live->queue, live_batches);

	if (!batch || batch->count == EVENTS_BATCH) {
		batch = ph_alloc(sizeof(*batch));
		TAILQ_INSERT_TAIL(&live->queue, batch, link);
	}
	batch->events[batch->count++] = event;
}

static bool is_selected(const struct events_subscription *subscription, const Phoenix__Event *event)
{
	return event->seq > subscription->last &&
	       (text_empty(subscription->container) ||
		text_equal(subscription->container, event->container));
}

static void deliver_batch(struct events_subscription *subscription, const struct live_batch *batch)
{
	Phoenix__Event *selected[EVENTS_BATCH];
	size_t count = 0;

	for (size_t i = 0; i < batch->count; i++)
		if (is_selected(subscription, batch->events[i]))
			selected[count++] = batch->events[i];
	if (count > 0)
		subscription->function(subscription->user, selected, count);
}

static void free_cancelled(struct live *live)
{
	struct events_subscription *subscription = TAILQ_FIRST(&live->subscriptions);

	while (subscription) {
		struct events_subscription *next = TAILQ_NEXT(subscription, link);

		if (subscription->cancelled)
			free_subscription(subscription);
		subscription = next;
	}
}

void live_deliver(struct live *live)
{
	struct events_subscription *subscription;
	struct live_batch *batch;

	if (live->delivering)
		return;
	live->delivering = true;
	while ((batch = pop_batch(live))) {
		TAILQ_FOREACH(subscription, &live->subscriptions, link)
			if (!subscription->cancelled)
				deliver_batch(subscription, batch);
		free_batch(batch);
	}
	live->delivering = false;
	free_cancelled(live);
}
