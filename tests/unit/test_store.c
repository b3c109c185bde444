/*
 * The store's semantics. Transactions are written as scripts: "k=3" compares (k=0: absent), "+k:v"
 * puts, "-k" deletes, ";" ends a transaction.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/store/database.h"
#include "controller/store/store.h"
#include "tests/support/scratch.h"

struct transaction_case {
	const char *name;
	const char *script;
	const char *results; /* of the transactions: "0", "conflict", or an errno's number */
	const char *entries; /* afterwards: key:value@create,mod,version */
	uint64_t revision;   /* afterwards */
};

static const struct transaction_case transaction_cases[] = {
	{ "nothing", "", "", "", 0 },
	{ "an empty transaction changes nothing", ";", "0", "", 0 },
	{ "a put creates", "+a:x;", "0", "a:x@1,1,1", 1 },
	{ "a put replaces", "+a:x; +a:y;", "0 0", "a:y@1,2,2", 2 },
	{ "an empty value is a value", "+a:;", "0", "a:@1,1,1", 1 },
	{ "one revision per transaction", "+a:x +b:y; +c:z;", "0 0",
	  "a:x@1,1,1 b:y@1,1,1 c:z@2,2,1", 2 },
	{ "delete", "+a:x; -a;", "0 0", "", 2 },
	{ "deleting what is absent is no change", "-a;", "0", "", 0 },
	{ "delete and put in one", "+a:x; -a +b:y;", "0 0", "b:y@2,2,1", 2 },
	{ "created anew after a delete", "+a:x; -a; +a:y;", "0 0 0", "a:y@3,3,1", 3 },
	{ "absent holds", "a=0 +a:x;", "0", "a:x@1,1,1", 1 },
	{ "absent does not hold", "+a:x; a=0 +a:y;", "0 conflict", "a:x@1,1,1", 1 },
	{ "revision holds", "+a:x; a=1 +a:y;", "0 0", "a:y@1,2,2", 2 },
	{ "revision is stale", "+a:x; +a:y; a=1 +a:z;", "0 0 conflict", "a:y@1,2,2", 2 },
	{ "revision of another key does not count", "+a:x; +b:x; a=2 +a:y;", "0 0 conflict",
	  "a:x@1,1,1 b:x@2,2,1", 2 },
	{ "revision of an absent key", "a=7 +a:x;", "conflict", "", 0 },
	{ "one of two compares fails: nothing is done", "+a:x; a=1 b=1 +a:y +c:y;", "0 conflict",
	  "a:x@1,1,1", 1 },
	{ "compare without a write", "+a:x; a=1;", "0 0", "a:x@1,1,1", 1 },
	{ "compare one key, write another", "+a:x; a=1 +b:y;", "0 0", "a:x@1,1,1 b:y@2,2,1", 2 },
	{ "delete under a compare", "+a:x; a=1 -a;", "0 0", "", 2 },
	{ "the same key twice", "+a:x +a:y;", "-22", "", 0 },
	{ "put and delete of the same key", "+a:x -a;", "-22", "", 0 },
	{ "a refused transaction does nothing at all", "+a:x +B:y;", "-22", "", 0 },
	{ "sorted by bytes", "+b:1 +a/2:1 +a.1:1 +a-1:1 +a:1 +0:1 +a_:1;", "0",
	  "0:1@1,1,1 a:1@1,1,1 a-1:1@1,1,1 a.1:1@1,1,1 a/2:1@1,1,1 a_:1@1,1,1 b:1@1,1,1", 1 },
};

struct key_case {
	const char *name;
	const char *key;
	bool valid;
};

static const struct key_case key_cases[] = {
	{ "all kinds of bytes", "container/web-1.a_b", true },
	{ "one byte", "a", true },
	{ "empty", "", false },
	{ "upper case", "Web", false },
	{ "space", "a b", false },
	{ "newline", "a\n", false },
	{ "brace, the end of ranges", "a{", false },
	{ "not ASCII", "caf\xc3\xa9", false },
	{ "SQL", "a';drop table entry", false },
};

struct watch_case {
	const char *name;
	const char *before; /* script before the watch is made */
	const char *prefix;
	uint64_t from;
	const char *after;
	const char *seen; /* REVISION+key:value or REVISION-key */
};

