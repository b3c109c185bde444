/* The agent's spool: order, numbers, batches that are lost or come twice, and what a full one tells. */
#include "agent/spool.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/cmocka.h"

static void add(struct spool *spool, unsigned int count)
{
	static unsigned int number;

	for (unsigned int i = 0; i < count; i++) {
		char text[32];

		snprintf(text, sizeof(text), "event %u", ++number);
		spool_add(spool, 1000 + number, number, PHOENIX__EVENT__SEVERITY__INFO, "test",
			  "Test", text);
	}
}

/* What a controller sees: numbers without holes, but for those that a gap stands for. */
struct seen {
	uint64_t last;
	uint64_t events;
	uint64_t missing;
};

static void take(const Phoenix__PublishRequest *batch, struct seen *seen)
{
	for (size_t i = 0; i < batch->n_events; i++) {
		const Phoenix__Event *event = batch->events[i];
		unsigned long long missing = 0;

		assert_string_equal(event->stream, "agent-1");
		if (strcmp(event->type, "gap") == 0) {
			assert_int_equal(i, 0);
			assert_int_equal(sscanf(event->message, "%llu events", &missing), 1);
			assert_int_equal(event->seq, seen->last + missing);
			seen->missing += missing;
		} else {
			assert_int_equal(event->seq, seen->last + 1);
			seen->events++;
		}
		seen->last = event->seq;
	}
}

static void test_order(void **state)
{
	struct spool *spool = spool_new("agent-1");
	const Phoenix__PublishRequest *batch;
	struct seen seen = { 0 };
	unsigned int batches = 0;

	assert_null(spool_batch(spool));
	add(spool, 100);
	while ((batch = spool_batch(spool))) {
		assert_true(batch->n_events <= SPOOL_BATCH);
		take(batch, &seen);
		spool_taken(spool);
		batches++;
	}
	assert_int_equal(batches, (100 + SPOOL_BATCH - 1) / SPOOL_BATCH);
	assert_int_equal(seen.events, 100);
	assert_int_equal(seen.missing, 0);
	spool_free(spool);
}

/* A batch whose answer was lost is the same again, whatever was added meanwhile. */
static void test_again(void **state)
{
	struct spool *spool = spool_new("agent-1");
	struct seen first = { 0 }, second = { 0 };

	add(spool, 5);
	take(spool_batch(spool), &first);
	add(spool, 3);
	take(spool_batch(spool), &second);
	assert_int_equal(first.events, 5);
	assert_int_equal(second.events, 8);
	spool_taken(spool);
	assert_int_equal(spool_count(spool), 0);
	spool_free(spool);
}

static void test_full(void **state)
{
	struct spool *spool = spool_new("agent-1");
	const Phoenix__PublishRequest *batch;
	struct seen seen = { 0 };

	add(spool, SPOOL_EVENTS + 1000);
	assert_int_equal(spool_count(spool), SPOOL_EVENTS);
	while ((batch = spool_batch(spool))) {
		take(batch, &seen);
		spool_taken(spool);
	}
	assert_int_equal(seen.events, SPOOL_EVENTS);
	assert_int_equal(seen.missing, 1000);
	assert_int_equal(seen.last, SPOOL_EVENTS + 1000);
	spool_free(spool);
}

/* It overflows while a batch is out: nothing is counted twice and nothing is silently missing. */
static void test_full_while_a_batch_is_out(void **state)
{
	struct spool *spool = spool_new("agent-1");
	const Phoenix__PublishRequest *batch;
	struct seen seen = { 0 };

	add(spool, SPOOL_EVENTS);
	take(spool_batch(spool), &seen);
	add(spool, SPOOL_BATCH + 50);
	spool_taken(spool);
	while ((batch = spool_batch(spool))) {
		take(batch, &seen);
		spool_taken(spool);
	}
	assert_int_equal(seen.missing, 50);
	assert_int_equal(seen.events + seen.missing, SPOOL_EVENTS + SPOOL_BATCH + 50);
	spool_free(spool);
}

static void test_long_text(void **state)
{
	struct spool *spool = spool_new("agent-1");
	char text[4096];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	spool_add(spool, 1, 1, PHOENIX__EVENT__SEVERITY__ERROR, "test", "Test", text);
	assert_int_equal(strlen(spool_batch(spool)->events[0]->message), SPOOL_TEXT - 1);
	spool_free(spool);
	spool_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_again),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_full_while_a_batch_is_out),
		cmocka_unit_test(test_long_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
