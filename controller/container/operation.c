/*
 * The record is written before a step runs: after a crash the recorded step is run again, which its idempotence makes
 * harmless. A store that refuses the first record ends the operation before anything was done; later it leaves an
 * earlier step in the record, from which a restart goes on just as well. That it is being undone, and why, is
 * recorded before the first undo: what has failed is not tried again by the next phoenixd.
 * An end counts once it is saved with the container; else the operation has failed and its record stays, so that the
 * next phoenixd ends it.
 */
#include "controller/container/operation.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/container/operation_record.h"

#define AGAIN_MS 1000
#define AGENT_TRIES 5

static int record_step(struct operation *operation, size_t index, struct ph_error *error)
{
	message_set_text(&operation->record->step, operation->type->steps[index].name);
	return operation_record_save(operation->registry, operation->record, error);
}

/* ---- telling ---- */

void operation_tell(struct operation *operation, Phoenix__Progress *progress)
{
	progress->operation = operation->record->id;
	progress->container = operation->record->container;
	for (struct operation_watcher *watcher = operation->watchers, *next; watcher;
	     watcher = next) {
		next = watcher->next;
		watcher->progress(watcher->user, progress);
	}
}

void operation_tell_check(struct operation *operation, const Phoenix__Check *check)
{
	for (struct operation_watcher *watcher = operation->watchers, *next; watcher;
	     watcher = next) {
		next = watcher->next;
		if (watcher->check)
			watcher->check(watcher->user, check);
	}
}

static void tell_step(struct operation *operation, size_t index, Phoenix__Progress__State state,
		      uint64_t duration_ms, const struct ph_error *error)
{
	Phoenix__Progress progress = PHOENIX__PROGRESS__INIT;
	Phoenix__Failure failure = PHOENIX__FAILURE__INIT;

	progress.step = (char *)operation->type->steps[index].name;
	progress.state = state;
	progress.duration_ms = duration_ms;
	progress.index = (uint32_t)index + 1;
	progress.total = (uint32_t)operation->type->count;
	if (error && error_is_set(error)) {
		rpc_failure_from_error(&failure, error);
		progress.failure = &failure;
	}
	operation_tell(operation, &progress);
}

/* ---- the flow's observer ---- */

static void arm_timer(struct operation *operation)
{
	uint64_t deadline = flow_deadline(&operation->flow), now = clock_monotonic_ms();

	if (deadline)
		timer_start(operation->timer, deadline > now ? deadline - now : 0, 0);
	else
		timer_stop(operation->timer);
}

static void forget_calls(struct operation *operation)
{
	if (operation->again)
		timer_stop(operation->again);
	host_call_cancel(operation->host_call);
	operation->host_call = NULL;
	operation->agent_method = NULL;
	if (operation->agent_call)
		rpc_cancel(operation->agent_call);
	operation->agent_call = NULL;
}

static void step_started(void *subject, const struct flow *flow, size_t index)
{
	struct operation *operation = subject;
	struct ph_error error;

	/* The first one was recorded before the flow began, a resumed one by the phoenixd before us. */
	if (!text_equal(operation->record->step, operation->type->steps[index].name) &&
	    record_step(operation, index, &error) < 0)
		log_error(LOG_LEVEL_ERROR, "operation", operation->record->container, &error);
	tell_step(operation, index, PHOENIX__PROGRESS__STATE__STARTED, 0, NULL);
}