static const struct watch_case watch_cases[] = {
	{ "from now on", "+a:x;", "", 0, "+a:y; -a;", "2+a:y 3-a" },
	{ "from the beginning", "+a:x; +b:y; -a;", "", 1, "+c:z;", "1+a:x 2+b:y 3-a 4+c:z" },
	{ "from the middle", "+a:1; +a:2; +a:3;", "", 2, "", "2+a:2 3+a:3" },
	{ "from the next", "+a:1;", "", 2, "+a:2;", "2+a:2" },
	{ "from the future", "+a:1;", "", 4, "+a:2; +a:3; +a:4;", "4+a:4" },
	{ "a prefix", "+a/1:x +b/1:y;", "a/", 1, "+a/2:z; +a:n; +b/1:n;", "1+a/1:x 2+a/2:z" },
	{ "a prefix that is a whole key", "+a:x +aa:y +b:z;", "a", 1, "", "1+a:x 1+aa:y" },
	{ "order within a transaction", "", "", 0, "+c:1 +a:2 -b +b2:3;", "1+c:1 1+a:2 1+b2:3" },
	{ "conflicts are not seen", "", "", 0, "a=5 +a:x; +a:y;", "1+a:y" },
	{ "deletes of nothing are not seen", "", "", 0, "-a; +a:x;", "1+a:x" },
};

struct fixture {
	struct scratch scratch;
	struct store *store;
};

static int fixture_setup(void **state)
{
	struct fixture *fixture = ph_alloc(sizeof(*fixture));

	scratch_init(&fixture->scratch);
	*state = fixture;
	return store_open(scratch_file(&fixture->scratch, "state.db"), &fixture->store, NULL);
}

static int fixture_teardown(void **state)
{
	struct fixture *fixture = *state;

	store_close(fixture->store);
	scratch_fini(&fixture->scratch);
	free(fixture);
	return 0;
}

/* Start with an empty store: for the cases of a table. */
static void fixture_renew(struct fixture *fixture)
{
	store_close(fixture->store);
	fixture->store = NULL;
	assert_int_equal(unlink(scratch_file(&fixture->scratch, "state.db")), 0);
	assert_int_equal(store_open(fixture->scratch.file, &fixture->store, NULL), 0);
}

static void fixture_reopen(struct fixture *fixture)
{
	store_close(fixture->store);
	fixture->store = NULL;
	assert_int_equal(store_open(scratch_file(&fixture->scratch, "state.db"), &fixture->store,
				    NULL),
			 0);
}

static void append_result(struct str *results, int ret)
{
	str_append(results, results->length ? " " : "");
	if (ret == STORE_CONFLICT)
		str_append(results, "conflict");
	else
		str_appendf(results, "%d", ret);
}

/* Run a script's transactions; results may be NULL: then all must succeed. */
static void run_script(struct store *store, const char *script, struct str *results)
{
	PH_AUTO_FREE char *copy = ph_strdup(script);
	struct store_compare compares[8];
	struct store_operation operations[8];
	size_t compare_count = 0, operation_count = 0;
	char *rest = copy, *word;

	while ((word = strsep(&rest, " "))) {
		bool last = text_has_suffix(word, ";");
		char *value;

		if (last)
			word[strlen(word) - 1] = '\0';
		if (word[0] == '+') {
			value = strchr(word, ':');
			*value++ = '\0';
			operations[operation_count++] = (struct store_operation){ STORE_PUT,
										  word + 1, value,
										  strlen(value) };
		} else if (word[0] == '-') {
			operations[operation_count++] = (struct store_operation){
				.type = STORE_DELETE, .key = word + 1
			};
		} else if ((value = strchr(word, '='))) {
			*value++ = '\0';
			compares[compare_count++] = (struct store_compare){
				word, strtoull(value, NULL, 10)
			};
		}
		if (last) {
			int ret = store_commit(store, compares, compare_count, operations,
					       operation_count, NULL, NULL);

			if (results)
				append_result(results, ret);
			compare_count = operation_count = 0;
		}
	}
}

