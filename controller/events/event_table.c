/*
 * One row per event, the container beside the packed message so that a filter decodes nothing else.
 * Old rows go in the transaction that adds new ones, some at a time: the log may hold a sixteenth
 * more than it has to.
 */
#include "controller/events/event_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/events/events.h"
#include "controller/store/database.h"

enum statement {
	INSERT,
	READ,
	TAIL,
	TRIM,
	BOUNDS,
	READ_STREAM,
	WRITE_STREAM,
	READ_ORIGIN,
	WRITE_ORIGIN,
	READ_NOTE,
	WRITE_NOTE,
	STATEMENT_COUNT,
};

static const char *const statement_sql[STATEMENT_COUNT] = {
	[INSERT] = "INSERT INTO event VALUES (?1, ?2, ?3)",
	[READ] = "SELECT seq, container, value FROM event WHERE seq >= ?1 ORDER BY seq LIMIT ?2",
	[TAIL] = "SELECT min(seq) FROM (SELECT seq FROM event WHERE ?1 = '' OR container = ?1 "
		 "ORDER BY seq DESC LIMIT ?2)",
	[TRIM] = "DELETE FROM event WHERE seq <= ?1",
	[BOUNDS] = "SELECT (SELECT min(seq) FROM event), (SELECT max(seq) FROM event)",
	[READ_STREAM] = "SELECT value FROM meta WHERE name = 'stream'",
	[WRITE_STREAM] = "INSERT INTO meta VALUES ('stream', ?1)",
	[READ_ORIGIN] = "SELECT origin, seq FROM origin WHERE container = ?1",
	[WRITE_ORIGIN] = "INSERT OR REPLACE INTO origin VALUES (?1, ?2, ?3)",
	[READ_NOTE] = "SELECT value FROM note WHERE container = ?1",
	[WRITE_NOTE] = "INSERT OR REPLACE INTO note VALUES (?1, ?2)",
};

#define CREATE_ORIGIN                                                                              \
	"CREATE TABLE origin (container TEXT PRIMARY KEY, origin TEXT NOT NULL,"                   \
	" seq INTEGER NOT NULL)"
#define CREATE_NOTE "CREATE TABLE note (container TEXT PRIMARY KEY, value TEXT NOT NULL)"

static const struct database_schema schema = {
	.application_id = 0x50486576, /* "PHev" */
	.version = 3,
	.upgrades = (const char *const[]){ CREATE_ORIGIN, CREATE_NOTE },
	.create = "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);"
		  "CREATE TABLE event (seq INTEGER PRIMARY KEY, container TEXT NOT NULL,"
		  " value BLOB NOT NULL);" CREATE_ORIGIN ";" CREATE_NOTE,
};

struct event_table {
	struct database database;
	sqlite3_stmt *statements[STATEMENT_COUNT]; /* owned */
	char stream[EVENTS_STREAM_LENGTH + 1];
	uint64_t retention;
	uint64_t oldest;
	uint64_t last;
};

void event_record_fini(struct event_record *record)
{
	free(record->container);
	free(record->bytes);
	free(record->origin);
	free(record->note);
	*record = (struct event_record){ 0 };
}

/* A new log is a new stream. */
static int make_stream(struct event_table *table, struct ph_error *error)
{
	uint8_t random[EVENTS_STREAM_LENGTH / 2];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return error_errno(error, -errno, NULL, NULL, "getrandom");
	bytes_to_hex(random, sizeof(random), table->stream);
	database_bind_text(table->statements[WRITE_STREAM], 1, table->stream);
	return database_execute(&table->database, table->statements[WRITE_STREAM], error);
}

static int read_stream(struct event_table *table, struct ph_error *error)
{
	sqlite3_stmt *statement = table->statements[READ_STREAM];
	int ret = database_step(&table->database, statement, error);

	if (ret == 1)
		text_copy(table->stream, sizeof(table->stream),
			  (const char *)sqlite3_column_text(statement, 0));
	sqlite3_reset(statement);
	return ret == 0 ? make_stream(table, error) : ret;
}

