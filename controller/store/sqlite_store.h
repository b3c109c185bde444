/*
 * The store's tables in SQLite: what an etcd client would replace. Checks neither keys nor sizes
 * and knows no watches: store.c does.
 *
 * A position names one change: revision * SQLITE_STORE_POSITIONS + its place in the transaction.
 */
#pragma once

#include "controller/store/store.h"

#define SQLITE_STORE_POSITIONS STORE_OPERATIONS_MAXIMUM

struct sqlite_store;

/* A change with owned texts, and where it stands. */
struct sqlite_store_change {
	struct store_change change;
	uint64_t position;
	char *key;      /* owned */
	uint8_t *value; /* owned */
};

/* Open as store_open() does. */
int sqlite_store_open(const char *path, struct sqlite_store **ret_store, struct ph_error *error);

/* Sync as store_use_barrier() says. */
int sqlite_store_use_barrier(struct sqlite_store *store, struct barrier *barrier,
			     struct ph_error *error);

/* Close. NULL is allowed. */
void sqlite_store_close(struct sqlite_store *store);

/* The revision of the last commit. */
uint64_t sqlite_store_revision(const struct sqlite_store *store);

/* The newest revision whose changes have been forgotten. */
uint64_t sqlite_store_compacted(const struct sqlite_store *store);

/* Read one entry: 0 or STORE_ABSENT. */
int sqlite_store_get(struct sqlite_store *store, const char *key, struct store_entry *ret_entry,
		     struct ph_error *error);

/* Append the entries below a prefix to the list. */
int sqlite_store_list(struct sqlite_store *store, const char *prefix, struct store_list *list,
		      struct ph_error *error);

/* Compare and write as store_commit() does: 0 or STORE_CONFLICT. */
int sqlite_store_commit(struct sqlite_store *store, const struct store_compare *compares,
			size_t compare_count, const struct store_operation *operations,
			size_t operation_count, struct ph_error *error);

/*
 * Read up to limit changes below a prefix from a position on, in order; the caller ends each with
 * sqlite_store_change_fini().
 */
int sqlite_store_changes(struct sqlite_store *store, const char *prefix, uint64_t position,
			 struct sqlite_store_change *changes, size_t limit, size_t *ret_count,
			 struct ph_error *error);

/* Forget the changes up to and including a revision. */
int sqlite_store_compact(struct sqlite_store *store, uint64_t revision, struct ph_error *error);

/* Free a change's members. */
void sqlite_store_change_fini(struct sqlite_store_change *change);
