/* The event log: cursors and gaps, group commit, filters, retention, live readers. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/events/events.h"
#include "controller/events/gap.h"
#include "tests/support/scratch.h"

struct gap_case {
	const char *name;
	uint64_t since, oldest, last;
	struct gap expected;
};

static const struct gap_case gap_cases[] = {
	{ "empty log, from the oldest", 0, 1, 0, { GAP_NONE, 1, 1 } },
	{ "empty log, from the first", 1, 1, 0, { GAP_NONE, 1, 1 } },
	{ "empty log, from the second", 2, 1, 0, { GAP_BEYOND_END, 2, 1 } },
	{ "from the oldest of a trimmed log", 0, 50, 99, { GAP_NONE, 50, 50 } },
	{ "the oldest by number", 50, 50, 99, { GAP_NONE, 50, 50 } },
	{ "one before the oldest", 49, 50, 99, { GAP_RETENTION, 49, 50 } },
	{ "from the first of a trimmed log", 1, 50, 99, { GAP_RETENTION, 1, 50 } },
	{ "in the middle", 70, 50, 99, { GAP_NONE, 70, 70 } },
	{ "the last", 99, 50, 99, { GAP_NONE, 99, 99 } },
	{ "the next to come", 100, 50, 99, { GAP_NONE, 100, 100 } },
	{ "one too far", 101, 50, 99, { GAP_BEYOND_END, 101, 100 } },
	{ "as far as possible", UINT64_MAX, 50, 99, { GAP_BEYOND_END, UINT64_MAX, 100 } },
};

/* A log of 20 events of which 10 are kept: 11..20; odd ones are web1's, even ones web2's. */
struct read_case {
	const char *name;
	uint64_t since;
	const char *container;
	size_t limit;
	const char *events; /* seqs; "gap(FROM-TO)@SEQ" */
	uint64_t next;
	bool caught_up;
};

static const struct read_case read_cases[] = {
	{ "all", 0, "", 100, "11 12 13 14 15 16 17 18 19 20", 21, true },
	{ "all, NULL for the filter", 0, NULL, 100, "11 12 13 14 15 16 17 18 19 20", 21, true },
	{ "limited", 0, "", 3, "11 12 13", 14, false },
	{ "limited to what there is", 0, "", 10, "11 12 13 14 15 16 17 18 19 20", 21, true },
	{ "go on", 14, "", 3, "14 15 16", 17, false },
	{ "the last one", 20, "", 3, "20", 21, true },
	{ "nothing new", 21, "", 3, "", 21, true },
	{ "filtered", 0, "web1", 100, "11 13 15 17 19", 21, true },
	{ "filtered and limited", 0, "web2", 2, "12 14", 15, false },
	{ "filter that nothing matches", 0, "web3", 2, "", 21, true },
	{ "a filter is no prefix", 0, "web", 2, "", 21, true },
	{ "behind retention", 5, "", 2, "gap(5-10)@10 11", 12, false },
	{ "behind by one", 10, "", 2, "gap(10-10)@10 11", 12, false },
	{ "behind with a filter", 1, "web2", 2, "gap(1-10)@10 12", 13, false },
	{ "behind with room for the gap only", 1, "", 1, "gap(1-10)@10", 11, false },
	{ "beyond the end", 500, "", 5, "gap(500-20)@20", 21, true },
	{ "no limit is a limit of one", 0, "", 0, "11", 12, false },
};

struct tail_case {
	const char *name;
	const char *container;
	uint64_t count;
	uint64_t since;
};

static const struct tail_case tail_cases[] = {
	{ "three of all", "", 3, 18 },
	{ "all of them", "", 10, 11 },
	{ "more than there are", "", UINT64_MAX, 11 },
	{ "none", "", 0, 21 },
	{ "two of web1", "web1", 2, 17 },
	{ "of a container without events", "web3", 2, 21 },
};

struct fixture {
	struct scratch scratch;
	struct events *events;
};

static void fixture_open(struct fixture *fixture, uint64_t retention)
{
	events_close(fixture->events);
	fixture->events = NULL;
	assert_int_equal(events_open(scratch_file(&fixture->scratch, "events.db"), retention,
				     &fixture->events, NULL),
			 0);
}