static int read_bounds(struct event_table *table, struct ph_error *error)
{
	sqlite3_stmt *statement = table->statements[BOUNDS];
	int ret = database_step(&table->database, statement, error);

	if (ret == 1) {
		/* SQL's NULL of an empty table reads as 0 */
		table->last = (uint64_t)sqlite3_column_int64(statement, 1);
		table->oldest = table->last ? (uint64_t)sqlite3_column_int64(statement, 0) : 1;
	}
	sqlite3_reset(statement);
	return ret < 0 ? ret : 0;
}

int event_table_open(const char *path, uint64_t retention, struct event_table **ret_table,
		     struct ph_error *error)
{
	struct event_table *table = ph_alloc(sizeof(*table));
	int ret = database_open(&table->database, path, &schema, error);

	table->retention = retention;
	if (ret == 0)
		ret = database_prepare_all(&table->database, statement_sql, STATEMENT_COUNT,
					   table->statements, error);
	if (ret == 0)
		ret = read_stream(table, error);
	if (ret >= 0)
		ret = read_bounds(table, error);
	if (ret < 0) {
		event_table_close(table);
		return ret;
	}
	*ret_table = table;
	return 0;
}

int event_table_use_barrier(struct event_table *table, struct barrier *barrier,
			    struct ph_error *error)
{
	return database_use_barrier(&table->database, barrier, error);
}

void event_table_close(struct event_table *table)
{
	if (!table)
		return;
	database_finalize_all(table->statements, STATEMENT_COUNT);
	database_close(&table->database);
	free(table);
}

const char *event_table_stream(const struct event_table *table)
{
	return table->stream;
}

uint64_t event_table_oldest(const struct event_table *table)
{
	return table->oldest;
}

uint64_t event_table_last(const struct event_table *table)
{
	return table->last;
}

const char *event_table_path(const struct event_table *table)
{
	return table->database.path;
}

static int insert(struct event_table *table, const struct event_record *record,
		  struct ph_error *error)
{
	sqlite3_stmt *statement = table->statements[INSERT];

	database_bind_u64(statement, 1, record->seq);
	database_bind_text(statement, 2, record->container);
	database_bind_bytes(statement, 3, record->bytes, record->length);
	return database_execute(&table->database, statement, error);
}

static int insert_origin(struct event_table *table, const struct event_record *record,
			 struct ph_error *error)
{
	sqlite3_stmt *statement = table->statements[WRITE_ORIGIN];

	database_bind_text(statement, 1, record->container);
	database_bind_text(statement, 2, record->origin);
	database_bind_u64(statement, 3, record->origin_seq);
	return database_execute(&table->database, statement, error);
}

static int insert_note(struct event_table *table, const struct event_record *record,
		       struct ph_error *error)
{
	sqlite3_stmt *statement = table->statements[WRITE_NOTE];

	database_bind_text(statement, 1, record->container);
	database_bind_text(statement, 2, record->note);
	return database_execute(&table->database, statement, error);
}

/* The oldest seq to keep when the log ends at last; unchanged while little is to be let go of. */
static uint64_t trim_target(const struct event_table *table, uint64_t last)
{
	uint64_t kept = last - table->oldest + 1;

	if (kept <= table->retention + table->retention / 16)
		return table->oldest;
	return last - table->retention + 1;
}

static int trim(struct event_table *table, uint64_t oldest, struct ph_error *error)
{
	if (oldest == table->oldest)
		return 0;
	database_bind_u64(table->statements[TRIM], 1, oldest - 1);
	return database_execute(&table->database, table->statements[TRIM], error);
}

int event_table_write(struct event_table *table, const struct event_record *records, size_t count,
		      struct ph_error *error)
{
	uint64_t last = table->last + count;
	uint64_t oldest = trim_target(table, last);
	int ret = database_begin(&table->database, error);