static char *dump(struct store *store, const char *prefix)
{
	STORE_AUTO_LIST struct store_list list = { 0 };
	struct str text = STR_INIT;

	assert_int_equal(store_list(store, prefix, &list, NULL), 0);
	assert_int_equal(list.revision, store_revision(store));
	for (size_t i = 0; i < list.count; i++)
		str_appendf(&text, "%s%s:%.*s@%llu,%llu,%llu", i ? " " : "", list.entries[i].key,
			    (int)list.entries[i].length, (const char *)list.entries[i].value,
			    (unsigned long long)list.entries[i].create_revision,
			    (unsigned long long)list.entries[i].mod_revision,
			    (unsigned long long)list.entries[i].version);
	return str_take(&text);
}

static void assert_dump(struct store *store, const char *prefix, const char *expected)
{
	PH_AUTO_FREE char *entries = dump(store, prefix);

	assert_string_equal(entries, expected);
}

static void transactions_follow_the_table(void **state)
{
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_LENGTH(transaction_cases); i++) {
		const struct transaction_case *row = &transaction_cases[i];
		PH_AUTO_STR struct str results = STR_INIT;

		print_message("# %s\n", row->name);
		fixture_renew(fixture);
		run_script(fixture->store, row->script, &results);
		assert_string_equal(str_text(&results), row->results);
		assert_dump(fixture->store, "", row->entries);
		assert_int_equal(store_revision(fixture->store), row->revision);
		fixture_reopen(fixture);
		assert_dump(fixture->store, "", row->entries);
		assert_int_equal(store_revision(fixture->store), row->revision);
	}
}

static void keys_follow_the_table(void **state)
{
	struct fixture *fixture = *state;
	STORE_AUTO_ENTRY struct store_entry entry = { 0 };

	for (size_t i = 0; i < ARRAY_LENGTH(key_cases); i++) {
		const struct key_case *row = &key_cases[i];
		struct ph_error error = { 0 };
		int expected = row->valid ? 0 : -EINVAL;

		print_message("# %s\n", row->name);
		assert_int_equal(store_put(fixture->store, row->key, "v", 1, NULL, &error),
				 expected);
		assert_int_equal(store_get(fixture->store, row->key, &entry, NULL), expected);
		store_entry_fini(&entry);
		assert_int_equal(error_is_set(&error), !row->valid);
		assert_int_equal(store_delete(fixture->store, row->key, NULL, NULL), expected);
	}
}

static void sizes_have_limits(void **state)
{
	struct fixture *fixture = *state;
	STORE_AUTO_ENTRY struct store_entry entry = { 0 };
	PH_AUTO_FREE char *value = ph_alloc(STORE_VALUE_MAXIMUM + 1);
	struct store_operation operations[STORE_OPERATIONS_MAXIMUM + 1];
	char keys[STORE_OPERATIONS_MAXIMUM + 1][8];
	char key[STORE_KEY_MAXIMUM + 2];

	memset(value, 'v', STORE_VALUE_MAXIMUM + 1);
	assert_int_equal(store_put(fixture->store, "a", value, STORE_VALUE_MAXIMUM, NULL, NULL), 0);
	assert_int_equal(store_get(fixture->store, "a", &entry, NULL), 0);
	assert_int_equal(entry.length, STORE_VALUE_MAXIMUM);
	assert_memory_equal(entry.value, value, STORE_VALUE_MAXIMUM);
	assert_int_equal(store_put(fixture->store, "a", value, STORE_VALUE_MAXIMUM + 1, NULL, NULL),
			 -EMSGSIZE);

	memset(key, 'k', sizeof(key));
	key[STORE_KEY_MAXIMUM + 1] = '\0';
	assert_int_equal(store_put(fixture->store, key, "", 0, NULL, NULL), -EINVAL);
	key[STORE_KEY_MAXIMUM] = '\0';
	assert_int_equal(store_put(fixture->store, key, "", 0, NULL, NULL), 0);

	for (size_t i = 0; i < ARRAY_LENGTH(operations); i++) {
		snprintf(keys[i], sizeof(keys[i]), "k%zu", i);
		operations[i] = (struct store_operation){ STORE_PUT, keys[i], "v", 1 };
	}
	assert_int_equal(store_commit(fixture->store, NULL, 0, operations,
				      STORE_OPERATIONS_MAXIMUM + 1, NULL, NULL),
			 -EMSGSIZE);
	assert_int_equal(store_commit(fixture->store, NULL, 0, operations, STORE_OPERATIONS_MAXIMUM,
				      NULL, NULL),
			 0);
}

