/*
 * Appended events wait in memory with their seqs and are written together: the fsync is paid once
 * per batch, and a disk that refuses a batch loses nothing, since the next flush tries it again.
 * Nothing that waits has been seen by anybody, so a seq that dies with the process was never given.
 */
#include "controller/events/events.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/events/event_table.h"
#include "controller/events/gap.h"
#include "controller/events/live.h"

struct events {
	struct event_table *table; /* owned */
	struct live live;
	struct event_record *pending; /* owned; seqs last + 1 .. last + pending_count */
	size_t pending_count;
	size_t pending_capacity;
	uint64_t dropped; /* since the disk last took what was pending */
};

int events_open(const char *path, uint64_t retention, struct events **ret_events,
		struct ph_error *error)
{
	struct events *events = ph_alloc(sizeof(*events));
	int ret = event_table_open(path, retention ? retention : EVENTS_RETENTION, &events->table,
				   error);

	if (ret < 0) {
		error_prefix(error, "open the event log");
		free(events);
		return ret;
	}
	live_init(&events->live);
	*ret_events = events;
	return 0;
}

const char *events_stream(const struct events *events)
{
	return event_table_stream(events->table);
}

uint64_t events_last(const struct events *events)
{
	return event_table_last(events->table);
}

uint64_t events_oldest(const struct events *events)
{
	return event_table_oldest(events->table);
}

size_t events_pending(const struct events *events)
{
	return events->pending_count;
}

static struct event_record *add_pending(struct events *events)
{
	if (events->pending_count == events->pending_capacity) {
		size_t capacity = events->pending_capacity ? 2 * events->pending_capacity :
							     EVENTS_BATCH;

		events->pending = ph_realloc(events->pending, capacity * sizeof(*events->pending));
		events->pending_capacity = capacity;
	}
	return &events->pending[events->pending_count++];
}

static void pack(const Phoenix__Event *event, struct event_record *record)
{
	record->seq = event->seq;
	record->container = ph_strdup(text_empty(event->container) ? "" : event->container);
	record->length = phoenix__event__get_packed_size(event);
	record->bytes = ph_alloc(record->length);
	phoenix__event__pack(event, record->bytes);
	record->origin = text_empty(event->origin_stream) ? NULL : ph_strdup(event->origin_stream);
	record->origin_seq = event->origin_seq;
	record->note = NULL;
}

/* The event as it will be kept: a shallow copy with what the log itself knows. */
static Phoenix__Event complete(struct events *events, const Phoenix__Event *event)
{
	Phoenix__Event copy = *event;

	copy.stream = (char *)events_stream(events);
	copy.seq = events_last(events) + events->pending_count + 1;
	copy.wall_ms = copy.wall_ms ? copy.wall_ms : clock_wall_ms();
	copy.monotonic_ms = copy.monotonic_ms ? copy.monotonic_ms : clock_monotonic_ms();
	return copy;
}

int events_append(struct events *events, const Phoenix__Event *event, uint64_t *ret_seq,
		  struct ph_error *error)
{
	return events_append_noting(events, event, NULL, ret_seq, error);
}

int events_append_noting(struct events *events, const Phoenix__Event *event, const char *note,
			 uint64_t *ret_seq, struct ph_error *error)
{
	struct event_record *record;
	Phoenix__Event copy = complete(events, event);
	size_t size = phoenix__event__get_packed_size(&copy);

	if (size > EVENTS_EVENT_MAXIMUM) {
		error_set(error, -EMSGSIZE, copy.type, NULL,
			  "the event has %zu bytes; at most %d are kept", size,
			  EVENTS_EVENT_MAXIMUM);
		return -EMSGSIZE;
	}
	if (events->pending_count >= EVENTS_PENDING_MAXIMUM) {
		events->dropped++;
		return error_set(error, -ENOBUFS, event_table_path(events->table),
				 "free space on that file system",
				 "%d events already wait to be written", EVENTS_PENDING_MAXIMUM);
	}
	record = add_pending(events);
	pack(&copy, record);
	record->note = note ? ph_strdup(note) : NULL;
	if (ret_seq)
		*ret_seq = copy.seq;
	return 0;
}

/* Hand what was committed to those who follow. */
static void publish(struct events *events, const struct event_record *record)
{
	Phoenix__Event *event = (void *)message_unpack(&phoenix__event__descriptor,
							record->length, record->bytes);

	assert(event); /* we packed it */
	live_push(&events->live, event);
}

static int commit_pending(struct events *events, struct ph_error *error)
{
	bool wanted = live_is_wanted(&events->live);
	int ret;

	if (events->pending_count == 0)
		return 0;
	ret = event_table_write(events->table, events->pending, events->pending_count, error);
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < events->pending_count; i++) {
		if (wanted)
			publish(events, &events->pending[i]);
		event_record_fini(&events->pending[i]);
	}
	events->pending_count = 0;
	return 0;
}

