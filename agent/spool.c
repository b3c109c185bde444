/*
 * Numbers are given when an event is added and never again, so the controller can tell a batch that comes
 * twice, because its answer was lost, from a new one.
 */
#include "agent/spool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"

struct spool {
	char *stream;                         /* owned */
	Phoenix__Event *events[SPOOL_EVENTS]; /* owned: a ring */
	size_t first, count;
	uint64_t next_seq;
	uint64_t dropped;   /* events that gave way since the last batch was taken */
	uint64_t told;      /* of them: in the record of the batch that is out */
	uint64_t batch_end; /* the number behind the last one of that batch; 0: none is out */
	Phoenix__PublishRequest batch;
	Phoenix__Event *batch_events[1 + SPOOL_BATCH]; /* borrowed, but for the gap */
	Phoenix__Event gap;
	char gap_text[96];
};

struct spool *spool_new(const char *stream)
{
	struct spool *spool = ph_alloc(sizeof(*spool));

	spool->stream = ph_strdup(stream);
	spool->next_seq = 1;
	return spool;
}

static Phoenix__Event *at(const struct spool *spool, size_t place)
{
	return spool->events[(spool->first + place) % SPOOL_EVENTS];
}

static void drop_first(struct spool *spool)
{
	message_free(at(spool, 0));
	spool->events[spool->first] = NULL;
	spool->first = (spool->first + 1) % SPOOL_EVENTS;
	spool->count--;
}

void spool_free(struct spool *spool)
{
	if (!spool)
		return;
	while (spool->count)
		drop_first(spool);
	free(spool->stream);
	free(spool);
}

/* One that is in the batch that is out has most likely arrived: it is not counted as dropped. */
static void make_room(struct spool *spool)
{
	if (spool->count < SPOOL_EVENTS)
		return;
	if (at(spool, 0)->seq >= spool->batch_end)
		spool->dropped++;
	drop_first(spool);
}

uint64_t spool_add(struct spool *spool, uint64_t wall_ms, uint64_t monotonic_ms,
	       Phoenix__Event__Severity severity, const char *type, const char *reason,
	       const char *message)
{
	Phoenix__Event event = PHOENIX__EVENT__INIT;
	char text[SPOOL_TEXT];

	text_copy(text, sizeof(text), message);
	event.stream = spool->stream;
	event.seq = spool->next_seq++;
	event.wall_ms = wall_ms;
	event.monotonic_ms = monotonic_ms;
	event.severity = severity;
	event.type = (char *)type;
	event.reason = (char *)reason;
	event.message = text;
	make_room(spool);
	spool->events[(spool->first + spool->count++) % SPOOL_EVENTS] = MESSAGE_COPY(&event);
	return event.seq;
}

size_t spool_count(const struct spool *spool)
{
	return spool->count;
}

/* The record that stands for what is missing; its number is that of the last one missing. */
static void add_gap(struct spool *spool)
{
	const Phoenix__Event *next = at(spool, 0);

	phoenix__event__init(&spool->gap);
	snprintf(spool->gap_text, sizeof(spool->gap_text),
		 "%llu events were dropped while the controller was away",
		 (unsigned long long)spool->dropped);
	spool->gap.stream = spool->stream;
	spool->gap.seq = next->seq - 1;
	spool->gap.wall_ms = next->wall_ms;
	spool->gap.monotonic_ms = next->monotonic_ms;
	spool->gap.severity = PHOENIX__EVENT__SEVERITY__WARNING;
	spool->gap.type = (char *)"gap";
	spool->gap.reason = (char *)"SpoolFull";
	spool->gap.message = spool->gap_text;
	spool->batch_events[spool->batch.n_events++] = &spool->gap;
}

const Phoenix__PublishRequest *spool_batch(struct spool *spool)
{
	if (!spool->count)
		return NULL;
	phoenix__publish_request__init(&spool->batch);
	spool->batch.events = spool->batch_events;
	spool->told = spool->dropped;
	if (spool->told)
		add_gap(spool);
	for (size_t i = 0; i < spool->count && i < SPOOL_BATCH; i++) {
		spool->batch_events[spool->batch.n_events++] = at(spool, i);
		spool->batch_end = at(spool, i)->seq + 1;
	}
	return &spool->batch;
}

void spool_taken(struct spool *spool)
{
	while (spool->count && at(spool, 0)->seq < spool->batch_end)
		drop_first(spool);
	spool->dropped -= spool->told;
	spool->told = 0;
	spool->batch_end = 0;
}
