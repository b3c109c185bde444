/*
 * The loop around the engine: a step, its record saved, then its action. Results that come while the
 * loop is on the stack are taken in between two steps.
 */
#include <stdio.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/message.h"
#include "controller/rollout/rollouts_private.h"

#define RETRY_MS 500
#define LOOK_MS 1000     /* how often health is looked at while something may change by it */
#define REFRESH_MS 3000

void rollout_operation_id(const Phoenix__RolloutRecord *record, uint64_t sequence, char id[64])
{
	snprintf(id, 64, "%.24s-%llu", record->id, (unsigned long long)sequence);
}

static enum rollout_health health_of(void *user, size_t item)
{
	return hand_health(&((struct rollout *)user)->hands[item]);
}

/* Save one transition; false: what is in memory is not to be trusted any more. */
static bool save(struct rollout *rollout, size_t item)
{
	struct rollouts *rollouts = rollout->rollouts;
	struct ph_error error;
	int r = records_save(rollouts->registry->store, &rollouts->lease, rollout->record, item,
			     &rollout->revision, &error);

	if (r == 0) {
		rollout_tell(rollout, item);
		return true;
	}
	if (r < 0)
		log_error(LOG_LEVEL_ERROR, "rollout", NULL, &error);
	else
		log_write(LOG_LEVEL_WARNING, "rollout", NULL,
			  "somebody else has changed rollout %s: it is read anew", rollout->record->id);
	return false;
}

/* The rollouts may have been closed meanwhile; the registry is there as long as it calls. */
static void health_refreshed(void *user)
{
	struct registry *registry = user;

	if (registry->rollouts)
		registry->rollouts->is_refreshing = false;
}

/* The poll of the whole fleet is too slow for a soak. */
static void refresh_health(struct rollouts *rollouts)
{
	uint64_t now_ms = clock_monotonic_ms();

	if (rollouts->is_refreshing || now_ms - rollouts->refreshed_ms < REFRESH_MS)
		return;
	rollouts->is_refreshing = true;
	rollouts->refreshed_ms = now_ms;
	refresh_fleet(rollouts->registry, health_refreshed, rollouts->registry);
}

static void arm(struct rollout *rollout, uint64_t wake_ms)
{
	uint64_t now_ms = rollouts_now(rollout->rollouts), wait_ms = LOOK_MS;

	for (size_t i = 0; i < rollout->record->n_items; i++)
		if (rollout->hands[i].is_waiting)
			wait_ms = RETRY_MS;
	if (wake_ms && wake_ms < now_ms + wait_ms)
		wait_ms = wake_ms > now_ms ? wake_ms - now_ms : 0;
	timer_start(rollout->timer, wait_ms, 0);
	refresh_health(rollout->rollouts);
}

/* One step of the engine; false: nothing more now. */
static bool step(struct rollout *rollout)
{
	const struct rollout_view view = { rollouts_now(rollout->rollouts), rollout->watched_ms, health_of, rollout };
	struct rollout_step made;
	int r = rollout_step(rollout->record, &view, &made);

	if (r == ROLLOUT_WAIT)
		arm(rollout, made.wake_ms);
	if (r == ROLLOUT_WAIT || r == ROLLOUT_ENDED)
		return false;
	if (!save(rollout, made.item)) {
		rollout_reload(rollout);
		return false;
	}
	if (r == ROLLOUT_ACT)
		hand_begin(&rollout->hands[made.action.item], &made.action);
	return true;
}

void rollout_drive(struct rollout *rollout)
{
	rollout->has_more = true;
	if (rollout->is_driving || !rollouts_may_act(rollout->rollouts))
		return;
	rollout->is_driving = true;
	while (rollout->has_more) {
		rollout->has_more = false;
		for (size_t i = 0; i < rollout->record->n_items; i++)
			if (rollout->hands[i].is_waiting)
				hand_retry(&rollout->hands[i]);
		while (step(rollout))
			;
	}
	rollout->is_driving = false;
}

void rollout_join(struct rollout *rollout)
{
	struct rollout_action action;

	rollout->watched_ms = rollouts_now(rollout->rollouts);
	if (rollout_is_over(rollout->record))
		return;
	for (size_t i = 0; i < rollout->record->n_items; i++)
		if (rollout_in_flight(rollout->record, i, &action))
			hand_begin(&rollout->hands[i], &action);
	rollout_drive(rollout);
}

void rollout_let_go(struct rollout *rollout)
{
	timer_stop(rollout->timer);
	for (size_t i = 0; i < rollout->record->n_items; i++)
		hand_let_go(&rollout->hands[i]);
}

void hand_ended(struct hand *hand, const struct ph_error *failure)
{
	struct rollout *rollout = hand->rollout;
	Phoenix__Failure message = PHOENIX__FAILURE__INIT;
	int r;

	hand_let_go(hand);
	if (failure)
		rpc_failure_from_error(&message, failure);
	r = rollout_finished(rollout->record, hand->item, hand->action.sequence,
			     failure ? &message : NULL, rollouts_now(rollout->rollouts));
	if (r == ROLLOUT_MOVED && !save(rollout, hand->item)) {
		rollout_reload(rollout);
		return;
	}
	rollout_drive(rollout);
}