static int fixture_setup(void **state)
{
	struct fixture *fixture = ph_alloc(sizeof(*fixture));

	scratch_init(&fixture->scratch);
	*state = fixture;
	fixture_open(fixture, 0);
	return 0;
}

static int fixture_teardown(void **state)
{
	struct fixture *fixture = *state;

	events_close(fixture->events);
	scratch_fini(&fixture->scratch);
	free(fixture);
	return 0;
}

static int append(struct events *events, const char *container, const char *message,
		  uint64_t *ret_seq)
{
	Phoenix__Event event = PHOENIX__EVENT__INIT;

	event.type = (char *)"test.happened";
	event.container = (char *)container;
	event.message = (char *)message;
	return events_append(events, &event, ret_seq, NULL);
}

/* Append the next count events, odd seqs for web1, even ones for web2. */
static void append_many(struct events *events, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t next = events_last(events) + events_pending(events) + 1, seq = 0;

		assert_int_equal(append(events, next % 2 ? "web1" : "web2", "m", &seq), 0);
		assert_int_equal(seq, next);
	}
}

static const char *field(const Phoenix__Event *event, const char *key)
{
	for (size_t i = 0; i < event->n_fields; i++)
		if (text_equal(event->fields[i]->key, key))
			return event->fields[i]->value;
	fail_msg("no field %s", key);
	return NULL;
}

static void describe(struct str *text, Phoenix__Event *const *events, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		str_append(text, text->length ? " " : "");
		if (text_equal(events[i]->type, EVENTS_GAP))
			str_appendf(text, "gap(%s-%s)@", field(events[i], "from"),
				    field(events[i], "to"));
		str_appendf(text, "%" PRIu64, events[i]->seq);
	}
}

static void gaps_follow_the_table(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(gap_cases); i++) {
		const struct gap_case *row = &gap_cases[i];
		struct gap gap = gap_place(row->since, row->oldest, row->last);

		print_message("# %s\n", row->name);
		assert_int_equal(gap.kind, row->expected.kind);
		assert_int_equal(gap.from, row->expected.from);
		assert_int_equal(gap.start, row->expected.start);
	}
}

static void reads_follow_the_table(void **state)
{
	struct fixture *fixture = *state;

	fixture_open(fixture, 10);
	append_many(fixture->events, 20);
	assert_int_equal(events_flush(fixture->events, NULL), 0);
	for (size_t i = 0; i < ARRAY_LENGTH(read_cases); i++) {
		const struct read_case *row = &read_cases[i];
		EVENTS_AUTO_BATCH struct events_batch batch = { 0 };
		PH_AUTO_STR struct str text = STR_INIT;

		print_message("# %s\n", row->name);
		assert_int_equal(events_read(fixture->events, row->since, row->container,
					     row->limit, &batch, NULL),
				 0);
		describe(&text, batch.events, batch.count);
		assert_string_equal(str_text(&text), row->events);
		assert_int_equal(batch.next, row->next);
		assert_int_equal(batch.caught_up, row->caught_up);
		for (size_t j = 0; j < batch.count; j++)
			assert_string_equal(batch.events[j]->stream,
					    events_stream(fixture->events));
	}
}

static void tails_follow_the_table(void **state)
{
	struct fixture *fixture = *state;

	fixture_open(fixture, 10);
	append_many(fixture->events, 20);
	assert_int_equal(events_flush(fixture->events, NULL), 0);
	for (size_t i = 0; i < ARRAY_LENGTH(tail_cases); i++) {
		const struct tail_case *row = &tail_cases[i];
		uint64_t since = 0;

		print_message("# %s\n", row->name);
		assert_int_equal(events_tail(fixture->events, row->container, row->count, &since,
					     NULL),
				 0);
		assert_int_equal(since, row->since);
	}
}

