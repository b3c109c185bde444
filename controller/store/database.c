/*
 * Why the pragmas are what they are: WAL with synchronous=FULL makes a commit durable with one
 * fsync. A lock on the file is held for the life of the process, so that what is cached in memory (the
 * revision, the last seq) stays true and a second phoenixd is refused instead of mixed in. The kernel
 * drops the lock of a killed process: nothing to clean up after kill -9. It is a flock(2), which SQLite's
 * own locks know nothing of, because locking_mode=EXCLUSIVE would keep out the second connection below; its
 * descriptor is closed last, for closing one takes all of SQLite's locks on that file along (fcntl(2)).
 *
 * Behind a barrier a commit syncs nothing (synchronous=NORMAL): the barrier syncs the log, which is the same file, and
 * the same inode, as long as the database is open. A checkpoint has to sync the log before it and the file after it,
 * so it is the barrier's thread's, by a connection of its own; it keeps nobody from writing
 * (SQLITE_CHECKPOINT_PASSIVE). What remains is a log that begins anew: its frames must not meet old ones behind an
 * old header on the disk, for which SQLite syncs the header (https://sqlite.org/src/info/ff5be73dee). So that the loop
 * does not have to, the log is cut to nothing when all of it has been carried over, and the first commit into
 * the empty one goes without (synchronous=OFF). After a loss of power there is the old log, whole and with nothing in
 * it that the file has not, or an empty one, or the new one, of which nobody was told before the barrier had
 * passed it; all file systems in use keep a file's freed blocks until the cut itself is on the disk, but for ext4 with
 * data=writeback. A commit that comes in between begins the log anew by itself, and syncs its header.
 */
#include "controller/store/database.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"

#define BUSY_TIMEOUT_MS 2000 /* a killed predecessor may still be dying */
#define LOCK_LOOK_MS 20
#define CHECKPOINT_PAGES 1000 /* of the log; what SQLite does by itself */
#define CHECKPOINT_AGAIN 64   /* pages more, before one that commits have overtaken is made again */
#define LOG_PAGES_MAXIMUM 16384 /* a checkpoint that does not keep up with the commits is made by the loop */
#define REMEDY_SPACE "free space on that file system, then try again; nothing was changed"
#define REMEDY_DISK "check the disk and the file system (dmesg), then start phoenixd again"
#define REMEDY_RIGHTS "the file and its directory must be writable for phoenixd's user"
#define REMEDY_DIRECTORY "the directory must exist and be writable for phoenixd's user"
#define REMEDY_DAMAGED                                                                             \
	"stop phoenixd and restore the file from a backup, or move it away to start with an "      \
	"empty one; running containers are not touched by that"
#define REMEDY_BUSY "another phoenixd runs with this state directory: stop it first"
#define REMEDY_NEWER "start the newer Phoenix again, or use another state directory"

#define SYNC_AS_EVER "PRAGMA synchronous = FULL"
#define SYNC_HEADER "PRAGMA synchronous = NORMAL"
#define SYNC_NOTHING "PRAGMA synchronous = OFF"

/* How a primary result code reads as an error. */
struct meaning {
	int result;
	int code;
	const char *why;
	const char *remedy;
};

static const struct meaning meanings[] = {
	{ SQLITE_FULL, -ENOSPC, "the disk is full", REMEDY_SPACE },
	{ SQLITE_IOERR, -EIO, "the disk failed", REMEDY_DISK },
	{ SQLITE_READONLY, -EROFS, "the file cannot be written", REMEDY_RIGHTS },
	{ SQLITE_PERM, -EACCES, "access was denied", REMEDY_RIGHTS },
	{ SQLITE_CANTOPEN, -EACCES, "the file cannot be opened", REMEDY_RIGHTS },
	{ SQLITE_CORRUPT, -EUCLEAN, "the file is damaged", REMEDY_DAMAGED },
	{ SQLITE_NOTADB, -EUCLEAN, "the file is not a database", REMEDY_DAMAGED },
	{ SQLITE_BUSY, -EBUSY, "another process has the file open", REMEDY_BUSY },
	{ SQLITE_LOCKED, -EBUSY, "another process has the file open", REMEDY_BUSY },
	{ SQLITE_TOOBIG, -EMSGSIZE, "the value is too large", NULL },
};

