/*
 * phoenixd's state: a key-value store with etcd's semantics behind ten calls. One revision counts
 * every commit that changed something; an entry knows the revisions that created and last changed
 * it; a transaction compares and then writes, all or nothing; a watch sees every change from a
 * revision on, in order, exactly once. A commit that returned 0 survives kill -9 and power loss;
 * behind a barrier it survives the latter once that has passed it.
 *
 * Keys are [a-z0-9/._-]{1,255}, values are bytes (packed protobuf messages). Knows nothing of what
 * they mean, and nothing above it knows that SQLite keeps them. Synchronous, loop thread only; one
 * process at a time has a store open, a second one is refused.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/barrier.h"
#include "common/error.h"

#define STORE_KEY_MAXIMUM 255
#define STORE_VALUE_MAXIMUM (256 * 1024)
#define STORE_OPERATIONS_MAXIMUM 128 /* per transaction, compares apart; etcd's own default */
#define STORE_HISTORY 4096           /* revisions that stay watchable without store_compact() */

struct store;
struct store_watch;

/* Named outcomes. */
enum {
	STORE_ABSENT = 1,    /* store_get(): there is no such key */
	STORE_CONFLICT = 2,  /* store_commit(): a compare did not hold; nothing was changed */
	STORE_COMPACTED = 3, /* store_watch(): that revision is no longer kept: list, start anew */
};

struct store_entry {
	char *key;      /* owned */
	uint8_t *value; /* owned; never NULL */
	size_t length;  /* bytes of value */
	uint64_t create_revision;
	uint64_t mod_revision; /* what a compare needs */
	uint64_t version;      /* 1 when created, counts each put */
};

struct store_list {
	struct store_entry *entries; /* owned; sorted by key's bytes */
	size_t count;
	uint64_t revision; /* the store's when it was listed: watch from revision + 1 */
};

/* "The key is at this revision"; 0: "the key is absent". */
struct store_compare {
	const char *key;
	uint64_t mod_revision;
};

enum store_operation_type {
	STORE_PUT,
	STORE_DELETE, /* of an absent key: nothing */
};

struct store_operation {
	enum store_operation_type type;
	const char *key;
	const void *value; /* put only; borrowed */
	size_t length;
};

/* One changed key; borrowed during the callback. */
struct store_change {
	uint64_t revision;
	bool deleted;
	const char *key;
	const uint8_t *value; /* never NULL; empty when deleted */
	size_t length;
	uint64_t create_revision; /* == revision: the key is new; 0 when deleted */
	uint64_t version;         /* 0 when deleted */
};

typedef void (*store_changed_fn)(void *user, const struct store_change *change);

/*
 * 1. Open the store in the file path (made with mode 0600 when it is missing; its directory must
 * exist). -EBUSY: another process has it; -EPROTO: a newer Phoenix wrote it; -EUCLEAN: damaged.
 */
int store_open(const char *path, struct store **ret_store, struct ph_error *error);

/* Leave the syncing to a barrier, from now on: commits do not wait for the disk any more. */
int store_use_barrier(struct store *store, struct barrier *barrier, struct ph_error *error);

/* 2. Close it and free its watches. NULL is allowed. Nothing is lost without it. */
void store_close(struct store *store);

/* 3. Read one entry, which the caller ends with store_entry_fini(). 0 or STORE_ABSENT. */
int store_get(struct store *store, const char *key, struct store_entry *ret_entry,
	      struct ph_error *error);

/* 4. Read all entries whose keys begin with prefix ("" for all); end with store_list_fini(). */
int store_list(struct store *store, const char *prefix, struct store_list *ret_list,
	       struct ph_error *error);

/*
 * 5. When every compare holds, do all operations as one revision. No key may be written twice in
 * one transaction. 0 (also when nothing was there to change: the revision stays), STORE_CONFLICT,
 * or a negative errno: -EINVAL for a bad key, -EMSGSIZE for too large a value or too many
 * operations, -ENOSPC and others from the disk; nothing was changed then. Watchers are called
 * before this returns, unless it was called by one of them. ret_revision (may be NULL) is the
 * store's revision after it.
 */
int store_commit(struct store *store, const struct store_compare *compares, size_t compare_count,
		 const struct store_operation *operations, size_t operation_count,
		 uint64_t *ret_revision, struct ph_error *error);

/* 6. Put one key whatever it was before. ret_revision may be NULL. */
int store_put(struct store *store, const char *key, const void *value, size_t length,
	      uint64_t *ret_revision, struct ph_error *error);

/* 7. Delete one key; 0 or STORE_ABSENT. ret_revision may be NULL. */
int store_delete(struct store *store, const char *key, uint64_t *ret_revision,
		 struct ph_error *error);

/*
 * 8. Watch the keys that begin with prefix: changed() is called for every change of revision
 * `from` and later, in order; 0 means from the next commit on. What is already there is delivered
 * before this returns, unless called by a watcher. changed() may commit, watch and cancel; what it
 * commits is delivered after it has returned. 0 or STORE_COMPACTED. A watch that is cancelled
 * by its own first calls leaves ret_watch NULL.
 */
int store_watch(struct store *store, const char *prefix, uint64_t from, store_changed_fn changed,
		void *user, struct store_watch **ret_watch, struct ph_error *error);

/* End a watch; changed() is not called again. NULL is allowed. */
void store_watch_cancel(struct store_watch *watch);

/* 9. The revision of the last commit that changed something; 0 for an empty, new store. */
uint64_t store_revision(const struct store *store);

/*
 * 10. Forget the changes up to and including a revision: watches can no longer start there. Entries
 * are not touched, and what a live watch has yet to see stays. The store does this by itself for
 * what is older than STORE_HISTORY revisions.
 */
int store_compact(struct store *store, uint64_t revision, struct ph_error *error);

/* Free an entry's members and empty it. */
void store_entry_fini(struct store_entry *entry);

/* Free a list's members and empty it. */
void store_list_fini(struct store_list *list);

#define STORE_AUTO_ENTRY __attribute__((cleanup(store_entry_fini)))
#define STORE_AUTO_LIST __attribute__((cleanup(store_list_fini)))