static void step_finished(void *subject, const struct flow *flow, size_t index, int outcome,
			  uint64_t duration_ms, const struct ph_error *error)
{
	struct operation *operation = subject;
	const char *name = operation->type->steps[index].name;

	forget_calls(operation);
	if (outcome < 0) {
		journal_error(operation->registry->journal, operation->record->container,
			      operation->record->id, "operation.step", "StepFailed", error);
		tell_step(operation, index, PHOENIX__PROGRESS__STATE__FAILED, duration_ms, error);
		return;
	}
	if (outcome == FLOW_UNCHANGED) {
		tell_step(operation, index, PHOENIX__PROGRESS__STATE__UNCHANGED, duration_ms, NULL);
		return;
	}
	operation->has_changed = true;
	journal_write(operation->registry->journal, PHOENIX__EVENT__SEVERITY__INFO,
		      operation->record->container, operation->record->id, "operation.step",
		      "StepDone", "%s: %s (%llu ms)", operation->type->name, name,
		      (unsigned long long)duration_ms);
	tell_step(operation, index, PHOENIX__PROGRESS__STATE__DONE, duration_ms, NULL);
}

static void undo_started(void *subject, const struct flow *flow, size_t index,
			 const struct ph_error *error)
{
	struct operation *operation = subject;
	Phoenix__Failure failure = PHOENIX__FAILURE__INIT;
	struct ph_error unsaved;

	rpc_failure_from_error(&failure, error);
	MESSAGE_REPLACE(operation->record->failure, &failure);
	operation->record->undoing = true;
	if (record_step(operation, index, &unsaved) < 0)
		log_error(LOG_LEVEL_ERROR, "operation", operation->record->container, &unsaved);
}

static void step_undone(void *subject, const struct flow *flow, size_t index, int result,
			const struct ph_error *error)
{
	struct operation *operation = subject;

	forget_calls(operation);
	if (result < 0)
		journal_error(operation->registry->journal, operation->record->container,
			      operation->record->id, "operation.undo", "UndoFailed", error);
	else
		journal_write(operation->registry->journal, PHOENIX__EVENT__SEVERITY__INFO,
			      operation->record->container, operation->record->id,
			      "operation.undo", "StepUndone", "%s",
			      operation->type->steps[index].name);
	tell_step(operation, index, PHOENIX__PROGRESS__STATE__UNDONE, 0, error);
}

static void unlink_operation(struct operation *operation)
{
	struct operation **place = &operation->registry->operations;

	while (*place && *place != operation)
		place = &(*place)->next;
	if (*place)
		*place = operation->next;
	if (operation->container)
		operation->container->operation = NULL;
}

static void operation_free(struct operation *operation)
{
	forget_calls(operation);
	timer_close(operation->timer);
	timer_close(operation->again);
	message_free(operation->agent_request);
	message_free(operation->nested);
	message_free(operation->report);
	message_free(operation->installed);
	message_free(operation->record);
	free(operation);
}

/* Saved with the phase, by type->ended(): who asks later for this operation's end finds it there. */
static void note_end(const struct operation *operation, const struct ph_error *error)
{
	Phoenix__ContainerRecord *record = operation->container->record;
	Phoenix__Failure failure = PHOENIX__FAILURE__INIT;

	if (error)
		rpc_failure_from_error(&failure, error);
	message_set_text(&record->last_operation, operation->record->id);
	MESSAGE_REPLACE(record->last_failure, error ? &failure : NULL);
}

static void flow_finished(void *subject, const struct flow *flow, const struct ph_error *error)
{
	struct operation *operation = subject;
	struct journal *journal = operation->registry->journal;
	struct ph_error failure = error ? *error : (struct ph_error){ 0 }, unsaved = { 0 };
	bool has_failed = error && error_is_set(error);
	int r;

	if (has_failed)
		error_prefix(&failure, "%s %s", operation->type->name,
			     operation->record->container);
	unlink_operation(operation);
	if (operation->container)
		note_end(operation, has_failed ? &failure : NULL);
	r = operation->type->ended(operation, has_failed ? &failure : NULL, &unsaved);
	operation_record_ended(operation->registry, operation->record);
	if (r < 0 && !has_failed) {
		has_failed = true;
		failure = unsaved;
		error_prefix(&failure, "%s %s", operation->type->name, operation->record->container);
	}
	if (has_failed)
		journal_error(journal, operation->record->container, operation->record->id,
			      "operation.failed", "Failed", &failure);
	else
		journal_write(journal, PHOENIX__EVENT__SEVERITY__INFO,
			      operation->record->container, operation->record->id,
			      "operation.done", operation->has_changed ? "Done" : "Unchanged",
			      "%s %s", operation->type->name, operation->record->container);
	journal_flush(journal); /* a client that is told now finds the events there */
	/* Not before its end is in the log: who dies between the two ends it once more, and loses no end. */
	if (r == 0 && events_pending(journal_events(journal)) == 0 &&
	    operation_record_delete_ended(operation->registry, &unsaved) < 0)
		log_error(LOG_LEVEL_ERROR, "operation", operation->record->container, &unsaved);
	while (operation->watchers) {
		struct operation_watcher *watcher = operation->watchers;

		operation->watchers = watcher->next;
		watcher->operation = NULL;
		watcher->ended(watcher->user, operation->record->container,
			       operation->has_changed, has_failed ? &failure : NULL);
	}
	operation_free(operation);
}

