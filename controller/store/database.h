/*
 * One SQLite file as the store and the event log need it: write-ahead log, durable with every commit or
 * behind a barrier, held by one process, with a schema version; and SQLite's results as errors that name the file and say
 * what to do. Knows no tables.
 */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/barrier.h"
#include "common/error.h"

struct database {
	sqlite3 *handle; /* owned */
	char *path;      /* owned */
	int lock;        /* owned; of the file, for the life of the process */
	struct barrier *barrier; /* a reference; NULL: a commit syncs */
	unsigned int file;       /* the write-ahead log, there */
	sqlite3 *checkpointer;   /* owned; the barrier's thread's; NULL: a commit does it */
	struct barrier_work checkpoint;
	int pages;     /* in the log */
	int ask_at;    /* so many, and a checkpoint is asked for */
	int found;     /* in the log, when the last checkpoint began */
	int carried;   /* of those, into the file */
	bool is_cut;   /* the log is empty, and the next commit need not sync its header */
};

struct database_schema {
	int application_id; /* tells our kinds of files apart */
	int version;        /* of the tables; a file with a higher one is refused */
	const char *create; /* statements that make the tables of this version */
	/* One text of statements per step from version 1 on, version - 1 of them; "" where only the
	 * meaning of values has changed. NULL at version 1. */
	const char *const *upgrades;
};

/*
 * Open the file, make it (mode 0600) and its tables when it is new, bring an older one up to this
 * version (all of it or nothing), and check it when its last user died. -EBUSY, -EPROTO (newer), -EUCLEAN (damaged or of another kind), or what the disk said.
 */
int database_open(struct database *database, const char *path, const struct database_schema *schema,
		  struct ph_error *error);

/* Close the file; all statements must be finalised. Half-opened ones are allowed. */
void database_close(struct database *database);

/*
 * Leave the syncing to a barrier: from now on a commit survives kill -9 when it returns, and the loss of
 * power once the barrier has passed it. So does what an earlier user wrote and did not live to sync. Its
 * thread also carries the log over into the file. The database must not move in memory from then on.
 */
int database_use_barrier(struct database *database, struct barrier *barrier, struct ph_error *error);

/* Run statements that give no rows. */
int database_run(struct database *database, const char *sql, struct ph_error *error);

/* Prepare one statement that the caller finalises. */
int database_prepare(struct database *database, const char *sql, sqlite3_stmt **ret_statement,
		     struct ph_error *error);

/* Prepare count statements, one per text; finalise them with database_finalize_all(). */
int database_prepare_all(struct database *database, const char *const *sql, size_t count,
			 sqlite3_stmt **ret_statements, struct ph_error *error);

/* Finalise count statements, NULL ones included, and clear them. */
void database_finalize_all(sqlite3_stmt **statements, size_t count);

/* Step a statement: 1 for a row, 0 when it is done. The caller resets it. */
int database_step(struct database *database, sqlite3_stmt *statement, struct ph_error *error);

/* Step a statement that gives no rows, and reset it. */
int database_execute(struct database *database, sqlite3_stmt *statement, struct ph_error *error);

/* Begin a write transaction. */
int database_begin(struct database *database, struct ph_error *error);

/* Commit it; it is rolled back when that fails. */
int database_commit(struct database *database, struct ph_error *error);

/* Abandon it. */
void database_rollback(struct database *database);

/* Bind a number; binding cannot fail for statements of ours. */
void database_bind_u64(sqlite3_stmt *statement, int index, uint64_t value);

/* Bind a text that lives until the statement is reset. */
void database_bind_text(sqlite3_stmt *statement, int index, const char *text);

/* Bind bytes that live until the statement is reset. */
void database_bind_bytes(sqlite3_stmt *statement, int index, const void *bytes, size_t length);