static void prefixes_select(void **state)
{
	struct fixture *fixture = *state;

	run_script(fixture->store, "+container/a:1 +container/b:2 +containerx:3 +operation/1:4;",
		   NULL);
	assert_dump(fixture->store, "container/", "container/a:1@1,1,1 container/b:2@1,1,1");
	assert_dump(fixture->store, "container/b", "container/b:2@1,1,1");
	assert_dump(fixture->store, "operation/", "operation/1:4@1,1,1");
	assert_dump(fixture->store, "z", "");
}

static void outcomes_are_told(void **state)
{
	struct fixture *fixture = *state;
	STORE_AUTO_ENTRY struct store_entry entry = { 0 };
	uint64_t revision = 99;

	assert_int_equal(store_get(fixture->store, "a", &entry, NULL), STORE_ABSENT);
	assert_null(entry.key);
	assert_int_equal(store_delete(fixture->store, "a", &revision, NULL), STORE_ABSENT);
	assert_int_equal(revision, 0);
	assert_int_equal(store_put(fixture->store, "a", "x", 1, &revision, NULL), 0);
	assert_int_equal(revision, 1);
	assert_int_equal(store_delete(fixture->store, "a", &revision, NULL), 0);
	assert_int_equal(revision, 2);
}

static void bytes_are_bytes(void **state)
{
	struct fixture *fixture = *state;
	STORE_AUTO_ENTRY struct store_entry entry = { 0 };
	static const uint8_t bytes[] = { 0, 255, 'a', 0, '\'' };

	assert_int_equal(store_put(fixture->store, "a", bytes, sizeof(bytes), NULL, NULL), 0);
	assert_int_equal(store_get(fixture->store, "a", &entry, NULL), 0);
	assert_int_equal(entry.length, sizeof(bytes));
	assert_memory_equal(entry.value, bytes, sizeof(bytes));
}

/* What a watch has seen, and what it does at a given call. */
struct witness {
	struct store *store;
	struct store_watch *watch;
	struct store_watch *other; /* cancelled at the trigger */
	struct str seen;
	size_t calls;
	size_t trigger;          /* the 1-based call at which to act; 0: never */
	const char *script;      /* run at the trigger */
	bool cancel;             /* itself at the trigger */
	struct witness *watcher; /* starts to watch from 1 at the trigger */
};

static void witness_changed(void *user, const struct store_change *change)
{
	struct witness *witness = user;

	assert_int_equal(change->deleted, change->version == 0);
	str_appendf(&witness->seen, "%s%llu%s%s", witness->calls ? " " : "",
		    (unsigned long long)change->revision, change->deleted ? "-" : "+", change->key);
	if (!change->deleted)
		str_appendf(&witness->seen, ":%.*s", (int)change->length,
			    (const char *)change->value);
	if (++witness->calls != witness->trigger)
		return;
	if (witness->script)
		run_script(witness->store, witness->script, NULL);
	if (witness->cancel)
		store_watch_cancel(witness->watch);
	if (witness->watcher)
		assert_int_equal(store_watch(witness->store, "", 1, witness_changed,
					     witness->watcher, &witness->watcher->watch, NULL),
				 0);
	store_watch_cancel(witness->other);
	witness->other = NULL;
}

static int witness_watch(struct witness *witness, struct store *store, const char *prefix,
			 uint64_t from)
{
	witness->store = store;
	return store_watch(store, prefix, from, witness_changed, witness, &witness->watch, NULL);
}