static const struct meaning unknown_meaning = { SQLITE_ERROR, -EIO, "SQLite refused",
						"this is a bug in Phoenix: please report it" };

static const struct meaning *find_meaning(int result)
{
	for (size_t i = 0; i < ARRAY_LENGTH(meanings); i++)
		if (meanings[i].result == (result & 0xff))
			return &meanings[i];
	return &unknown_meaning;
}

/* Turn a result into an error; out of memory ends the process as everywhere. */
static int failed(const struct database *database, sqlite3 *handle, int result,
		  struct ph_error *error)
{
	const struct meaning *meaning = find_meaning(result);
	int system = sqlite3_system_errno(handle);
	const char *message = sqlite3_errmsg(handle);

	if ((result & 0xff) == SQLITE_NOMEM)
		ph_out_of_memory();
	if (meaning->code == -EIO && (system == EDQUOT || system == EFBIG))
		meaning = find_meaning(SQLITE_FULL);
	/* errno is of the last call that failed: it belongs to these results only */
	if (system && (meaning->code == -EIO || meaning->code == -EACCES))
		return error_set(error, meaning->code, database->path, meaning->remedy,
				 "%s: %s: %s", meaning->why, message, strerror(system));
	return error_set(error, meaning->code, database->path, meaning->remedy, "%s: %s",
			 meaning->why, message);
}

int database_run(struct database *database, const char *sql, struct ph_error *error)
{
	int result = sqlite3_exec(database->handle, sql, NULL, NULL, NULL);

	return result == SQLITE_OK ? 0 : failed(database, database->handle, result, error);
}

int database_prepare(struct database *database, const char *sql, sqlite3_stmt **ret_statement,
		     struct ph_error *error)
{
	int result = sqlite3_prepare_v3(database->handle, sql, -1, SQLITE_PREPARE_PERSISTENT,
					ret_statement, NULL);

	return result == SQLITE_OK ? 0 : failed(database, database->handle, result, error);
}

int database_prepare_all(struct database *database, const char *const *sql, size_t count,
			 sqlite3_stmt **ret_statements, struct ph_error *error)
{
	int ret = 0;

	for (size_t i = 0; i < count && ret == 0; i++)
		ret = database_prepare(database, sql[i], &ret_statements[i], error);
	return ret;
}

void database_finalize_all(sqlite3_stmt **statements, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		sqlite3_finalize(statements[i]);
		statements[i] = NULL;
	}
}

int database_step(struct database *database, sqlite3_stmt *statement, struct ph_error *error)
{
	int result = sqlite3_step(statement);

	if (result == SQLITE_ROW)
		return 1;
	return result == SQLITE_DONE ? 0 : failed(database, database->handle, result, error);
}

int database_execute(struct database *database, sqlite3_stmt *statement, struct ph_error *error)
{
	int ret = database_step(database, statement, error);

	sqlite3_reset(statement);
	return ret;
}

int database_begin(struct database *database, struct ph_error *error)
{
	/* Lest a checkpoint that has just ended find that the log has gone on. */
	if (database->barrier)
		barrier_collect(database->barrier);
	return database_run(database, "BEGIN IMMEDIATE", error);
}

/* Cut the log to nothing; what is not in the file yet is carried over first. */
static void cut_log(struct database *database)
{
	if (sqlite3_wal_checkpoint_v2(database->handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) != SQLITE_OK)
		return;
	database->pages = 0;
	database->ask_at = CHECKPOINT_PAGES;
	database->is_cut = database_run(database, SYNC_NOTHING, NULL) == 0;
	barrier_mark(database->barrier, database->file);
}

static void note_commit(struct database *database)
{
	barrier_mark(database->barrier, database->file);
	if (database->is_cut)
		database->is_cut = database_run(database, SYNC_HEADER, NULL) < 0;
	if (database->pages < LOG_PAGES_MAXIMUM)
		return;
	barrier_withdraw(database->barrier, &database->checkpoint);
	cut_log(database);
}

