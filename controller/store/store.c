/*
 * The store's rules: what a key is, what fits, and the watches. A watch is a cursor into the
 * recorded changes, never a queue of its own: what a callback commits, watches or cancels while
 * changes are being delivered cannot get lost or overtake, because the loop just goes on until no
 * cursor is behind.
 */
#include "controller/store/store.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/memory.h"
#include "common/str.h"
#include "controller/store/sqlite_store.h"

#define CHANGES_AT_ONCE 16
#define COMPACT_EVERY 64 /* revisions: forgetting costs a commit of its own */

struct store_watch {
	TAILQ_ENTRY(store_watch) link;
	struct store *store; /* borrowed */
	char *prefix;        /* owned */
	uint64_t position;   /* the first change it has not seen */
	store_changed_fn changed;
	void *user;
	bool cancelled; /* while delivering: freed afterwards */
};

struct store {
	struct sqlite_store *tables;       /* owned */
	TAILQ_HEAD(, store_watch) watches; /* owned; oldest first */
	bool delivering;
};

static bool is_key_byte(char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '/' ||
	       byte == '.' || byte == '_' || byte == '-';
}

/* Whether text is a prefix of keys, "" included. */
static bool is_prefix(const char *text)
{
	size_t length = text ? strnlen(text, STORE_KEY_MAXIMUM + 1) : STORE_KEY_MAXIMUM + 1;

	if (length > STORE_KEY_MAXIMUM)
		return false;
	for (size_t i = 0; i < length; i++)
		if (!is_key_byte(text[i]))
			return false;
	return true;
}

static int check_key(const char *key, struct ph_error *error)
{
	if (!text_empty(key) && is_prefix(key))
		return 0;
	return error_set(error, -EINVAL, key ? key : "", NULL,
			 "a key of the store is [a-z0-9/._-]{1,%d}", STORE_KEY_MAXIMUM);
}

static int check_prefix(const char *prefix, struct ph_error *error)
{
	if (is_prefix(prefix))
		return 0;
	return error_set(error, -EINVAL, prefix ? prefix : "", NULL,
			 "a prefix of keys is [a-z0-9/._-]{0,%d}", STORE_KEY_MAXIMUM);
}

int store_open(const char *path, struct store **ret_store, struct ph_error *error)
{
	struct store *store = ph_alloc(sizeof(*store));
	int ret = sqlite_store_open(path, &store->tables, error);

	if (ret < 0) {
		error_prefix(error, "open the state store");
		free(store);
		return ret;
	}
	TAILQ_INIT(&store->watches);
	*ret_store = store;
	return 0;
}

int store_use_barrier(struct store *store, struct barrier *barrier, struct ph_error *error)
{
	return sqlite_store_use_barrier(store->tables, barrier, error);
}

static void free_watch(struct store_watch *watch)
{
	TAILQ_REMOVE(&watch->store->watches, watch, link);
	free(watch->prefix);
	free(watch);
}

void store_close(struct store *store)
{
	if (!store)
		return;
	assert(!store->delivering);
	while (!TAILQ_EMPTY(&store->watches))
		free_watch(TAILQ_FIRST(&store->watches));
	sqlite_store_close(store->tables);
	free(store);
}

int store_get(struct store *store, const char *key, struct store_entry *ret_entry,
	      struct ph_error *error)
{
	int ret = check_key(key, error);

	if (ret == 0)
		ret = sqlite_store_get(store->tables, key, ret_entry, error);
	if (ret < 0)
		error_prefix(error, "read from the state store");
	return ret;
}

int store_list(struct store *store, const char *prefix, struct store_list *ret_list,
	       struct ph_error *error)
{
	struct store_list list = { .revision = store_revision(store) };
	int ret = check_prefix(prefix, error);

	if (ret == 0)
		ret = sqlite_store_list(store->tables, prefix, &list, error);
	if (ret < 0) {
		store_list_fini(&list);
		error_prefix(error, "list the state store");
		return ret;
	}
	*ret_list = list;
	return 0;
}

