/*
 * The event log: append-only, seq gap-free from 1, durable by group commit. Writers append as
 * things happen; once per loop iteration (or per EVENTS_BATCH events) events_flush() commits them
 * together and only then do live readers see them. Old events go by count; a reader whose cursor
 * fell behind gets an explicit event of type "gap", never silence. Does not know what events mean.
 *
 * The stream id is made with the log: seqs of different streams cannot be compared. Synchronous,
 * loop thread only; one process at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/barrier.h"
#include "common/error.h"
#include "proto/model.pb-c.h"

#define EVENTS_RETENTION 100000          /* default: newest events that are kept */
#define EVENTS_BATCH 64                  /* a good size for a group commit */
#define EVENTS_EVENT_MAXIMUM (16 * 1024) /* packed bytes of one event */
#define EVENTS_PENDING_MAXIMUM 8192      /* appended, not yet committed: while the disk is full */
#define EVENTS_STREAM_LENGTH 32          /* hex digits of a stream id */
#define EVENTS_GAP "gap"                 /* type of the synthetic event; fields "from" and "to" */

struct events;
struct events_subscription;

/* Decoded events in order. */
struct events_batch {
	Phoenix__Event **events; /* owned */
	size_t count;
	uint64_t next;  /* cursor to go on from: the first seq that was not looked at */
	bool caught_up; /* nothing committed is at or after next */
};

/*
 * Live events in order, at most EVENTS_BATCH per call; borrowed during the callback. It may append,
 * flush, read, subscribe and unsubscribe; what it flushes is delivered after it has returned.
 */
typedef void (*events_live_fn)(void *user, Phoenix__Event *const *events, size_t count);

/*
 * Open the log in the file path (made with mode 0600 when missing; its directory must exist).
 * retention is how many of the newest events are kept at least, 0: EVENTS_RETENTION. -EBUSY:
 * another process has it; -EPROTO: a newer Phoenix wrote it; -EUCLEAN: damaged.
 */
int events_open(const char *path, uint64_t retention, struct events **ret_events,
		struct ph_error *error);

/* Leave the syncing to a barrier, from now on: "committed" then means durable once that has passed. */
int events_use_barrier(struct events *events, struct barrier *barrier, struct ph_error *error);

/* Commit what is pending, best effort and without telling subscribers; close. NULL is allowed. */
void events_close(struct events *events);

/* The stream id: EVENTS_STREAM_LENGTH hex digits, made when the log was; borrowed. */
const char *events_stream(const struct events *events);

/* Seq of the newest committed event; 0: none yet. */
uint64_t events_last(const struct events *events);

/* Seq of the oldest event that is kept; events_last() + 1 when there is none. */
uint64_t events_oldest(const struct events *events);

/* Events appended but not yet committed. */
size_t events_pending(const struct events *events);

/*
 * Append a copy of an event with its stream and seq set, and its times when they are 0. It is
 * durable and visible after events_flush(). -EMSGSIZE: larger than EVENTS_EVENT_MAXIMUM; -ENOBUFS:
 * too many wait for a disk that refuses them; those that are dropped are counted in an event
 * "events.dropped" as soon as there is room. ret_seq may be NULL.
 */
int events_append(struct events *events, const Phoenix__Event *event, uint64_t *ret_seq,
		  struct ph_error *error);

/*
 * Append an event, and replace the note beside its container's events in the same commit: what the one who
 * writes them wants to know again after a restart, however old. NULL: the note stays as it is.
 */
int events_append_noting(struct events *events, const Phoenix__Event *event, const char *note,
			 uint64_t *ret_seq, struct ph_error *error);

/* Read the newest committed note of a container; "" when there was none. Free it. */
int events_note(struct events *events, const char *container, char **ret_note,
		struct ph_error *error);

/*
 * Commit what was appended and deliver it to the subscribers. On failure (-ENOSPC ...) the events
 * stay pending with their seqs, and the next flush tries again.
 */
int events_flush(struct events *events, struct ph_error *error);

/*
 * Read up to limit committed events from seq `since` on; 0: from the oldest kept. container "" or
 * NULL: all. Looks at a bounded number of events per call, so a batch may be empty and not caught
 * up: go on from next until caught_up. When `since` is no longer kept, or lies beyond the end
 * (another stream's cursor), the first event is an EVENTS_GAP with fields "from" (what was asked)
 * and "to", also its seq: the one before what follows. End with events_batch_fini().
 */
int events_read(struct events *events, uint64_t since, const char *container, size_t limit,
		struct events_batch *ret_batch, struct ph_error *error);

/*
 * Find how far the claims of a container's agent have come, by origin_stream and origin_seq of the newest
 * committed one: origin is "" when there never was one. Survives what retention takes.
 */
int events_origin(struct events *events, const char *container, char *origin, size_t size,
		  uint64_t *ret_seq, struct ph_error *error);

/* Find the seq to read from to get the newest count events of a container ("" or NULL: all). */
int events_tail(struct events *events, const char *container, uint64_t count, uint64_t *ret_since,
		struct ph_error *error);

/*
 * Be called for each flushed batch of a container ("" or NULL: all) from now on. To follow without
 * gap or repetition: events_read() until caught_up, then subscribe before returning to the loop.
 */
struct events_subscription *events_subscribe(struct events *events, const char *container,
					     events_live_fn live, void *user);

/* End a subscription; live() is not called again. NULL is allowed. */
void events_unsubscribe(struct events_subscription *subscription);

/* Free a batch's events and empty it. */
void events_batch_fini(struct events_batch *batch);

#define EVENTS_AUTO_BATCH __attribute__((cleanup(events_batch_fini)))
