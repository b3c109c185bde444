/* What one container may take of phoenixd, and that everything above it is counted once. */
#include "controller/link/agent_rates.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "tests/support/cmocka.h"

#define NOW 1000

static void connections_are_rationed(void **state)
{
	struct agent_rates rates;
	size_t admitted = 0;

	agent_rates_init(&rates, NOW);
	for (int i = 0; i < 10000; i++) /* a thousand a second for ten seconds */
		admitted += agent_rates_admit(&rates, NOW + (uint64_t)i);
	assert_in_range(admitted, 30, 45);
	assert_int_equal(rates.excess.connections, 10000 - admitted);
}

static void refusals_are_told_seldom(void **state)
{
	struct agent_rates rates;
	size_t told = 0;

	agent_rates_init(&rates, NOW);
	for (int i = 0; i < 1000; i++)
		told += agent_rates_may_tell(&rates, NOW);
	assert_in_range(told, 1, 20);
	assert_int_equal(rates.excess.refusals, 1000 - told);
}

static size_t publish(struct agent_rates *rates, size_t count, const char *message, uint64_t now_ms)
{
	Phoenix__PublishRequest request = PHOENIX__PUBLISH_REQUEST__INIT;
	Phoenix__Event event = PHOENIX__EVENT__INIT;
	Phoenix__Event *events[64];

	event.message = (char *)message;
	for (size_t i = 0; i < count; i++)
		events[i] = &event;
	request.n_events = count;
	request.events = events;
	return agent_rates_take_events(rates, &request, now_ms);
}

/* A million events in ten seconds: kept plus dropped is what came. */
static void a_flood_of_events(void **state)
{
	struct agent_rates rates;
	size_t kept = 0;

	agent_rates_init(&rates, NOW);
	for (uint64_t i = 0; i < 1000000 / 64; i++)
		kept += publish(&rates, 64, "x", NOW + i * 10000 / (1000000 / 64));
	assert_in_range(kept, 2000, 2600);
	assert_int_equal(kept + rates.excess.events, 1000000 / 64 * 64);
	assert_int_equal(publish(&rates, 64, "x", NOW + 60000), 64); /* calm again */
}

static void large_events_are_few(void **state)
{
	PH_AUTO_FREE char *large = ph_alloc(60001);
	struct agent_rates rates;
	size_t kept = 0;

	memset(large, 'x', 60000);
	agent_rates_init(&rates, NOW);
	for (int i = 0; i < 100; i++)
		kept += publish(&rates, 1, large, NOW);
	assert_in_range(kept, 10, 20); /* a MiB of them */
}

static void excess_becomes_one_record(void **state)
{
	struct agent_rates rates;
	struct agent_excess excess;
	uint64_t delay = 0;

	agent_rates_init(&rates, NOW);
	assert_false(agent_rates_report_in(&rates, NOW, &delay)); /* nothing to tell */
	rates.excess.events = 5;
	assert_true(agent_rates_report_in(&rates, NOW, &delay));
	assert_int_equal(delay, 1000);
	rates.excess.events = 7;
	assert_false(agent_rates_report_in(&rates, NOW + 10, &delay)); /* told already */
	excess = agent_rates_reported(&rates, NOW + 1000);
	assert_int_equal(excess.events, 7);
	assert_int_equal(rates.excess.events, 0);
	rates.excess.pauses = 1;
	assert_true(agent_rates_report_in(&rates, NOW + 2000, &delay));
	assert_int_equal(delay, 29000); /* half a minute after the last one */
	agent_rates_reported(&rates, NOW + 31000);
	rates.excess.pauses = 1;
	assert_true(agent_rates_report_in(&rates, NOW + 999000, &delay));
	assert_int_equal(delay, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connections_are_rationed),
		cmocka_unit_test(refusals_are_told_seldom),
		cmocka_unit_test(a_flood_of_events),
		cmocka_unit_test(large_events_are_few),
		cmocka_unit_test(excess_becomes_one_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