static void an_event_comes_back_whole(void **state)
{
	struct fixture *fixture = *state;
	EVENTS_AUTO_BATCH struct events_batch batch = { 0 };
	Phoenix__Pair pair = PHOENIX__PAIR__INIT, *pairs[] = { &pair };
	Phoenix__Event event = PHOENIX__EVENT__INIT;

	pair.key = (char *)"driver";
	pair.value = (char *)"fuse-overlayfs";
	event.stream = (char *)"not ours";
	event.seq = 999;
	event.wall_ms = 1795467000000;
	event.monotonic_ms = 5;
	event.container = (char *)"web1";
	event.type = (char *)"operation.step";
	event.severity = PHOENIX__EVENT__SEVERITY__ERROR;
	event.reason = (char *)"NoSpace";
	event.message = (char *)"the disk is full";
	event.n_fields = 1;
	event.fields = pairs;
	event.operation = (char *)"op-1";
	assert_int_equal(events_append(fixture->events, &event, NULL, NULL), 0);
	assert_int_equal(append(fixture->events, NULL, NULL, NULL), 0);
	assert_int_equal(events_flush(fixture->events, NULL), 0);

	assert_int_equal(events_read(fixture->events, 0, "", 9, &batch, NULL), 0);
	assert_int_equal(batch.count, 2);
	assert_string_equal(batch.events[0]->stream, events_stream(fixture->events));
	assert_int_equal(batch.events[0]->seq, 1);
	assert_int_equal(batch.events[0]->wall_ms, 1795467000000);
	assert_int_equal(batch.events[0]->monotonic_ms, 5);
	assert_string_equal(batch.events[0]->container, "web1");
	assert_string_equal(batch.events[0]->type, "operation.step");
	assert_int_equal(batch.events[0]->severity, PHOENIX__EVENT__SEVERITY__ERROR);
	assert_string_equal(batch.events[0]->reason, "NoSpace");
	assert_string_equal(batch.events[0]->message, "the disk is full");
	assert_string_equal(field(batch.events[0], "driver"), "fuse-overlayfs");
	assert_string_equal(batch.events[0]->operation, "op-1");
	assert_true(batch.events[1]->wall_ms > 0);
	assert_true(batch.events[1]->monotonic_ms > 0);
}

static void nothing_is_seen_before_the_flush(void **state)
{
	struct fixture *fixture = *state;
	EVENTS_AUTO_BATCH struct events_batch batch = { 0 };

	append_many(fixture->events, 3);
	assert_int_equal(events_pending(fixture->events), 3);
	assert_int_equal(events_last(fixture->events), 0);
	assert_int_equal(events_read(fixture->events, 1, "", 9, &batch, NULL), 0);
	assert_int_equal(batch.count, 0);
	assert_true(batch.caught_up);
	assert_int_equal(events_flush(fixture->events, NULL), 0);
	assert_int_equal(events_pending(fixture->events), 0);
	assert_int_equal(events_last(fixture->events), 3);
}

static void the_log_outlives_its_process(void **state)
{
	struct fixture *fixture = *state;
	char stream[EVENTS_STREAM_LENGTH + 1];

	assert_int_equal(strlen(events_stream(fixture->events)), EVENTS_STREAM_LENGTH);
	strcpy(stream, events_stream(fixture->events));
	append_many(fixture->events, 3);
	assert_int_equal(events_flush(fixture->events, NULL), 0);
	fixture_open(fixture, 0);
	assert_string_equal(events_stream(fixture->events), stream);
	assert_int_equal(events_last(fixture->events), 3);
	assert_int_equal(events_oldest(fixture->events), 1);
	append_many(fixture->events, 1);
	assert_int_equal(events_flush(fixture->events, NULL), 0);
	assert_int_equal(events_last(fixture->events), 4);
}

static void a_new_log_is_a_new_stream(void **state)
{
	struct fixture *fixture = *state;
	char stream[EVENTS_STREAM_LENGTH + 1];

	strcpy(stream, events_stream(fixture->events));
	events_close(fixture->events);
	fixture->events = NULL;
	assert_int_equal(unlink(scratch_file(&fixture->scratch, "events.db")), 0);
	fixture_open(fixture, 0);
	assert_string_not_equal(events_stream(fixture->events), stream);
}