static const struct flow_observer observer = {
	.step_started = step_started,
	.step_finished = step_finished,
	.undo_started = undo_started,
	.step_undone = step_undone,
	.finished = flow_finished,
};

/* The flow may have ended and taken the operation with it: look for it before touching it. */
static void arm_if_alive(struct registry *registry, struct operation *operation)
{
	for (struct operation *other = registry->operations; other; other = other->next) {
		if (other == operation) {
			arm_timer(operation);
			return;
		}
	}
}

static void timer_fired(void *user)
{
	struct operation *operation = user;
	struct registry *registry = operation->registry;

	flow_tick(&operation->flow, clock_monotonic_ms());
	arm_if_alive(registry, operation);
}

/* ---- life ---- */

static struct operation *operation_new(struct container *container,
				       const struct operation_type *type,
				       Phoenix__OperationRecord *record)
{
	struct operation *operation = ph_alloc(sizeof(*operation));

	operation->registry = container->registry;
	operation->container = container;
	operation->type = type;
	operation->record = record;
	operation->timer = timer_new(container->registry->loop, timer_fired, operation);
	operation->next = container->registry->operations;
	container->registry->operations = operation;
	container->operation = operation;
	flow_init(&operation->flow, type->steps, type->count, &observer, operation);
	return operation;
}

/* What a container is configured with when it starts, and cannot be given while it runs. */
static bool needs_start(const Phoenix__ContainerSpec *old, const Phoenix__ContainerSpec *new)
{
	return old->confinement != new->confinement ||
	       old->confinement_mode != new->confinement_mode ||
	       !message_equal(old->resources, new->resources);
}

static Phoenix__OperationRecord *record_new(const struct container *container,
					    const struct operation_order *order)
{
	Phoenix__OperationRecord record = PHOENIX__OPERATION_RECORD__INIT;
	const Phoenix__ContainerRecord *now = container->record;
	uint8_t random[8];
	char id[2 * sizeof(random) + 1];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		abort();
	bytes_to_hex(random, sizeof(random), id);
	record.id = order->id ? (char *)order->id : id;
	record.kind = (char *)order->type->name;
	record.container = (char *)container_name(container);
	record.spec = (Phoenix__ContainerSpec *)order->spec;
	record.started_ms = clock_wall_ms();
	record.created = order->is_new;
	record.keeps = order->keeps;
	record.push_agent = order->push_agent;
	record.clone = order->clone;
	record.only_back = order->only_back;
	if (order->type == &operation_rebuild) {
		record.former = now->spec;
		record.former_profile = now->profile;
	}
	if (order->spec && !order->is_new && needs_start(now->spec, order->spec))
		record.replaces = now->incarnation;
	return MESSAGE_COPY(&record);
}

/* Nothing has begun. */
static void give_up(struct operation *operation, bool is_new)
{
	struct container *container = operation->container;
	struct registry *registry = operation->registry;

	operation_abandon(operation);
	if (!is_new)
		return;
	registry_take(registry, container);
	container_free(container);
}

