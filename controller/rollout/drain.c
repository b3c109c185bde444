/*
 * Before a container is touched: the event rollout.drain, for whoever follows events and sends it work,
 * and the time that the strategy gives it. phoenixd starts no program for this: it may not.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/memory.h"
#include "controller/rollout/rollouts_private.h"

struct drain {
	struct hand *hand;   /* borrowed */
	struct timer *timer; /* owned */
};

static void waited(void *user)
{
	hand_ended(((struct drain *)user)->hand, NULL);
}

void hand_drain(struct hand *hand)
{
	struct registry *registry = hand->rollout->rollouts->registry;
	const Phoenix__RolloutRecord *record = hand->rollout->record;
	struct container *container = registry_find(registry, record->items[hand->item]->name);
	struct ph_error error;
	struct drain *drain;

	if (!container) {
		error_set(&error, -ENOENT, record->items[hand->item]->name, NULL,
			  "the container is gone");
		hand_ended(hand, &error);
		return;
	}
	journal_write(registry->journal, PHOENIX__EVENT__SEVERITY__INFO, container_name(container),
		      record->id, "rollout.drain", "Drain", "%s is going to be changed in %llu ms",
		      container->record->address, (unsigned long long)record->strategy->drain_ms);
	journal_flush(registry->journal);
	drain = hand->drain = ph_alloc(sizeof(*drain));
	drain->hand = hand;
	drain->timer = timer_new(registry->loop, waited, drain);
	timer_start(drain->timer, record->strategy->drain_ms, 0);
}

void drain_free(struct drain *drain)
{
	if (!drain)
		return;
	timer_close(drain->timer);
	free(drain);
}