static void retention_keeps_at_least_the_newest(void **state)
{
	struct fixture *fixture = *state;

	fixture_open(fixture, 100);
	for (uint64_t last = 1; last <= 1000; last++) {
		append_many(fixture->events, 1);
		assert_int_equal(events_flush(fixture->events, NULL), 0);
		uint64_t kept = last - events_oldest(fixture->events) + 1;

		assert_in_range(kept, last < 100 ? last : 100, 106);
	}
	fixture_open(fixture, 100);
	assert_int_equal(events_last(fixture->events), 1000);
	assert_in_range(events_oldest(fixture->events), 895, 901);
}

static void a_sparse_filter_is_read_in_bounded_steps(void **state)
{
	struct fixture *fixture = *state;
	uint64_t cursor = 0;
	size_t found = 0, steps = 0;
	bool caught_up = false;

	append_many(fixture->events, 5000);
	assert_int_equal(append(fixture->events, "rare", "", NULL), 0);
	assert_int_equal(events_flush(fixture->events, NULL), 0);
	while (!caught_up) {
		EVENTS_AUTO_BATCH struct events_batch batch = { 0 };

		assert_int_equal(events_read(fixture->events, cursor, "rare", 10, &batch, NULL), 0);
		assert_true(batch.next > cursor);
		cursor = batch.next;
		caught_up = batch.caught_up;
		found += batch.count;
		steps++;
	}
	assert_int_equal(found, 1);
	assert_int_equal(steps, 2);
}

static void too_large_an_event_is_refused(void **state)
{
	struct fixture *fixture = *state;
	PH_AUTO_FREE char *message = ph_alloc(EVENTS_EVENT_MAXIMUM + 1);
	uint64_t seq = 77;

	memset(message, 'x', EVENTS_EVENT_MAXIMUM);
	assert_int_equal(append(fixture->events, "web1", message, &seq), -EMSGSIZE);
	assert_int_equal(seq, 77);
	message[EVENTS_EVENT_MAXIMUM - 200] = '\0';
	assert_int_equal(append(fixture->events, "web1", message, &seq), 0);
	assert_int_equal(seq, 1);
}

static void dropped_events_are_counted(void **state)
{
	struct fixture *fixture = *state;
	EVENTS_AUTO_BATCH struct events_batch batch = { 0 };

	append_many(fixture->events, EVENTS_PENDING_MAXIMUM);
	for (int i = 0; i < 3; i++)
		assert_int_equal(append(fixture->events, "web1", "", NULL), -ENOBUFS);
	assert_int_equal(events_flush(fixture->events, NULL), 0);
	assert_int_equal(events_last(fixture->events), EVENTS_PENDING_MAXIMUM + 1);
	assert_int_equal(events_read(fixture->events, events_last(fixture->events), "", 2, &batch,
				     NULL),
			 0);
	assert_int_equal(batch.count, 1);
	assert_string_equal(batch.events[0]->type, "events.dropped");
	assert_string_equal(field(batch.events[0], "count"), "3");
	assert_int_equal(append(fixture->events, "web1", "", NULL), 0);
}

/* A live reader, and what it does at its first call. */
struct reader {
	struct events *events;
	struct events_subscription *subscription;
	struct events_subscription *victim; /* unsubscribed at the first call */
	struct reader *late;                /* subscribed at the first call */
	bool flush;                         /* append and flush at the first call */
	struct str seen;
	size_t calls;
};

static void reader_live(void *user, Phoenix__Event *const *events, size_t count)
{
	struct reader *reader = user;

	assert_in_range(count, 1, EVENTS_BATCH);
	describe(&reader->seen, events, count);
	if (++reader->calls > 1)
		return;
	if (reader->flush) {
		append_many(reader->events, 2);
		assert_int_equal(events_flush(reader->events, NULL), 0);
	}
	if (reader->late)
		reader->late->subscription = events_subscribe(reader->events, "", reader_live,
							      reader->late);
	events_unsubscribe(reader->victim);
}

static void reader_subscribe(struct reader *reader, struct events *events, const char *container)
{
	reader->events = events;
	reader->subscription = events_subscribe(events, container, reader_live, reader);
}

static void assert_seen(struct reader *reader, const char *expected)
{
	assert_string_equal(str_text(&reader->seen), expected);
	str_fini(&reader->seen);
}