static void watches_follow_the_table(void **state)
{
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_LENGTH(watch_cases); i++) {
		const struct watch_case *row = &watch_cases[i];
		struct witness witness = { 0 };

		print_message("# %s\n", row->name);
		fixture_renew(fixture);
		run_script(fixture->store, row->before, NULL);
		assert_int_equal(witness_watch(&witness, fixture->store, row->prefix, row->from),
				 0);
		run_script(fixture->store, row->after, NULL);
		assert_string_equal(str_text(&witness.seen), row->seen);
		store_watch_cancel(witness.watch);
		run_script(fixture->store, "+zz:late;", NULL);
		assert_string_equal(str_text(&witness.seen), row->seen);
		str_fini(&witness.seen);
	}
}

static void watch_sees_long_histories(void **state)
{
	struct fixture *fixture = *state;
	struct witness witness = { 0 };
	PH_AUTO_STR struct str expected = STR_INIT;

	for (int i = 1; i <= 100; i++) {
		char value[8];

		snprintf(value, sizeof(value), "%d", i);
		assert_int_equal(store_put(fixture->store, "a", value, strlen(value), NULL, NULL),
				 0);
		str_appendf(&expected, "%s%d+a:%d", i > 1 ? " " : "", i, i);
	}
	assert_int_equal(witness_watch(&witness, fixture->store, "", 1), 0);
	assert_string_equal(str_text(&witness.seen), str_text(&expected));
	str_fini(&witness.seen);
}

static void watcher_may_commit(void **state)
{
	struct fixture *fixture = *state;
	struct witness writer = { .trigger = 1, .script = "+b:2; +a:3;" };
	struct witness reader = { 0 };

	assert_int_equal(witness_watch(&writer, fixture->store, "", 0), 0);
	assert_int_equal(witness_watch(&reader, fixture->store, "", 0), 0);
	run_script(fixture->store, "+a:1 +c:1;", NULL);
	assert_string_equal(str_text(&writer.seen), "1+a:1 1+c:1 2+b:2 3+a:3");
	assert_string_equal(str_text(&reader.seen), "1+a:1 1+c:1 2+b:2 3+a:3");
	str_fini(&writer.seen);
	str_fini(&reader.seen);
}

static void watcher_may_cancel_itself(void **state)
{
	struct fixture *fixture = *state;
	struct witness witness = { .trigger = 2, .cancel = true };

	assert_int_equal(witness_watch(&witness, fixture->store, "", 0), 0);
	run_script(fixture->store, "+a:1; +a:2 +b:2 +c:2; +a:3;", NULL);
	assert_string_equal(str_text(&witness.seen), "1+a:1 2+a:2");
	str_fini(&witness.seen);
}

static void watcher_may_cancel_another(void **state)
{
	struct fixture *fixture = *state;
	struct witness first = { .trigger = 1 }, second = { 0 };

	assert_int_equal(witness_watch(&first, fixture->store, "", 0), 0);
	assert_int_equal(witness_watch(&second, fixture->store, "", 0), 0);
	first.other = second.watch;
	run_script(fixture->store, "+a:1; +a:2;", NULL);
	assert_string_equal(str_text(&first.seen), "1+a:1 2+a:2");
	assert_string_equal(str_text(&second.seen), "");
	str_fini(&first.seen);
	str_fini(&second.seen);
}

static void watcher_may_watch(void **state)
{
	struct fixture *fixture = *state;
	struct witness late = { 0 };
	struct witness first = { .trigger = 2, .watcher = &late };

	late.store = fixture->store;
	assert_int_equal(witness_watch(&first, fixture->store, "", 0), 0);
	run_script(fixture->store, "+a:1; +a:2; +a:3;", NULL);
	assert_string_equal(str_text(&late.seen), "1+a:1 2+a:2 3+a:3");
	str_fini(&first.seen);
	str_fini(&late.seen);
}

static void cancelled_before_it_began(void **state)
{
	struct fixture *fixture = *state;
	struct witness witness = { .trigger = 1, .cancel = true };

	run_script(fixture->store, "+a:1; +a:2;", NULL);
	assert_int_equal(witness_watch(&witness, fixture->store, "", 1), 0);
	assert_null(witness.watch);
	assert_string_equal(str_text(&witness.seen), "1+a:1");
	str_fini(&witness.seen);
}

