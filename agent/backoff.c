#include "agent/backoff.h"

void backoff_reset(struct backoff *backoff)
{
	*backoff = (struct backoff){ 0 };
}

/* Up to half more, at random. */
static uint32_t take(uint32_t *wait_ms, uint32_t first, uint32_t last, uint16_t random)
{
	uint32_t now = *wait_ms ? *wait_ms : first;

	*wait_ms = now > last / 2 ? last : 2 * now;
	return now + (uint32_t)((uint64_t)random * (now / 2) / UINT16_MAX);
}

uint32_t backoff_next(struct backoff *backoff, bool is_refused, uint16_t random)
{
	if (is_refused)
		return take(&backoff->refused_ms, BACKOFF_REFUSED_FIRST_MS, BACKOFF_REFUSED_LAST_MS,
			    random);
	return take(&backoff->lost_ms, BACKOFF_FIRST_MS, BACKOFF_LAST_MS, random);
}