static void live_readers_see_commits_only(void **state)
{
	struct fixture *fixture = *state;
	struct reader all = { 0 }, one = { 0 };

	append_many(fixture->events, 1);
	assert_int_equal(events_flush(fixture->events, NULL), 0);
	reader_subscribe(&all, fixture->events, NULL);
	reader_subscribe(&one, fixture->events, "web2");
	append_many(fixture->events, 3);
	assert_int_equal(all.calls, 0);
	assert_int_equal(events_flush(fixture->events, NULL), 0);
	assert_seen(&all, "2 3 4");
	assert_seen(&one, "2 4");
	events_unsubscribe(all.subscription);
	append_many(fixture->events, 2);
	assert_int_equal(events_flush(fixture->events, NULL), 0);
	assert_seen(&all, "");
	assert_seen(&one, "6");
}

static void large_commits_come_in_batches(void **state)
{
	struct fixture *fixture = *state;
	struct reader reader = { 0 };

	reader_subscribe(&reader, fixture->events, "");
	append_many(fixture->events, 3 * EVENTS_BATCH + 1);
	assert_int_equal(events_flush(fixture->events, NULL), 0);
	assert_int_equal(reader.calls, 4);
	str_fini(&reader.seen);
}

static void a_reader_may_flush(void **state)
{
	struct fixture *fixture = *state;
	struct reader first = { .flush = true }, second = { 0 };

	reader_subscribe(&first, fixture->events, "");
	reader_subscribe(&second, fixture->events, "");
	append_many(fixture->events, 2);
	assert_int_equal(events_flush(fixture->events, NULL), 0);
	assert_seen(&first, "1 2 3 4");
	assert_seen(&second, "1 2 3 4");
}

static void a_reader_may_unsubscribe(void **state)
{
	struct fixture *fixture = *state;
	struct reader first = { 0 }, second = { 0 };

	reader_subscribe(&first, fixture->events, "");
	reader_subscribe(&second, fixture->events, "");
	first.victim = second.subscription;
	append_many(fixture->events, 1);
	assert_int_equal(events_flush(fixture->events, NULL), 0);
	assert_seen(&second, "");
	append_many(fixture->events, 1);
	assert_int_equal(events_flush(fixture->events, NULL), 0);
	assert_seen(&first, "1 2");
	assert_seen(&second, "");
}

static void a_reader_may_subscribe_another(void **state)
{
	struct fixture *fixture = *state;
	struct reader late = { .events = fixture->events };
	struct reader first = { .late = &late };

	reader_subscribe(&first, fixture->events, "");
	append_many(fixture->events, EVENTS_BATCH + 1);
	assert_int_equal(events_flush(fixture->events, NULL), 0);
	assert_seen(&late, "");
	append_many(fixture->events, 1);
	assert_int_equal(events_flush(fixture->events, NULL), 0);
	assert_seen(&late, "66");
	str_fini(&first.seen);
}

static void closing_commits_what_is_pending(void **state)
{
	struct fixture *fixture = *state;
	struct reader reader = { 0 };

	reader_subscribe(&reader, fixture->events, "");
	append_many(fixture->events, 2);
	fixture_open(fixture, 0);
	assert_int_equal(reader.calls, 0);
	assert_int_equal(events_last(fixture->events), 2);
}

static void a_missing_directory_is_named(void **state)
{
	struct fixture *fixture = *state;
	struct events *events = NULL;
	struct ph_error error = { 0 };

	assert_int_equal(events_open(scratch_file(&fixture->scratch, "none/events.db"), 0, &events,
				     &error),
			 -ENOENT);
	assert_string_equal(error.what, "open the event log");
	assert_string_equal(error.where, fixture->scratch.file);
}

static void append_claim(struct events *events, const char *container, const char *origin,
			 uint64_t seq)
{
	Phoenix__Event event = PHOENIX__EVENT__INIT;

	event.type = (char *)"claim.test";
	event.container = (char *)container;
	event.origin_stream = (char *)origin;
	event.origin_seq = seq;
	assert_int_equal(events_append(events, &event, NULL, NULL), 0);
}