int operation_start_order(struct container *container, const struct operation_order *order,
			  struct operation_watcher *watcher, struct ph_error *error)
{
	struct registry *registry = container->registry;
	struct operation *operation;
	int r;

	if (container->operation)
		return error_set(error, -EBUSY, container_name(container),
				 "wait until it has ended: phoenixctl events --follow",
				 "operation %s (%s) is in progress",
				 container->operation->record->id,
				 container->operation->type->name);
	if (operation_record_waits(registry, container_name(container)))
		return error_set(error, -EBUSY, container_name(container),
				 "ask again in a moment",
				 "an operation of before phoenixd was started is about to go on");
	operation = operation_new(container, order->type, record_new(container, order));
	operation->is_made_here = order->is_new;
	operation->flow.undo_on_failure = !order->keeps;
	r = operation_record_delete_ended(registry, error);
	if (r == 0)
		r = record_step(operation, 0, error);
	if (r < 0) {
		error_prefix(error, "%s %s", order->type->name, container_name(container));
		give_up(operation, order->is_new);
		return r;
	}
	if (watcher)
		operation_watch(operation, watcher);
	flow_start(&operation->flow, 0, clock_monotonic_ms());
	arm_if_alive(registry, operation);
	return 0;
}

int operation_start(struct container *container, const struct operation_type *type,
		    const Phoenix__ContainerSpec *spec, bool is_new,
		    struct operation_watcher *watcher, struct ph_error *error)
{
	const struct operation_order order = { .type = type, .spec = spec, .is_new = is_new };

	return operation_start_order(container, &order, watcher, error);
}

void operation_cancel(struct operation *operation)
{
	struct registry *registry = operation->registry;

	flow_cancel(&operation->flow, clock_monotonic_ms());
	arm_if_alive(registry, operation);
}

void operation_resume(struct container *container, Phoenix__OperationRecord *record)
{
	static const struct operation_type *const types[] = { &operation_apply, &operation_remove,
							      &operation_verify, &operation_confine,
							      &operation_unconfine, &operation_unadopt,
							      &operation_rebuild, &operation_discard };
	struct registry *registry = container->registry;
	const struct operation_type *type = NULL;
	struct operation *operation;
	struct ph_error error;
	size_t step = 0;

	for (size_t i = 0; i < ARRAY_LENGTH(types); i++)
		if (text_equal(types[i]->name, record->kind))
			type = types[i];
	if (!type || container->operation) {
		message_free(record);
		return;
	}
	operation = operation_new(container, type, record);
	operation->is_made_here = record->created;
	operation->flow.undo_on_failure = !record->keeps;
	operation->flow.undo_unchanged = true;
	if (flow_find_step(type->steps, type->count, record->step, &step) < 0)
		step = 0;
	journal_write(container->registry->journal, PHOENIX__EVENT__SEVERITY__INFO,
		      record->container, record->id, "operation.resumed",
		      record->undoing ? "Undoing" : "Resumed", "%s at step '%s'", type->name,
		      type->steps[step].name);
	if (record->undoing) {
		if (record->failure)
			rpc_failure_to_error(record->failure, &error);
		else /* an older phoenixd has not written it */
			error_set(&error, -EINTR, NULL, "apply again", "interrupted while being undone");
		flow_start_undo(&operation->flow, step, &error, clock_monotonic_ms());
	} else {
		flow_start(&operation->flow, step, clock_monotonic_ms());
	}
	arm_if_alive(registry, operation);
}

void operation_watch(struct operation *operation, struct operation_watcher *watcher)
{
	watcher->operation = operation;
	watcher->next = operation->watchers;
	operation->watchers = watcher;
}

void operation_unwatch(struct operation_watcher *watcher)
{
	struct operation_watcher **place;

	if (!watcher->operation)
		return;
	place = &watcher->operation->watchers;
	while (*place && *place != watcher)
		place = &(*place)->next;
	if (*place)
		*place = watcher->next;
	watcher->operation = NULL;
}

