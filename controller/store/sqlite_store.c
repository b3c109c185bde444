/*
 * Two tables: what is (entry) and what has happened (change), written in one transaction. The
 * revision is kept in memory as well, which is sound because nobody else can write the file. All
 * bytes of a key are below '{', so prefix || '{' ends the range of keys that begin with prefix.
 */
#include "controller/store/sqlite_store.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/store/database.h"

enum statement {
	GET,
	LIST,
	REVISION_OF,
	PUT,
	DELETE,
	RECORD,
	CHANGES,
	FORGET,
	READ_META,
	WRITE_META,
	STATEMENT_COUNT,
};

static const char *const statement_sql[STATEMENT_COUNT] = {
	[GET] = "SELECT key, value, create_revision, mod_revision, version FROM entry "
		"WHERE key = ?1",
	[LIST] = "SELECT key, value, create_revision, mod_revision, version FROM entry "
		 "WHERE key >= ?1 AND key < ?1 || '{' ORDER BY key",
	[REVISION_OF] = "SELECT mod_revision FROM entry WHERE key = ?1",
	[PUT] = "INSERT INTO entry VALUES (?1, ?2, ?3, ?3, 1) ON CONFLICT (key) DO UPDATE SET "
		"value = excluded.value, mod_revision = excluded.mod_revision, "
		"version = version + 1 RETURNING create_revision, version",
	[DELETE] = "DELETE FROM entry WHERE key = ?1",
	[RECORD] = "INSERT INTO change VALUES (?1, ?2, ?3, ?4, ?5)",
	[CHANGES] = "SELECT position, key, value, create_revision, version FROM change "
		    "WHERE position >= ?1 AND key >= ?2 AND key < ?2 || '{' "
		    "ORDER BY position LIMIT ?3",
	[FORGET] = "DELETE FROM change WHERE position < ?1",
	[READ_META] = "SELECT value FROM meta WHERE name = ?1",
	[WRITE_META] = "INSERT OR REPLACE INTO meta VALUES (?1, ?2)",
};

/*
 * The tables are the same in all versions; what they hold would be taken for something else:
 * 2: containers may be adopted. A phoenixd that does not know it would take others' for its own.
 * 3: a rollout may confine. One that does not know it would apply a fleet's wishes to others'.
 */
static const char *const upgrades[] = { "", "" };

static const struct database_schema schema = {
	.application_id = 0x50487374, /* "PHst" */
	.version = 3,
	.upgrades = upgrades,
	.create = "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL);"
		  "CREATE TABLE entry (key TEXT PRIMARY KEY, value BLOB NOT NULL,"
		  " create_revision INTEGER NOT NULL, mod_revision INTEGER NOT NULL,"
		  " version INTEGER NOT NULL);"
		  /* deleted: value NULL, create_revision and version 0 */
		  "CREATE TABLE change (position INTEGER PRIMARY KEY, key TEXT NOT NULL,"
		  " value BLOB, create_revision INTEGER NOT NULL, version INTEGER NOT NULL)",
};

struct sqlite_store {
	struct database database;
	sqlite3_stmt *statements[STATEMENT_COUNT]; /* owned */
	uint64_t revision;
	uint64_t compacted;
};

static int read_meta(struct sqlite_store *store, const char *name, uint64_t *ret_value,
		     struct ph_error *error)
{
	sqlite3_stmt *statement = store->statements[READ_META];
	int ret;

	database_bind_text(statement, 1, name);
	ret = database_step(&store->database, statement, error);
	if (ret == 1)
		*ret_value = (uint64_t)sqlite3_column_int64(statement, 0);
	sqlite3_reset(statement);
	return ret < 0 ? ret : 0;
}

static int write_meta(struct sqlite_store *store, const char *name, uint64_t value,
		      struct ph_error *error)
{
	sqlite3_stmt *statement = store->statements[WRITE_META];

	database_bind_text(statement, 1, name);
	database_bind_u64(statement, 2, value);
	return database_execute(&store->database, statement, error);
}

int sqlite_store_open(const char *path, struct sqlite_store **ret_store, struct ph_error *error)
{
	struct sqlite_store *store = ph_alloc(sizeof(*store));
	int ret = database_open(&store->database, path, &schema, error);

	if (ret == 0)
		ret = database_prepare_all(&store->database, statement_sql, STATEMENT_COUNT,
					   store->statements, error);
	if (ret == 0)
		ret = read_meta(store, "revision", &store->revision, error);
	if (ret == 0)
		ret = read_meta(store, "compacted", &store->compacted, error);
	if (ret < 0) {
		sqlite_store_close(store);
		return ret;
	}
	*ret_store = store;
	return 0;
}