static void expect_origin(struct events *events, const char *container, const char *origin,
			  uint64_t seq)
{
	uint64_t found = UINT64_MAX;
	char text[32];

	assert_int_equal(events_origin(events, container, text, sizeof(text), &found, NULL), 0);
	assert_string_equal(text, origin);
	assert_int_equal(found, seq);
}

/* Committed with the events, one for each container, and kept when they go. */
static void the_log_knows_how_far_claims_have_come(void **state)
{
	struct fixture *fixture = *state;

	expect_origin(fixture->events, "web1", "", 0);
	append_claim(fixture->events, "web1", "s1", 7);
	append_claim(fixture->events, "web2", "s2", 1);
	append_claim(fixture->events, "web1", "s1", 8);
	append_many(fixture->events, 1);
	expect_origin(fixture->events, "web1", "", 0);
	assert_int_equal(events_flush(fixture->events, NULL), 0);
	expect_origin(fixture->events, "web1", "s1", 8);
	append_claim(fixture->events, "web1", "s3", 1);
	fixture_open(fixture, 10); /* commits */
	append_many(fixture->events, 40);
	assert_int_equal(events_flush(fixture->events, NULL), 0);
	assert_true(events_oldest(fixture->events) > 5);
	expect_origin(fixture->events, "web1", "s3", 1);
	expect_origin(fixture->events, "web2", "s2", 1);
}

static void append_noting(struct events *events, const char *container, const char *note)
{
	Phoenix__Event event = PHOENIX__EVENT__INIT;

	event.type = (char *)"condition.changed";
	event.container = (char *)container;
	assert_int_equal(events_append_noting(events, &event, note, NULL, NULL), 0);
}

static void expect_note(struct events *events, const char *container, const char *expected)
{
	char *note = NULL;

	assert_int_equal(events_note(events, container, &note, NULL), 0);
	assert_string_equal(note, expected);
	free(note);
}

/* Committed with its event, one for each container, and kept when that goes. */
static void a_note_outlives_its_event(void **state)
{
	struct fixture *fixture = *state;

	expect_note(fixture->events, "web1", "");
	append_noting(fixture->events, "web1", "a");
	append_noting(fixture->events, "web2", "other");
	append_noting(fixture->events, "web1", "b");
	append_noting(fixture->events, "web1", NULL); /* leaves it */
	expect_note(fixture->events, "web1", "");
	assert_int_equal(events_flush(fixture->events, NULL), 0);
	expect_note(fixture->events, "web1", "b");
	fixture_open(fixture, 10);
	append_many(fixture->events, 40);
	assert_int_equal(events_flush(fixture->events, NULL), 0);
	assert_true(events_oldest(fixture->events) > 4);
	expect_note(fixture->events, "web1", "b");
	expect_note(fixture->events, "web2", "other");
}

#define EVENTS_TEST(function)                                                                      \
	cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gaps_follow_the_table),
		EVENTS_TEST(reads_follow_the_table),
		EVENTS_TEST(tails_follow_the_table),
		EVENTS_TEST(an_event_comes_back_whole),
		EVENTS_TEST(nothing_is_seen_before_the_flush),
		EVENTS_TEST(the_log_outlives_its_process),
		EVENTS_TEST(a_new_log_is_a_new_stream),
		EVENTS_TEST(retention_keeps_at_least_the_newest),
		EVENTS_TEST(a_sparse_filter_is_read_in_bounded_steps),
		EVENTS_TEST(too_large_an_event_is_refused),
		EVENTS_TEST(dropped_events_are_counted),
		EVENTS_TEST(live_readers_see_commits_only),
		EVENTS_TEST(large_commits_come_in_batches),
		EVENTS_TEST(a_reader_may_flush),
		EVENTS_TEST(a_reader_may_unsubscribe),
		EVENTS_TEST(a_reader_may_subscribe_another),
		EVENTS_TEST(closing_commits_what_is_pending),
		EVENTS_TEST(a_missing_directory_is_named),
		EVENTS_TEST(the_log_knows_how_far_claims_have_come),
		EVENTS_TEST(a_note_outlives_its_event),
	};

	return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