/* Once there is room again, say how many were lost. */
static int commit_dropped(struct events *events, struct ph_error *error)
{
	Phoenix__Event *event;
	int ret;

	if (events->dropped == 0)
		return 0;
	event = gap_dropped_event(events->dropped);
	ret = events_append(events, event, NULL, error);
	phoenix__event__free_unpacked(event, NULL);
	if (ret < 0)
		return ret;
	events->dropped = 0;
	return commit_pending(events, error);
}

static int commit(struct events *events, struct ph_error *error)
{
	int ret = commit_pending(events, error);

	if (ret == 0)
		ret = commit_dropped(events, error);
	if (ret < 0)
		error_prefix(error, "write to the event log");
	return ret;
}

int events_flush(struct events *events, struct ph_error *error)
{
	int ret = commit(events, error);

	live_deliver(&events->live);
	return ret;
}

int events_use_barrier(struct events *events, struct barrier *barrier, struct ph_error *error)
{
	return event_table_use_barrier(events->table, barrier, error);
}

void events_close(struct events *events)
{
	if (!events)
		return;
	commit(events, NULL);
	live_fini(&events->live);
	for (size_t i = 0; i < events->pending_count; i++)
		event_record_fini(&events->pending[i]);
	free(events->pending);
	event_table_close(events->table);
	free(events);
}

/* Decode records into the batch; every record is freed, also on failure. */
static int decode(struct events *events, struct event_record *records, size_t count,
		  struct events_batch *batch, struct ph_error *error)
{
	int ret = 0;

	for (size_t i = 0; i < count; i++) {
		Phoenix__Event *event = NULL;

		if (ret == 0)
			event = (void *)message_unpack(&phoenix__event__descriptor,
						       records[i].length, records[i].bytes);
		if (event)
			batch->events[batch->count++] = event;
		else if (ret == 0)
			ret = error_set(error, -EUCLEAN, event_table_path(events->table),
					"move the file away to start a new log",
					"event %llu is damaged",
					(unsigned long long)records[i].seq);
		event_record_fini(&records[i]);
	}
	return ret;
}

/* Fill a batch that has room for limit events. */
static int read_batch(struct events *events, const struct gap *gap, const char *container,
		      size_t limit, struct events_batch *batch, struct ph_error *error)
{
	struct event_record *records;
	size_t count = 0;
	int ret;

	if (gap->kind != GAP_NONE)
		batch->events[batch->count++] = gap_event(gap, events_stream(events));
	records = ph_alloc_array(limit, sizeof(*records));
	ret = event_table_read(events->table, gap->start, container, limit - batch->count, records,
			       &count, &batch->next, error);
	if (ret == 0)
		ret = decode(events, records, count, batch, error);
	free(records);
	batch->caught_up = batch->next > events_last(events);
	return ret;
}

int events_read(struct events *events, uint64_t since, const char *container, size_t limit,
		struct events_batch *ret_batch, struct ph_error *error)
{
	struct gap gap = gap_place(since, events_oldest(events), events_last(events));
	struct events_batch batch = { 0 };
	int ret;

	if (limit == 0)
		limit = 1;
	if (limit > EVENT_TABLE_SCAN_MAXIMUM)
		limit = EVENT_TABLE_SCAN_MAXIMUM;
	batch.events = ph_alloc_array(limit, sizeof(*batch.events));
	ret = read_batch(events, &gap, container ? container : "", limit, &batch, error);
	if (ret < 0) {
		events_batch_fini(&batch);
		error_prefix(error, "read the event log");
		return ret;
	}
	*ret_batch = batch;
	return 0;
}

int events_tail(struct events *events, const char *container, uint64_t count, uint64_t *ret_since,
		struct ph_error *error)
{
	int ret = event_table_tail(events->table, container ? container : "", count, ret_since,
				   error);

	if (ret < 0)
		error_prefix(error, "read the event log");
	return ret;
}

int events_origin(struct events *events, const char *container, char *origin, size_t size,
		  uint64_t *ret_seq, struct ph_error *error)
{
	int ret = event_table_origin(events->table, container, origin, size, ret_seq, error);

	if (ret < 0)
		error_prefix(error, "read the event log");
	return ret;
}

int events_note(struct events *events, const char *container, char **ret_note,
		struct ph_error *error)
{
	int ret = event_table_note(events->table, container, ret_note, error);

	if (ret < 0)
		error_prefix(error, "read the event log");
	return ret;
}

struct events_subscription *events_subscribe(struct events *events, const char *container,
					     events_live_fn live, void *user)
{
	return live_subscribe(&events->live, container ? container : "", events_last(events), live,
			      user);
}

void events_batch_fini(struct events_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		phoenix__event__free_unpacked(batch->events[i], NULL);
	free(batch->events);
	*batch = (struct events_batch){ 0 };
}