int sqlite_store_use_barrier(struct sqlite_store *store, struct barrier *barrier,
			     struct ph_error *error)
{
	return database_use_barrier(&store->database, barrier, error);
}

void sqlite_store_close(struct sqlite_store *store)
{
	if (!store)
		return;
	database_finalize_all(store->statements, STATEMENT_COUNT);
	database_close(&store->database);
	free(store);
}

uint64_t sqlite_store_revision(const struct sqlite_store *store)
{
	return store->revision;
}

uint64_t sqlite_store_compacted(const struct sqlite_store *store)
{
	return store->compacted;
}

static char *column_key(sqlite3_stmt *statement, int column)
{
	return ph_strdup((const char *)sqlite3_column_text(statement, column));
}

static uint8_t *column_value(sqlite3_stmt *statement, int column, size_t *ret_length)
{
	const void *bytes = sqlite3_column_blob(statement, column);

	*ret_length = (size_t)sqlite3_column_bytes(statement, column);
	return ph_memdup(bytes, *ret_length);
}

static uint64_t column_u64(sqlite3_stmt *statement, int column)
{
	return (uint64_t)sqlite3_column_int64(statement, column);
}

/* A row of GET and LIST. */
static void read_entry(sqlite3_stmt *statement, struct store_entry *entry)
{
	entry->key = column_key(statement, 0);
	entry->value = column_value(statement, 1, &entry->length);
	entry->create_revision = column_u64(statement, 2);
	entry->mod_revision = column_u64(statement, 3);
	entry->version = column_u64(statement, 4);
}

int sqlite_store_get(struct sqlite_store *store, const char *key, struct store_entry *ret_entry,
		     struct ph_error *error)
{
	sqlite3_stmt *statement = store->statements[GET];
	int ret;

	database_bind_text(statement, 1, key);
	ret = database_step(&store->database, statement, error);
	if (ret == 1)
		read_entry(statement, ret_entry);
	sqlite3_reset(statement);
	if (ret < 0)
		return ret;
	return ret == 1 ? 0 : STORE_ABSENT;
}

int sqlite_store_list(struct sqlite_store *store, const char *prefix, struct store_list *list,
		      struct ph_error *error)
{
	sqlite3_stmt *statement = store->statements[LIST];
	size_t capacity = list->count;
	int ret;

	database_bind_text(statement, 1, prefix);
	while ((ret = database_step(&store->database, statement, error)) == 1) {
		if (list->count == capacity) {
			capacity = capacity ? 2 * capacity : 16;
			list->entries = ph_realloc(list->entries,
						   capacity * sizeof(*list->entries));
		}
		read_entry(statement, &list->entries[list->count++]);
	}
	sqlite3_reset(statement);
	return ret;
}

/* Whether a compare holds: 0 or STORE_CONFLICT. */
static int check_compare(struct sqlite_store *store, const struct store_compare *compare,
			 struct ph_error *error)
{
	sqlite3_stmt *statement = store->statements[REVISION_OF];
	uint64_t revision = 0;
	int ret;

	database_bind_text(statement, 1, compare->key);
	ret = database_step(&store->database, statement, error);
	if (ret == 1)
		revision = column_u64(statement, 0);
	sqlite3_reset(statement);
	if (ret < 0)
		return ret;
	return revision == compare->mod_revision ? 0 : STORE_CONFLICT;
}

/* Write one row of history. */
static int record(struct sqlite_store *store, uint64_t position,
		  const struct store_operation *operation, uint64_t create_revision,
		  uint64_t version, struct ph_error *error)
{
	sqlite3_stmt *statement = store->statements[RECORD];

	database_bind_u64(statement, 1, position);
	database_bind_text(statement, 2, operation->key);
	if (operation->type == STORE_PUT)
		database_bind_bytes(statement, 3, operation->value, operation->length);
	else
		sqlite3_bind_null(statement, 3);
	database_bind_u64(statement, 4, create_revision);
	database_bind_u64(statement, 5, version);
	return database_execute(&store->database, statement, error);
}

static int put_key(struct sqlite_store *store, const struct store_operation *operation,
		   uint64_t position, struct ph_error *error)
{
	sqlite3_stmt *statement = store->statements[PUT];
	uint64_t create_revision = 0, version = 0;
	int ret;

	database_bind_text(statement, 1, operation->key);
	database_bind_bytes(statement, 2, operation->value, operation->length);
	database_bind_u64(statement, 3, store->revision + 1);
	while ((ret = database_step(&store->database, statement, error)) == 1) {
		create_revision = column_u64(statement, 0);
		version = column_u64(statement, 1);
	}
	sqlite3_reset(statement);
	if (ret < 0)
		return ret;
	return record(store, position, operation, create_revision, version, error);
}

