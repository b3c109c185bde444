/*
 * Actions as operations on containers. An operation carries the name of its action, so whoever comes
 * back after a crash sees whether it is going, has ended (the container's record tells how), or was
 * never begun. What cannot be begun now, because something else works on the container, is tried
 * again until the engine's deadline ends it.
 */
#include <errno.h>

#include "common/clock.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/container/adopt.h"
#include "controller/rollout/confining.h"
#include "controller/rollout/rebuilding.h"
#include "controller/rollout/rollouts_private.h"

static const Phoenix__RolloutItem *item_of(const struct hand *hand)
{
	return hand->rollout->record->items[hand->item];
}

static struct container *container_of_hand(const struct hand *hand)
{
	return registry_find(hand->rollout->rollouts->registry, item_of(hand)->name);
}

enum rollout_health hand_health(const struct hand *hand)
{
	const struct container *container = container_of_hand(hand);
	const Phoenix__Condition *ready;

	if (container && container_is(container, CONTAINER_PHASE_ADOPTED))
		return confining_health(container);
	if (!container || !container_is(container, CONTAINER_PHASE_RUNNING))
		return ROLLOUT_HEALTH_NOT_READY;
	ready = conditions_find(&container->conditions, "Ready");
	if (!ready || ready->status == PHOENIX__CONDITION__STATUS__UNKNOWN)
		return ROLLOUT_HEALTH_UNKNOWN;
	return ready->status == PHOENIX__CONDITION__STATUS__TRUE ? ROLLOUT_HEALTH_READY :
								   ROLLOUT_HEALTH_NOT_READY;
}

/* ---- results ---- */

static void progress(void *user, const Phoenix__Progress *message)
{
}

/* Whether an error says that it could not be begun, and not how it went. */
static bool is_busy_error(const struct ph_error *error)
{
	return error && error->code == -EBUSY;
}

static void operation_ended(void *user, const char *name, bool changed,
			    const struct ph_error *error)
{
	struct hand *hand = user;

	if (is_busy_error(error)) {
		hand->is_waiting = true;
		return;
	}
	hand_ended(hand, error);
}

/* How an operation ended that nobody was there to see. */
static void take_result(struct hand *hand, const struct container *container)
{
	const Phoenix__Failure *failure = container->record->last_failure;
	struct ph_error error;

	if (!failure) {
		hand_ended(hand, NULL);
		return;
	}
	error_set(&error, failure->code ? failure->code : -EIO, failure->where, failure->remedy, "%s",
		  failure->why);
	error_prefix(&error, "%s", failure->what);
	error_step(&error, failure->step);
	hand_ended(hand, &error);
}

static bool has_result(const struct container *container, const char *id)
{
	const Phoenix__ContainerRecord *record = container->record;

	return text_equal(record->last_operation, id) &&
	       !(record->last_failure && record->last_failure->code == -EBUSY);
}

/* ---- beginning ---- */

static struct operation_order order_of(const struct hand *hand, const char *id)
{
	const Phoenix__RolloutItem *item = item_of(hand);
	bool is_back = hand->action.kind == ROLLOUT_REVERT;
	struct operation_order order = {
		.type = hand->action.kind == ROLLOUT_VERIFY ? &operation_verify : &operation_apply,
		.id = id,
		.keeps = true,
	};

	if (item->confine) {
		order.type = confining_operation(hand);
		order.keeps = order.type != &operation_confine; /* that one goes back by itself */
		return order;
	}
	if (order.type == &operation_apply)
		order.spec = is_back ? item->old : item->new_;
	if (order.type == &operation_apply && item->rebuild)
		rebuilding_order(hand, &order);
	order.push_agent = item->push_agent && hand->action.kind == ROLLOUT_CONVERT;
	return order;
}

/* A revert does not wait for what this rollout itself has begun there. */
static void end_ours(const struct hand *hand, struct container *container)
{
	const char *id = container->operation->record->id;

	if (hand->action.kind == ROLLOUT_REVERT &&
	    text_has_prefix(id, hand->rollout->record->id))
		operation_cancel(container->operation);
}

/* Names a verify: two of them are told apart, not ordered, for the wall clock may be set back. */
static uint64_t verified_ms(const struct container *container)
{
	return container->record->verify ? container->record->verify->wall_ms : 0;
}

static void begin_operation(struct hand *hand)
{
	struct container *container = container_of_hand(hand);
	struct operation_order order;
	struct ph_error error;
	char id[64];

	hand->is_waiting = false;
	if (!container) {
		error_set(&error, -ENOENT, item_of(hand)->name, NULL, "the container is gone");
		hand_ended(hand, &error);
		return;
	}
	rollout_operation_id(hand->rollout->record, hand->action.sequence, id);
	if (container->operation && text_equal(container->operation->record->id, id)) {
		operation_watch(container->operation, &hand->watcher);
		return;
	}
	if (has_result(container, id)) {
		take_result(hand, container);
		return;
	}
	if (container->operation)
		end_ours(hand, container);
	if (hand->action.kind == ROLLOUT_CONVERT) {
		hand->is_converted = true;
		hand->verified_ms = verified_ms(container);
	}
	order = order_of(hand, id);
	if (!order.type && !container->operation) {
		hand_ended(hand, NULL); /* it is as it was */
		return;
	}
	if (!order.type || operation_start_order(container, &order, &hand->watcher, &error) < 0)
		hand->is_waiting = true;
}

static bool has_docker(const struct container *container)
{
	return !text_equal(container->record->spec->docker_source, "none");
}

/*
 * Its conversion, of this very process, has verified it already. Without Docker there is nothing that
 * an agent could verify: that it is ready is all.
 */
static bool is_verified(const struct hand *hand)
{
	const struct container *container = container_of_hand(hand);

	if (!container || !container_is_ready(container))
		return false;
	if (!has_docker(container))
		return true;
	return hand->is_converted && (!container->record->verify ||
				      verified_ms(container) != hand->verified_ms);
}

static void begin_verify(struct hand *hand)
{
	const struct container *container = container_of_hand(hand);

	if (is_verified(hand))
		hand_ended(hand, NULL);
	else if (container && !has_docker(container))
		hand->is_waiting = true; /* until it is ready, or the deadline */
	else
		begin_operation(hand);
}

static void begin_check(struct hand *hand)
{
	if (item_of(hand)->confine)
		confining_check(hand);
	else
		hand_check(hand);
}

static void begin_or_retry(struct hand *hand)
{
	if (hand->action.kind == ROLLOUT_CHECK)
		begin_check(hand);
	else if (hand->action.kind == ROLLOUT_VERIFY)
		begin_verify(hand);
	else if (hand->action.kind == ROLLOUT_DRAIN)
		hand_drain(hand);
	else
		begin_operation(hand);
}

void hand_begin(struct hand *hand, const struct rollout_action *action)
{
	hand_let_go(hand);
	hand->action = *action;
	hand->is_busy = true;
	hand->begun_ms = clock_monotonic_ms();
	hand->watcher = (struct operation_watcher){ .progress = progress,
						    .ended = operation_ended,
						    .user = hand };
	begin_or_retry(hand);
}

void hand_retry(struct hand *hand)
{
	if (hand->is_busy)
		begin_or_retry(hand);
}

void hand_let_go(struct hand *hand)
{
	operation_unwatch(&hand->watcher);
	drain_free(hand->drain);
	hand->drain = NULL;
	asking_forget(hand->asking);
	hand->asking = NULL;
	hand->is_busy = hand->is_waiting = false;
}