void operation_abandon(struct operation *operation)
{
	unlink_operation(operation);
	operation_free(operation);
}

/* ---- waiting ---- */

void operation_step_done(struct operation *operation, int outcome, const struct ph_error *error)
{
	struct registry *registry = operation->registry;

	flow_resume(&operation->flow, outcome, error, clock_monotonic_ms());
	arm_if_alive(registry, operation);
}

static void host_replied(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	struct operation *operation = user;
	struct ph_error failure = error ? *error : (struct ph_error){ 0 };
	int outcome;

	operation->host_call = NULL;
	if (error)
		outcome = error->code;
	else
		outcome = operation->replied(operation, reply, &failure);
	if (outcome != FLOW_WAIT)
		operation_step_done(operation, outcome, outcome < 0 ? &failure : NULL);
}

int operation_host(struct operation *operation, const char *verb, const ProtobufCMessage *request,
		   uint32_t timeout_ms, operation_replied_fn replied)
{
	operation->replied = replied;
	host_link_call(operation->registry->host, verb, request, timeout_ms, host_replied,
		       operation, &operation->host_call);
	return FLOW_WAIT;
}

static void run_again(void *user)
{
	struct operation *operation = user;
	struct ph_error error = { 0 };
	int outcome = operation->again_step(operation, &error);

	if (outcome != FLOW_WAIT)
		operation_step_done(operation, outcome, outcome < 0 ? &error : NULL);
}

int operation_again_later(struct operation *operation, flow_step_fn step)
{
	if (!operation->again)
		operation->again = timer_new(operation->registry->loop, run_again, operation);
	operation->again_step = step;
	timer_start(operation->again, AGAIN_MS, 0);
	return FLOW_WAIT;
}

static void agent_item(void *user, const ProtobufCMessage *item)
{
	struct operation *operation = user;

	operation->agent_item(operation, item);
}

static void agent_replied(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	struct operation *operation = user;
	struct ph_error failure = error ? *error : (struct ph_error){ 0 };
	int outcome;

	operation->agent_call = NULL;
	if (!operation->agent_method)
		return; /* the step has moved on */
	if (error && error->code == -ECONNRESET) {
		if (++operation->agent_tries < AGENT_TRIES)
			return; /* made again when the next agent connects */
		error_prefix(&failure, "the agent was lost %d times", AGENT_TRIES);
	}
	operation->agent_method = NULL;
	outcome = error ? error->code : operation->replied(operation, reply, &failure);
	if (outcome != FLOW_WAIT)
		operation_step_done(operation, outcome, outcome < 0 ? &failure : NULL);
}

void operation_agent_connected(struct operation *operation)
{
	/* An item handler is what makes a call a stream. */
	const struct rpc_handlers handlers = { .item = operation->agent_item ? agent_item : NULL,
					       .finished = agent_replied };

	if (!operation->agent_method || operation->agent_call)
		return;
	if (agent_link_call(operation->container->link, operation->agent_method,
			    operation->agent_request, 0, &handlers, operation,
			    &operation->agent_call) < 0)
		operation->agent_call = NULL; /* lost again already: the next one gets it */
}

int operation_agent(struct operation *operation, const char *method,
		    const ProtobufCMessage *request,
		    void (*item)(struct operation *operation, const ProtobufCMessage *item),
		    operation_replied_fn replied)
{
	message_free(operation->agent_request);
	operation->agent_request = message_copy(request);
	operation->agent_method = method;
	operation->agent_item = item;
	operation->agent_tries = 0;
	operation->replied = replied;
	container_keep_agent(operation->container, 0);
	operation_agent_connected(operation);
	return FLOW_WAIT;
}

void operation_agent_failed(struct operation *operation, const struct ph_error *error)
{
	if (operation->agent_method && !operation->agent_call &&
	    ++operation->agent_tries >= AGENT_TRIES) {
		operation->agent_method = NULL;
		operation_step_done(operation, error->code, error);
	}
}