	if (ret < 0)
		return ret;
	for (size_t i = 0; i < count && ret == 0; i++) {
		ret = insert(table, &records[i], error);
		if (ret == 0 && records[i].origin)
			ret = insert_origin(table, &records[i], error);
		if (ret == 0 && records[i].note)
			ret = insert_note(table, &records[i], error);
	}
	if (ret == 0)
		ret = trim(table, oldest, error);
	if (ret < 0) {
		database_rollback(&table->database);
		return ret;
	}
	ret = database_commit(&table->database, error);
	if (ret == 0) {
		table->last = last;
		table->oldest = oldest;
	}
	return ret;
}

int event_table_origin(struct event_table *table, const char *container, char *origin, size_t size,
		       uint64_t *ret_seq, struct ph_error *error)
{
	sqlite3_stmt *statement = table->statements[READ_ORIGIN];
	int ret;

	database_bind_text(statement, 1, container);
	ret = database_step(&table->database, statement, error);
	if (ret >= 0) {
		text_copy(origin, size, ret ? (const char *)sqlite3_column_text(statement, 0) : "");
		*ret_seq = ret ? (uint64_t)sqlite3_column_int64(statement, 1) : 0;
	}
	sqlite3_reset(statement);
	return ret < 0 ? ret : 0;
}

int event_table_note(struct event_table *table, const char *container, char **ret_note,
		     struct ph_error *error)
{
	sqlite3_stmt *statement = table->statements[READ_NOTE];
	int ret;

	database_bind_text(statement, 1, container);
	ret = database_step(&table->database, statement, error);
	if (ret >= 0)
		*ret_note = ph_strdup(ret ? (const char *)sqlite3_column_text(statement, 0) : "");
	sqlite3_reset(statement);
	return ret < 0 ? ret : 0;
}

static void take_row(sqlite3_stmt *statement, struct event_record *record)
{
	const char *container = (const char *)sqlite3_column_text(statement, 1);
	const void *bytes = sqlite3_column_blob(statement, 2);

	record->seq = (uint64_t)sqlite3_column_int64(statement, 0);
	record->container = ph_strdup(container);
	record->length = (size_t)sqlite3_column_bytes(statement, 2);
	record->bytes = ph_memdup(bytes, record->length);
}

static bool row_matches(sqlite3_stmt *statement, const char *container)
{
	return container[0] == '\0' ||
	       strcmp((const char *)sqlite3_column_text(statement, 1), container) == 0;
}

int event_table_read(struct event_table *table, uint64_t since, const char *container, size_t limit,
		     struct event_record *records, size_t *ret_count, uint64_t *ret_next,
		     struct ph_error *error)
{
	sqlite3_stmt *statement = table->statements[READ];
	uint64_t next = since;
	size_t count = 0;
	int ret = 0;

	database_bind_u64(statement, 1, since);
	database_bind_u64(statement, 2, EVENT_TABLE_SCAN_MAXIMUM);
	while (count < limit && (ret = database_step(&table->database, statement, error)) == 1) {
		next = (uint64_t)sqlite3_column_int64(statement, 0) + 1;
		if (row_matches(statement, container))
			take_row(statement, &records[count++]);
	}
	sqlite3_reset(statement);
	if (ret < 0) {
		while (count > 0)
			event_record_fini(&records[--count]);
		return ret;
	}
	*ret_count = count;
	*ret_next = next;
	return 0;
}

int event_table_tail(struct event_table *table, const char *container, uint64_t count,
		     uint64_t *ret_since, struct ph_error *error)
{
	sqlite3_stmt *statement = table->statements[TAIL];
	uint64_t since = 0;
	int ret;

	database_bind_text(statement, 1, container);
	database_bind_u64(statement, 2, count > INT64_MAX ? INT64_MAX : count);
	ret = database_step(&table->database, statement, error);
	if (ret == 1)
		since = (uint64_t)sqlite3_column_int64(statement, 0);
	sqlite3_reset(statement);
	if (ret < 0)
		return ret;
	*ret_since = since ? since : table->last + 1;
	return 0;
}