uint64_t store_revision(const struct store *store)
{
	return sqlite_store_revision(store->tables);
}

/* The first position that no commit has reached yet. */
static uint64_t end_position(const struct store *store)
{
	return (store_revision(store) + 1) * SQLITE_STORE_POSITIONS;
}

static struct store_watch *find_behind(struct store *store)
{
	struct store_watch *watch;

	TAILQ_FOREACH(watch, &store->watches, link)
		if (!watch->cancelled && watch->position < end_position(store))
			return watch;
	return NULL;
}

/* Deliver the next few changes to one watch. */
static int advance(struct store *store, struct store_watch *watch)
{
	struct sqlite_store_change changes[CHANGES_AT_ONCE];
	uint64_t end = end_position(store);
	size_t count;
	int ret = sqlite_store_changes(store->tables, watch->prefix, watch->position, changes,
				       CHANGES_AT_ONCE, &count, NULL);

	if (ret < 0)
		return ret;
	watch->position = count == CHANGES_AT_ONCE ? changes[count - 1].position + 1 : end;
	for (size_t i = 0; i < count; i++) {
		if (!watch->cancelled)
			watch->changed(watch->user, &changes[i].change);
		sqlite_store_change_fini(&changes[i]);
	}
	return 0;
}

static void free_cancelled(struct store *store)
{
	struct store_watch *watch = TAILQ_FIRST(&store->watches);

	while (watch) {
		struct store_watch *next = TAILQ_NEXT(watch, link);

		if (watch->cancelled)
			free_watch(watch);
		watch = next;
	}
}

/*
 * Deliver until no watch is behind; the caller frees the cancelled ones. A change that cannot be
 * read stays ahead of its watch's cursor: the next commit tries again.
 */
static void deliver(struct store *store)
{
	struct store_watch *watch;

	store->delivering = true;
	while ((watch = find_behind(store)))
		if (advance(store, watch) < 0)
			break;
	store->delivering = false;
}

static int check_operation(const struct store_operation *operation, struct ph_error *error)
{
	int ret = check_key(operation->key, error);

	if (ret < 0)
		return ret;
	if (operation->type == STORE_PUT && operation->length > STORE_VALUE_MAXIMUM)
		return error_set(error, -EMSGSIZE, operation->key, NULL,
				 "the value has %zu bytes; at most %d are kept", operation->length,
				 STORE_VALUE_MAXIMUM);
	return 0;
}

/* A second write of a key would need an order within one revision; etcd refuses it as well. */
static int check_unique(const struct store_operation *operations, size_t count,
			struct ph_error *error)
{
	for (size_t i = 1; i < count; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(operations[i].key, operations[j].key) == 0)
				return error_set(error, -EINVAL, operations[i].key, NULL,
						 "a transaction writes this key twice");
	return 0;
}

static int check_transaction(const struct store_compare *compares, size_t compare_count,
			     const struct store_operation *operations, size_t operation_count,
			     struct ph_error *error)
{
	int ret = 0;

	if (operation_count > STORE_OPERATIONS_MAXIMUM || compare_count > STORE_OPERATIONS_MAXIMUM)
		return error_set(error, -EMSGSIZE, NULL, NULL,
				 "a transaction has at most %d compares and %d operations",
				 STORE_OPERATIONS_MAXIMUM, STORE_OPERATIONS_MAXIMUM);
	for (size_t i = 0; i < compare_count && ret == 0; i++)
		ret = check_key(compares[i].key, error);
	for (size_t i = 0; i < operation_count && ret == 0; i++)
		ret = check_operation(&operations[i], error);
	return ret < 0 ? ret : check_unique(operations, operation_count, error);
}

/* Forget what is older than the history; a failure is harmless, the next time does it. */
static void compact_history(struct store *store)
{
	uint64_t kept = store_revision(store) - sqlite_store_compacted(store->tables);

	if (kept >= STORE_HISTORY + COMPACT_EVERY)
		store_compact(store, store_revision(store) - STORE_HISTORY, NULL);
}