int database_commit(struct database *database, struct ph_error *error)
{
	int ret = database_run(database, "COMMIT", error);

	if (ret < 0)
		database_rollback(database);
	else if (database->barrier)
		note_commit(database);
	return ret;
}

void database_rollback(struct database *database)
{
	/* Some failures have rolled back already: then there is nothing to abandon. */
	if (!sqlite3_get_autocommit(database->handle))
		sqlite3_exec(database->handle, "ROLLBACK", NULL, NULL, NULL);
}

void database_bind_u64(sqlite3_stmt *statement, int index, uint64_t value)
{
	int result = sqlite3_bind_int64(statement, index, (sqlite3_int64)value);

	assert(result == SQLITE_OK);
	(void)result;
}

void database_bind_text(sqlite3_stmt *statement, int index, const char *text)
{
	int result = sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);

	assert(result == SQLITE_OK);
	(void)result;
}

void database_bind_bytes(sqlite3_stmt *statement, int index, const void *bytes, size_t length)
{
	/* A NULL pointer would bind SQL's NULL; no bytes are still bytes. */
	int result = sqlite3_bind_blob64(statement, index, bytes ? bytes : "", length,
					 SQLITE_STATIC);

	assert(result == SQLITE_OK);
	(void)result;
}

/* Read a pragma or a query that gives one number. */
static int read_number(struct database *database, const char *sql, int *ret_value,
		       struct ph_error *error)
{
	sqlite3_stmt *statement = NULL;
	int ret = database_prepare(database, sql, &statement, error);

	if (ret == 0)
		ret = database_step(database, statement, error);
	if (ret == 1)
		*ret_value = sqlite3_column_int(statement, 0);
	sqlite3_finalize(statement);
	return ret < 0 ? ret : 0;
}

/* Make the file ourselves: SQLite would make it readable for everybody. */
static int make_file(const char *path, struct ph_error *error)
{
	PH_AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 && errno != EEXIST)
		return error_errno(error, -errno, path,
				   errno == ENOSPC ? REMEDY_SPACE : REMEDY_DIRECTORY,
				   "make the file");
	return 0;
}