static void compaction_forgets_changes_only(void **state)
{
	struct fixture *fixture = *state;
	struct witness witness = { 0 };

	run_script(fixture->store, "+a:1; +a:2; +b:3;", NULL);
	assert_int_equal(store_compact(fixture->store, 2, NULL), 0);
	assert_dump(fixture->store, "", "a:2@1,2,2 b:3@3,3,1");
	fixture_reopen(fixture);
	assert_int_equal(witness_watch(&witness, fixture->store, "", 2), STORE_COMPACTED);
	assert_null(witness.watch);
	assert_int_equal(witness_watch(&witness, fixture->store, "", 3), 0);
	assert_string_equal(str_text(&witness.seen), "3+b:3");
	str_fini(&witness.seen);
}

static void compaction_spares_the_future(void **state)
{
	struct fixture *fixture = *state;
	struct witness witness = { 0 };

	run_script(fixture->store, "+a:1; +a:2;", NULL);
	assert_int_equal(store_compact(fixture->store, 1000, NULL), 0);
	run_script(fixture->store, "+a:3;", NULL);
	assert_int_equal(witness_watch(&witness, fixture->store, "", 3), 0);
	assert_string_equal(str_text(&witness.seen), "3+a:3");
	str_fini(&witness.seen);
}

/* A watcher that is in the middle of its changes compacts all of them away: it still sees them. */
struct compactor {
	struct store *store;
	size_t calls;
};

static void compactor_changed(void *user, const struct store_change *change)
{
	struct compactor *compactor = user;

	if (++compactor->calls == 1)
		assert_int_equal(store_compact(compactor->store, UINT64_MAX, NULL), 0);
}

static void compaction_spares_live_watches(void **state)
{
	struct fixture *fixture = *state;
	struct compactor compactor = { .store = fixture->store };
	struct store_watch *watch = NULL;

	for (int i = 0; i < 50; i++)
		run_script(fixture->store, "+a:1;", NULL);
	assert_int_equal(store_watch(fixture->store, "", 1, compactor_changed, &compactor, &watch,
				     NULL),
			 0);
	assert_int_equal(compactor.calls, 50);
}

static void history_is_bounded(void **state)
{
	struct fixture *fixture = *state;
	struct witness witness = { 0 };
	uint64_t revision = 0;

	while (revision < STORE_HISTORY + 200)
		assert_int_equal(store_put(fixture->store, "a", "x", 1, &revision, NULL), 0);
	assert_int_equal(witness_watch(&witness, fixture->store, "", 1), STORE_COMPACTED);
	assert_int_equal(witness_watch(&witness, fixture->store, "", revision - STORE_HISTORY + 1),
			 0);
	assert_int_equal(witness.calls, STORE_HISTORY);
	str_fini(&witness.seen);
}

