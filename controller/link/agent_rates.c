/*
 * An honest agent says hello once, a heartbeat every 10 s, answers a few calls and publishes what
 * happens: none of these figures is near what it does, also when it replays a spool.
 */
#include "controller/link/agent_rates.h"

#define SECOND 1000
#define MINUTE 60000

#define BYTES_PER_SECOND (4 * 1024 * 1024)
#define BYTES_BURST (8 * 1024 * 1024)
#define FRAMES_PER_SECOND 2000
#define FRAMES_BURST 8000
#define CONNECTS_PER_MINUTE 60
#define CONNECTS_BURST 30
#define REFUSALS_PER_MINUTE 6
#define REFUSALS_BURST 10
#define EVENTS_PER_SECOND 50
#define EVENTS_BURST 2000
#define EVENT_BYTES_PER_SECOND (64 * 1024)
#define EVENT_BYTES_BURST (1024 * 1024)

#define REPORT_FIRST_MS 1000
#define REPORT_AGAIN_MS 30000

void agent_rates_init(struct agent_rates *rates, uint64_t now_ms)
{
	*rates = (struct agent_rates){ 0 };
	rate_init(&rates->bytes, BYTES_PER_SECOND, SECOND, BYTES_BURST, now_ms);
	rate_init(&rates->frames, FRAMES_PER_SECOND, SECOND, FRAMES_BURST, now_ms);
	rate_init(&rates->connects, CONNECTS_PER_MINUTE, MINUTE, CONNECTS_BURST, now_ms);
	rate_init(&rates->refusals, REFUSALS_PER_MINUTE, MINUTE, REFUSALS_BURST, now_ms);
	rate_init(&rates->events, EVENTS_PER_SECOND, SECOND, EVENTS_BURST, now_ms);
	rate_init(&rates->event_bytes, EVENT_BYTES_PER_SECOND, SECOND, EVENT_BYTES_BURST, now_ms);
}

bool agent_rates_admit(struct agent_rates *rates, uint64_t now_ms)
{
	if (rate_take(&rates->connects, now_ms))
		return true;
	rates->excess.connections++;
	return false;
}

bool agent_rates_may_tell(struct agent_rates *rates, uint64_t now_ms)
{
	if (rate_take(&rates->refusals, now_ms))
		return true;
	rates->excess.refusals++;
	return false;
}

/* The first event that does not fit ends it: what is kept stays in order and without a hole. */
size_t agent_rates_take_events(struct agent_rates *rates, const Phoenix__PublishRequest *publish,
			       uint64_t now_ms)
{
	uint32_t count = rate_take_some(&rates->events, (uint32_t)publish->n_events, now_ms);
	uint32_t taken = 0;

	while (taken < count) {
		uint32_t size = (uint32_t)phoenix__event__get_packed_size(publish->events[taken]);

		if (rate_take_some(&rates->event_bytes, size, now_ms) < size)
			break;
		taken++;
	}
	rates->excess.events += publish->n_events - taken;
	return taken;
}

static bool has_excess(const struct agent_excess *excess)
{
	return excess->events || excess->connections || excess->refusals || excess->pauses;
}

bool agent_rates_report_in(struct agent_rates *rates, uint64_t now_ms, uint64_t *ret_delay_ms)
{
	uint64_t at = now_ms + REPORT_FIRST_MS;

	if (rates->is_report_due || !has_excess(&rates->excess))
		return false;
	if (rates->reported_ms && rates->reported_ms + REPORT_AGAIN_MS > at)
		at = rates->reported_ms + REPORT_AGAIN_MS;
	rates->is_report_due = true;
	*ret_delay_ms = at - now_ms;
	return true;
}

struct agent_excess agent_rates_reported(struct agent_rates *rates, uint64_t now_ms)
{
	struct agent_excess excess = rates->excess;

	rates->excess = (struct agent_excess){ 0 };
	rates->reported_ms = now_ms;
	rates->is_report_due = false;
	return excess;
}