int store_commit(struct store *store, const struct store_compare *compares, size_t compare_count,
		 const struct store_operation *operations, size_t operation_count,
		 uint64_t *ret_revision, struct ph_error *error)
{
	int ret = check_transaction(compares, compare_count, operations, operation_count, error);

	if (ret == 0)
		ret = sqlite_store_commit(store->tables, compares, compare_count, operations,
					  operation_count, error);
	if (ret < 0) {
		error_prefix(error, "write to the state store");
		return ret;
	}
	/* What this commit did, not what its watchers went on to do. */
	if (ret_revision)
		*ret_revision = store_revision(store);
	if (ret == 0 && !store->delivering) {
		deliver(store);
		free_cancelled(store);
		compact_history(store);
	}
	return ret;
}

int store_put(struct store *store, const char *key, const void *value, size_t length,
	      uint64_t *ret_revision, struct ph_error *error)
{
	struct store_operation operation = { STORE_PUT, key, value, length };

	return store_commit(store, NULL, 0, &operation, 1, ret_revision, error);
}

int store_delete(struct store *store, const char *key, uint64_t *ret_revision,
		 struct ph_error *error)
{
	struct store_operation operation = { .type = STORE_DELETE, .key = key };
	uint64_t before = store_revision(store), after = before;
	int ret = store_commit(store, NULL, 0, &operation, 1, &after, error);

	if (ret < 0)
		return ret;
	if (ret_revision)
		*ret_revision = after;
	return after == before ? STORE_ABSENT : 0;
}

static struct store_watch *new_watch(struct store *store, const char *prefix, uint64_t from,
				     store_changed_fn changed, void *user)
{
	struct store_watch *watch = ph_alloc(sizeof(*watch));

	watch->store = store;
	watch->prefix = ph_strdup(prefix);
	watch->position = from * SQLITE_STORE_POSITIONS;
	watch->changed = changed;
	watch->user = user;
	TAILQ_INSERT_TAIL(&store->watches, watch, link);
	return watch;
}

int store_watch(struct store *store, const char *prefix, uint64_t from, store_changed_fn changed,
		void *user, struct store_watch **ret_watch, struct ph_error *error)
{
	struct store_watch *watch;
	int ret = check_prefix(prefix, error);

	if (ret < 0)
		return ret;
	if (from == 0)
		from = store_revision(store) + 1;
	if (from <= sqlite_store_compacted(store->tables))
		return STORE_COMPACTED;
	watch = new_watch(store, prefix, from, changed, user);
	*ret_watch = watch; /* its own first calls may want to cancel it */
	if (store->delivering)
		return 0;
	deliver(store);
	if (watch->cancelled)
		*ret_watch = NULL;
	free_cancelled(store);
	return 0;
}

void store_watch_cancel(struct store_watch *watch)
{
	if (!watch)
		return;
	if (watch->store->delivering)
		watch->cancelled = true;
	else
		free_watch(watch);
}

int store_compact(struct store *store, uint64_t revision, struct ph_error *error)
{
	struct store_watch *watch;
	int ret;

	if (revision > store_revision(store))
		revision = store_revision(store);
	TAILQ_FOREACH(watch, &store->watches, link) {
		uint64_t needed = watch->position / SQLITE_STORE_POSITIONS;

		if (!watch->cancelled && needed > 0 && needed - 1 < revision)
			revision = needed - 1;
	}
	if (revision <= sqlite_store_compacted(store->tables))
		return 0;
	ret = sqlite_store_compact(store->tables, revision, error);
	if (ret < 0)
		error_prefix(error, "compact the state store");
	return ret;
}

void store_entry_fini(struct store_entry *entry)
{
	free(entry->key);
	free(entry->value);
	*entry = (struct store_entry){ 0 };
}

void store_list_fini(struct store_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		store_entry_fini(&list->entries[i]);
	free(list->entries);
	*list = (struct store_list){ 0 };
}
