/* Levels are counted in amount times period, so that nothing is lost by rounding. */
#include "common/rate.h"

static int64_t full(const struct rate *rate)
{
	return (int64_t)rate->burst * rate->period_ms;
}

static void refill(struct rate *rate, uint64_t now_ms)
{
	uint64_t passed = now_ms > rate->at_ms ? now_ms - rate->at_ms : 0;
	int64_t missing = full(rate) - rate->level;

	rate->at_ms = now_ms;
	if (passed > (uint64_t)missing / rate->amount)
		rate->level += missing;
	else
		rate->level += (int64_t)(passed * rate->amount);
}

void rate_init(struct rate *rate, uint32_t amount, uint32_t period_ms, uint32_t burst,
	       uint64_t now_ms)
{
	*rate = (struct rate){
		.amount = amount, .period_ms = period_ms, .burst = burst, .at_ms = now_ms
	};
	rate->level = full(rate);
}

uint32_t rate_take_some(struct rate *rate, uint32_t count, uint64_t now_ms)
{
	int64_t have;

	refill(rate, now_ms);
	have = rate->level > 0 ? rate->level / rate->period_ms : 0;
	if (count > have)
		count = (uint32_t)have;
	rate->level -= (int64_t)count * rate->period_ms;
	return count;
}

bool rate_take(struct rate *rate, uint64_t now_ms)
{
	return rate_take_some(rate, 1, now_ms) == 1;
}

uint64_t rate_spend(struct rate *rate, uint32_t count, uint64_t now_ms)
{
	refill(rate, now_ms);
	rate->level -= (int64_t)count * rate->period_ms;
	if (rate->level >= 0)
		return 0;
	return ((uint64_t)-rate->level + rate->amount - 1) / rate->amount;
}
