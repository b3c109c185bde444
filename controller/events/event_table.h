/*
 * The event log's table in SQLite: packed events by seq. Knows neither subscribers nor what is
 * pending.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/barrier.h"
#include "common/error.h"

#define EVENT_TABLE_SCAN_MAXIMUM 4096 /* rows looked at per read */

struct event_table;

struct event_record {
	uint64_t seq;
	char *container; /* owned; never NULL */
	uint8_t *bytes;  /* owned; a packed Phoenix__Event */
	size_t length;
	char *origin;        /* owned; NULL: it is nobody's claim */
	uint64_t origin_seq;
	char *note;          /* owned; NULL: as it was */
};

/* Free a record's members. */
void event_record_fini(struct event_record *record);

/* Open as events_open() does; retention > 0. */
int event_table_open(const char *path, uint64_t retention, struct event_table **ret_table,
		     struct ph_error *error);

/* Sync as events_use_barrier() says. */
int event_table_use_barrier(struct event_table *table, struct barrier *barrier,
			    struct ph_error *error);

/* Close. NULL is allowed. */
void event_table_close(struct event_table *table);

/* The stream id. */
const char *event_table_stream(const struct event_table *table);

/* The seq of the oldest event; last + 1 when there is none. */
uint64_t event_table_oldest(const struct event_table *table);

/* The seq of the newest event; 0 when there was none. */
uint64_t event_table_last(const struct event_table *table);

/* The file, for errors. */
const char *event_table_path(const struct event_table *table);

/* Write records with the next seqs in one commit, and let go of what is beyond the retention. */
int event_table_write(struct event_table *table, const struct event_record *records, size_t count,
		      struct ph_error *error);

/*
 * What the newest record of a container's claims is in its origin's numbers: origin ("": none has ever been
 * written) and seq. Kept beside the records, and for longer than them.
 */
int event_table_origin(struct event_table *table, const char *container, char *origin, size_t size,
		       uint64_t *ret_seq, struct ph_error *error);

/* The newest note beside a container's records, "" when there was none; owned by the caller. */
int event_table_note(struct event_table *table, const char *container, char **ret_note,
		     struct ph_error *error);

/*
 * Read up to limit records of a container ("": all) from a seq on into records, which the caller
 * ends. ret_next is the first seq that was not looked at.
 */
int event_table_read(struct event_table *table, uint64_t since, const char *container, size_t limit,
		     struct event_record *records, size_t *ret_count, uint64_t *ret_next,
		     struct ph_error *error);

/* Find the seq of the count-th newest record of a container ("": all), or the oldest there is. */
int event_table_tail(struct event_table *table, const char *container, uint64_t count,
		     uint64_t *ret_since, struct ph_error *error);