/* Run SQL on the closed file, as another program or version would. */
static void alter_file(struct fixture *fixture, const char *sql)
{
	sqlite3 *handle = NULL;

	store_close(fixture->store);
	fixture->store = NULL;
	assert_int_equal(sqlite3_open(scratch_file(&fixture->scratch, "state.db"), &handle), 0);
	assert_int_equal(sqlite3_exec(handle, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(handle), SQLITE_OK);
}

static void assert_open_fails(struct fixture *fixture, const char *path, int code, const char *why)
{
	struct ph_error error = { 0 };

	store_close(fixture->store);
	fixture->store = NULL;
	assert_int_equal(store_open(path, &fixture->store, &error), code);
	assert_null(fixture->store);
	assert_int_equal(error.code, code);
	assert_string_equal(error.what, "open the state store");
	assert_string_equal(error.where, path);
	if (!strstr(error.why, why))
		fail_msg("\"%s\" is not in \"%s\"", why, error.why);
	assert_true(error.remedy[0]);
}

/* All bytes of a file; the caller frees them. */
static char *read_bytes(const char *path, size_t *ret_length)
{
	FILE *file = fopen(path, "r");
	char *bytes = ph_alloc(1 << 20);

	*ret_length = file ? fread(bytes, 1, 1 << 20, file) : 0;
	if (file)
		fclose(file);
	return bytes;
}

/* Refused, and not a byte of it changed: neither its journal nor what is in it is ours to decide about. */
static void newer_schema_is_refused(void **state)
{
	static const char *const journals[] = { "PRAGMA journal_mode = DELETE",
						"PRAGMA journal_mode = WAL" };
	struct fixture *fixture = *state;
	PH_AUTO_FREE char *path = ph_strdup(scratch_file(&fixture->scratch, "state.db"));

	run_script(fixture->store, "+a:1;", NULL);
	for (size_t i = 0; i < 2; i++) {
		PH_AUTO_FREE char *before = NULL, *after = NULL;
		size_t length, length_after;

		alter_file(fixture, "PRAGMA user_version = 4");
		alter_file(fixture, journals[i]);
		before = read_bytes(path, &length);
		assert_open_fails(fixture, path, -EPROTO, "a newer Phoenix");
		after = read_bytes(path, &length_after);
		assert_int_equal(length, length_after);
		assert_memory_equal(before, after, length);
		alter_file(fixture, "PRAGMA user_version = 3");
		fixture_reopen(fixture);
		assert_dump(fixture->store, "", "a:1@1,1,1");
	}
}

static int user_version(struct fixture *fixture)
{
	sqlite3 *handle = NULL;
	sqlite3_stmt *statement = NULL;
	int version;

	store_close(fixture->store);
	fixture->store = NULL;
	assert_int_equal(sqlite3_open(scratch_file(&fixture->scratch, "state.db"), &handle), 0);
	assert_int_equal(sqlite3_prepare_v2(handle, "PRAGMA user_version", -1, &statement, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	version = sqlite3_column_int(statement, 0);
	sqlite3_finalize(statement);
	assert_int_equal(sqlite3_close(handle), SQLITE_OK);
	return version;
}

/* A newer phoenixd takes over what an older one has left; the older one then refuses it. */
static void older_schema_is_taken_over(void **state)
{
	struct fixture *fixture = *state;

	run_script(fixture->store, "+a:1;", NULL);
	alter_file(fixture, "PRAGMA user_version = 1");
	fixture_reopen(fixture);
	assert_dump(fixture->store, "", "a:1@1,1,1");
	assert_int_equal(user_version(fixture), 3);
	fixture_reopen(fixture);
	assert_dump(fixture->store, "", "a:1@1,1,1");
	alter_file(fixture, "PRAGMA user_version = 0");
	assert_open_fails(fixture, scratch_file(&fixture->scratch, "state.db"), -EUCLEAN,
			  "no schema version");
}

static void an_upgrade_is_whole_or_not_at_all(void **state)
{
	struct fixture *fixture = *state;
	const char *const good[] = { "CREATE TABLE two (x)", "CREATE TABLE three (x)" };
	const char *const bad[] = { "CREATE TABLE two (x)", "CREATE TABLE two (x)" };
	struct database_schema schema = { .application_id = 7, .version = 1,
					  .create = "CREATE TABLE one (x)" };
	PH_AUTO_FREE char *path = ph_strdup(scratch_file(&fixture->scratch, "other.db"));
	struct ph_error error = { 0 };
	struct database database;

	assert_int_equal(database_open(&database, path, &schema, &error), 0);
	database_close(&database);
	schema.version = 3;
	schema.upgrades = bad;
	assert_true(database_open(&database, path, &schema, &error) < 0);
	database_close(&database);
	if (!strstr(error.what, "upgrade from schema 1 to 3"))
		fail_msg("%s", error.what);
	schema.upgrades = good; /* the first step of the bad ones has left nothing */
	assert_int_equal(database_open(&database, path, &schema, &error), 0);
	assert_int_equal(database_run(&database, "INSERT INTO two VALUES (1);"
						 "INSERT INTO three VALUES (1)", &error), 0);
	database_close(&database);
}

static void foreign_database_is_refused(void **state)
{
	struct fixture *fixture = *state;

	alter_file(fixture, "PRAGMA application_id = 7");
	assert_open_fails(fixture, scratch_file(&fixture->scratch, "state.db"), -EUCLEAN,
			  "some other program's");
}

static void garbage_is_refused(void **state)
{
	struct fixture *fixture = *state;
	char garbage[8192];

	memset(garbage, 'g', sizeof(garbage));
	scratch_write(&fixture->scratch, "garbage.db", garbage, sizeof(garbage));
	assert_open_fails(fixture, scratch_file(&fixture->scratch, "garbage.db"), -EUCLEAN,
			  "not a database");
}

static void damage_is_found(void **state)
{
	struct fixture *fixture = *state;
	struct ph_error error = { 0 };
	STORE_AUTO_LIST struct store_list list = { 0 };
	FILE *file;
	int ret;

	for (int i = 0; i < 200; i++) {
		char key[16];

		snprintf(key, sizeof(key), "key/%d", i);
		store_put(fixture->store, key, key, strlen(key), NULL, NULL);
	}
	store_close(fixture->store);
	fixture->store = NULL;
	file = fopen(scratch_file(&fixture->scratch, "state.db"), "r+");
	fseek(file, 4096, SEEK_SET);
	for (int i = 0; i < 8192; i++)
		fputc(0x5a, file);
	fclose(file);
	ret = store_open(fixture->scratch.file, &fixture->store, &error);
	if (ret == 0)
		ret = store_list(fixture->store, "", &list, &error);
	assert_int_equal(ret, -EUCLEAN);
	assert_string_equal(error.where, fixture->scratch.file);
	assert_non_null(strstr(error.remedy, "backup"));
}

static void missing_directory_is_named(void **state)
{
	struct fixture *fixture = *state;

	assert_open_fails(fixture, scratch_file(&fixture->scratch, "none/state.db"), -ENOENT,
			  "No such file");
}

static void symlink_is_refused(void **state)
{
	struct fixture *fixture = *state;
	char target[320];

	store_close(fixture->store);
	fixture->store = NULL;
	strcpy(target, scratch_file(&fixture->scratch, "state.db"));
	assert_int_equal(symlink(target, scratch_file(&fixture->scratch, "link.db")), 0);
	assert_open_fails(fixture, fixture->scratch.file, -EACCES, "cannot be opened");
}

/* In a process of its own: SQLite's locks do not count within one process. */
static void second_process_is_refused(void **state)
{
	struct fixture *fixture = *state;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct store *second = NULL;
		struct ph_error error = { 0 };
		int ret = store_open(scratch_file(&fixture->scratch, "state.db"), &second, &error);

		_exit(ret == -EBUSY && strstr(error.remedy, "stop it first") ? 42 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 42);
	run_script(fixture->store, "+a:1;", NULL);
	assert_dump(fixture->store, "", "a:1@1,1,1");
}

static void file_is_private(void **state)
{
	struct fixture *fixture = *state;
	struct stat status;

	assert_int_equal(stat(scratch_file(&fixture->scratch, "state.db"), &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	run_script(fixture->store, "+a:1;", NULL);
	assert_int_equal(stat(scratch_file(&fixture->scratch, "state.db-wal"), &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
}

#define STORE_TEST(function)                                                                       \
	cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(transactions_follow_the_table),
		STORE_TEST(keys_follow_the_table),
		STORE_TEST(sizes_have_limits),
		STORE_TEST(prefixes_select),
		STORE_TEST(outcomes_are_told),
		STORE_TEST(bytes_are_bytes),
		STORE_TEST(watches_follow_the_table),
		STORE_TEST(watch_sees_long_histories),
		STORE_TEST(watcher_may_commit),
		STORE_TEST(watcher_may_cancel_itself),
		STORE_TEST(watcher_may_cancel_another),
		STORE_TEST(watcher_may_watch),
		STORE_TEST(cancelled_before_it_began),
		STORE_TEST(compaction_forgets_changes_only),
		STORE_TEST(compaction_spares_the_future),
		STORE_TEST(compaction_spares_live_watches),
		STORE_TEST(history_is_bounded),
		STORE_TEST(newer_schema_is_refused),
		STORE_TEST(older_schema_is_taken_over),
		STORE_TEST(an_upgrade_is_whole_or_not_at_all),
		STORE_TEST(foreign_database_is_refused),
		STORE_TEST(garbage_is_refused),
		STORE_TEST(damage_is_found),
		STORE_TEST(missing_directory_is_named),
		STORE_TEST(symlink_is_refused),
		STORE_TEST(second_process_is_refused),
		STORE_TEST(file_is_private),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