/* Returns 1 when there was nothing to delete. */
static int delete_key(struct sqlite_store *store, const struct store_operation *operation,
		      uint64_t position, struct ph_error *error)
{
	sqlite3_stmt *statement = store->statements[DELETE];
	int ret;

	database_bind_text(statement, 1, operation->key);
	ret = database_execute(&store->database, statement, error);
	if (ret < 0)
		return ret;
	if (sqlite3_changes(store->database.handle) == 0)
		return 1;
	return record(store, position, operation, 0, 0, error);
}

/* Do the operations in the open transaction; ret_changed says whether one had an effect. */
static int write_operations(struct sqlite_store *store, const struct store_operation *operations,
			    size_t count, bool *ret_changed, struct ph_error *error)
{
	uint64_t position = (store->revision + 1) * SQLITE_STORE_POSITIONS;
	bool changed = false;

	for (size_t i = 0; i < count; i++) {
		bool is_put = operations[i].type == STORE_PUT;
		int ret = (is_put ? put_key : delete_key)(store, &operations[i], position + i,
							  error);

		if (ret < 0)
			return ret;
		changed = changed || ret == 0;
	}
	*ret_changed = changed;
	return changed ? write_meta(store, "revision", store->revision + 1, error) : 0;
}

int sqlite_store_commit(struct sqlite_store *store, const struct store_compare *compares,
			size_t compare_count, const struct store_operation *operations,
			size_t operation_count, struct ph_error *error)
{
	bool changed = false;
	int ret = database_begin(&store->database, error);

	if (ret < 0)
		return ret;
	for (size_t i = 0; i < compare_count && ret == 0; i++)
		ret = check_compare(store, &compares[i], error);
	if (ret == 0)
		ret = write_operations(store, operations, operation_count, &changed, error);
	if (ret != 0 || !changed) {
		database_rollback(&store->database);
		return ret;
	}
	ret = database_commit(&store->database, error);
	if (ret == 0)
		store->revision++;
	return ret;
}

static void read_change(sqlite3_stmt *statement, struct sqlite_store_change *change)
{
	size_t length;

	change->position = column_u64(statement, 0);
	change->key = column_key(statement, 1);
	change->value = column_value(statement, 2, &length);
	change->change = (struct store_change){
		.revision = change->position / SQLITE_STORE_POSITIONS,
		.deleted = sqlite3_column_type(statement, 2) == SQLITE_NULL,
		.key = change->key,
		.value = change->value,
		.length = length,
		.create_revision = column_u64(statement, 3),
		.version = column_u64(statement, 4),
	};
}

int sqlite_store_changes(struct sqlite_store *store, const char *prefix, uint64_t position,
			 struct sqlite_store_change *changes, size_t limit, size_t *ret_count,
			 struct ph_error *error)
{
	sqlite3_stmt *statement = store->statements[CHANGES];
	size_t count = 0;
	int ret;

	database_bind_u64(statement, 1, position);
	database_bind_text(statement, 2, prefix);
	database_bind_u64(statement, 3, limit);
	while ((ret = database_step(&store->database, statement, error)) == 1)
		read_change(statement, &changes[count++]);
	sqlite3_reset(statement);
	if (ret < 0) {
		while (count > 0)
			sqlite_store_change_fini(&changes[--count]);
		return ret;
	}
	*ret_count = count;
	return 0;
}

int sqlite_store_compact(struct sqlite_store *store, uint64_t revision, struct ph_error *error)
{
	int ret = database_begin(&store->database, error);

	if (ret < 0)
		return ret;
	database_bind_u64(store->statements[FORGET], 1, (revision + 1) * SQLITE_STORE_POSITIONS);
	ret = database_execute(&store->database, store->statements[FORGET], error);
	if (ret == 0)
		ret = write_meta(store, "compacted", revision, error);
	if (ret < 0) {
		database_rollback(&store->database);
		return ret;
	}
	ret = database_commit(&store->database, error);
	if (ret == 0)
		store->compacted = revision;
	return ret;
}

void sqlite_store_change_fini(struct sqlite_store_change *change)
{
	free(change->key);
	free(change->value);
	*change = (struct sqlite_store_change){ 0 };
}
