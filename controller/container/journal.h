/*
 * phoenixd's way to write events: builds them, groups what one loop iteration wrote into one commit,
 * and keeps trying while the disk refuses. Every event is also a log line.
 */
#pragma once

#include <uv.h>

#include "controller/events/events.h"

struct journal;

/*
 * Open the event log in the file path and attach it to the loop. It is synced by the barrier, which has to
 * outlive it; NULL: with every commit.
 */
int journal_open(uv_loop_t *loop, const char *path, struct barrier *barrier,
		 struct journal **ret_journal, struct ph_error *error);

/* Flush, close, free once the loop has let go. NULL is allowed. */
void journal_close(struct journal *journal);

/* The event log, for readers; borrowed. */
struct events *journal_events(struct journal *journal);

/* Commit what was appended so far: it is visible now, and durable with the barrier. */
void journal_flush(struct journal *journal);

/*
 * Be told once when all that was appended so far is durable: now, or after the next commit that succeeds
 * and has passed the barrier.
 * A journal that is closed tells too.
 */
void journal_when_written(struct journal *journal, void (*written)(void *user), void *user);

/*
 * Write one event. container and operation may be NULL; reason is a CamelCase word; the message is
 * a printf format.
 */
void journal_write(struct journal *journal, Phoenix__Event__Severity severity,
		   const char *container, const char *operation, const char *type,
		   const char *reason, const char *format, ...)
	__attribute__((format(printf, 7, 8)));

/* Write an error as an event of severity ERROR with its where, step and remedy as fields. */
void journal_error(struct journal *journal, const char *container, const char *operation,
		   const char *type, const char *reason, const struct ph_error *error);

/* Append an event built by the caller (an agent's claim, already bounded). */
void journal_append(struct journal *journal, const Phoenix__Event *event);

/* Append one with a note, as events_append_noting() does. */
void journal_append_noting(struct journal *journal, const Phoenix__Event *event, const char *note);

/* Log an event, and append it with a note. */
void journal_write_noting(struct journal *journal, const Phoenix__Event *event, const char *note);