/* Have the file to ourselves, or wait a moment for one that is dying. */
static int lock_file(struct database *database, struct ph_error *error)
{
	const struct timespec moment = { .tv_nsec = LOCK_LOOK_MS * 1000000 };
	int r = -1;

	database->lock = open(database->path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (database->lock < 0)
		return error_set(error, -EACCES, database->path, REMEDY_RIGHTS,
				 "the file cannot be opened: %s", strerror(errno));
	for (int waited = 0; (r = flock(database->lock, LOCK_EX | LOCK_NB)) < 0 && errno == EWOULDBLOCK &&
			     waited < BUSY_TIMEOUT_MS;
	     waited += LOCK_LOOK_MS)
		nanosleep(&moment, NULL);
	if (r == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return error_set(error, -EBUSY, database->path, REMEDY_BUSY,
				 "another process has the file open");
	return error_errno(error, -errno, database->path, REMEDY_RIGHTS, "lock the file");
}

/* A closed database has no log; one that was left behind means that its last user died. */
static bool log_was_left(const char *path)
{
	PH_AUTO_FREE char *log = ph_format("%s-wal", path);
	struct stat status;

	return stat(log, &status) == 0 && status.st_size > 0;
}

static int check_integrity(struct database *database, struct ph_error *error)
{
	sqlite3_stmt *statement = NULL;
	int ret = database_prepare(database, "PRAGMA quick_check(1)", &statement, error);

	if (ret == 0)
		ret = database_step(database, statement, error);
	if (ret == 1 && strcmp((const char *)sqlite3_column_text(statement, 0), "ok") != 0)
		ret = error_set(error, -EUCLEAN, database->path, REMEDY_DAMAGED,
				"the file is damaged: %s", sqlite3_column_text(statement, 0));
	sqlite3_finalize(statement);
	return ret < 0 ? ret : 0;
}

static int create_tables(struct database *database, const struct database_schema *schema,
			 struct ph_error *error)
{
	PH_AUTO_FREE char *sql = ph_format("%s; PRAGMA application_id = %d; "
					   "PRAGMA user_version = %d",
					   schema->create, schema->application_id, schema->version);
	int ret = database_begin(database, error);

	if (ret < 0)
		return ret;
	ret = database_run(database, sql, error);
	if (ret < 0) {
		database_rollback(database);
		return ret;
	}
	return database_commit(database, error);
}

/* In one transaction: a file is never between two versions. */
static int upgrade(struct database *database, const struct database_schema *schema, int version,
		   struct ph_error *error)
{
	PH_AUTO_FREE char *done = ph_format("PRAGMA user_version = %d", schema->version);
	int from = version, ret = database_begin(database, error);

	if (ret < 0)
		return ret;
	for (; version < schema->version && ret == 0; version++)
		ret = database_run(database, schema->upgrades[version - 1], error);
	if (ret == 0)
		ret = database_run(database, done, error);
	if (ret == 0)
		return database_commit(database, error);
	database_rollback(database);
	return error_prefix(error, "upgrade from schema %d to %d", from, schema->version);
}

static int refuse(const char *path, int version, const struct database_schema *schema,
		  struct ph_error *error)
{
	return error_set(error, -EPROTO, path, REMEDY_NEWER,
			 "a newer Phoenix wrote this file (schema %d, this one knows %d)", version,
			 schema->version);
}

/* Accept our own version, take over an older one, make a new file's tables, refuse all else. */
static int settle_schema(struct database *database, const struct database_schema *schema,
			 struct ph_error *error)
{
	int tables = 0, kind = 0, version = 0;
	int ret = read_number(database, "SELECT count(*) FROM sqlite_schema", &tables, error);

	if (ret == 0)
		ret = read_number(database, "PRAGMA application_id", &kind, error);
	if (ret == 0)
		ret = read_number(database, "PRAGMA user_version", &version, error);
	if (ret < 0)
		return ret;
	if (tables == 0 && version == 0)
		return create_tables(database, schema, error);
	if (kind != schema->application_id)
		return error_set(error, -EUCLEAN, database->path,
				 "move the file away; Phoenix makes its own",
				 "the file is some other program's database");
	if (version > schema->version)
		return refuse(database->path, version, schema, error);
	if (version < 1)
		return error_set(error, -EUCLEAN, database->path, REMEDY_DAMAGED,
				 "the file has no schema version");
	return version < schema->version ? upgrade(database, schema, version, error) : 0;
}

/*
 * Look first, through a connection that cannot write: what we do to a file of our own, as choosing its
 * journal, would change a newer one's too. Whatever else is wrong with the file shows later.
 */
static int refuse_newer(const char *path, const struct database_schema *schema,
			struct ph_error *error)
{
	struct database database = { .path = (char *)path };
	int kind = 0, version = 0, ret = 0;

	if (sqlite3_open_v2(path, &database.handle,
			    SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW,
			    NULL) == SQLITE_OK &&
	    read_number(&database, "PRAGMA application_id", &kind, NULL) == 0 &&
	    read_number(&database, "PRAGMA user_version", &version, NULL) == 0 &&
	    kind == schema->application_id && version > schema->version)
		ret = refuse(path, version, schema, error);
	sqlite3_close(database.handle);
	return ret;
}

static int configure(struct database *database, struct ph_error *error)
{
	return database_run(database,
			    "PRAGMA journal_mode = WAL;"
			    SYNC_AS_EVER ";"
			    "PRAGMA journal_size_limit = 16777216;"
			    "PRAGMA trusted_schema = OFF;"
			    /* finds out whether it can be written, and makes the log */
			    "BEGIN IMMEDIATE; COMMIT",
			    error);
}

static int open_connection(const struct database *database, sqlite3 **ret_handle)
{
	return sqlite3_open_v2(database->path, ret_handle,
			       SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
				       SQLITE_OPEN_NOFOLLOW,
			       NULL);
}

int database_open(struct database *database, const char *path, const struct database_schema *schema,
		  struct ph_error *error)
{
	bool unclean = log_was_left(path);
	int result, ret;

	*database = (struct database){ .path = ph_strdup(path), .lock = -1 };
	ret = make_file(path, error);
	if (ret == 0)
		ret = lock_file(database, error);
	if (ret == 0)
		ret = refuse_newer(path, schema, error);
	if (ret < 0)
		return ret;
	result = open_connection(database, &database->handle);
	if (result != SQLITE_OK)
		return failed(database, database->handle, result, error);
	sqlite3_busy_timeout(database->handle, BUSY_TIMEOUT_MS);
	ret = configure(database, error);
	if (ret == 0 && unclean)
		ret = check_integrity(database, error);
	if (ret == 0)
		ret = settle_schema(database, schema, error);
	return ret;
}

/* In the barrier's thread. Busy: somebody else is at it, or reads what is to be overwritten; the next time does it. */
static int checkpoint(struct barrier_work *work, struct ph_error *error)
{
	struct database *database = container_of(work, struct database, checkpoint);
	int result = sqlite3_wal_checkpoint_v2(database->checkpointer, NULL, SQLITE_CHECKPOINT_PASSIVE,
					       &database->found, &database->carried);

	if (result == SQLITE_OK || (result & 0xff) == SQLITE_BUSY || (result & 0xff) == SQLITE_LOCKED)
		return 0;
	return failed(database, database->checkpointer, result, error);
}

/* Nothing was committed meanwhile: there is nothing to carry over, and so nothing to sync. */
static void checkpointed(struct barrier_work *work)
{
	struct database *database = container_of(work, struct database, checkpoint);

	if (database->pages > 0 && database->found == database->pages && database->carried == database->pages)
		cut_log(database);
}

static int log_grew(void *user, sqlite3 *handle, const char *schema, int pages)
{
	struct database *database = user;

	/* One that begins anew is shorter. */
	if (pages < database->pages)
		database->ask_at = CHECKPOINT_PAGES;
	database->pages = pages;
	if (pages >= database->ask_at) {
		database->ask_at = pages + CHECKPOINT_AGAIN;
		barrier_ask(database->barrier, &database->checkpoint);
	}
	return SQLITE_OK;
}

int database_use_barrier(struct database *database, struct barrier *barrier, struct ph_error *error)
{
	PH_AUTO_FREE char *log = ph_format("%s-wal", database->path);
	int ret = barrier_add_file(barrier, log, &database->file, error), result;

	if (ret == 0)
		ret = database_run(database, SYNC_HEADER, error);
	if (ret < 0)
		return ret;
	result = open_connection(database, &database->checkpointer);
	/* It knows of the log once it has read something. */
	if (result == SQLITE_OK)
		result = sqlite3_exec(database->checkpointer,
				      SYNC_AS_EVER "; SELECT count(*) FROM sqlite_schema", NULL, NULL,
				      NULL);
	if (result != SQLITE_OK)
		return failed(database, database->checkpointer, result, error);
	database->ask_at = CHECKPOINT_PAGES;
	database->checkpoint.work = checkpoint;
	database->checkpoint.done = checkpointed;
	sqlite3_wal_hook(database->handle, log_grew, database);
	database->barrier = barrier_ref(barrier);
	barrier_mark(barrier, database->file);
	return 0;
}

void database_close(struct database *database)
{
	int result;

	if (database->barrier) {
		barrier_withdraw(database->barrier, &database->checkpoint);
		/* Closing carries the log over and removes it. */
		database_run(database, SYNC_AS_EVER, NULL);
	}
	sqlite3_close(database->checkpointer);
	result = sqlite3_close(database->handle);
	assert(result == SQLITE_OK); /* a statement was not finalised */
	(void)result;
	if (database->path && database->lock >= 0)
		close(database->lock);
	barrier_unref(database->barrier);
	free(database->path);
	*database = (struct database){ 0 };
}
