/*
 * How often something may happen: a bucket that fills at a steady rate and holds a burst. Pure: time
 * is an argument. One bucket per container and thing, owned by whoever outlives a connection, or a
 * peer would get a full bucket by connecting again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct rate {
	uint32_t amount;    /* comes back ... */
	uint32_t period_ms; /* ... in this time */
	uint32_t burst;     /* that the bucket holds */
	int64_t level;      /* in amount times period_ms; below 0: debt */
	uint64_t at_ms;     /* when level was true */
};

/* Start with a full bucket. amount, period_ms and burst are at least 1. */
void rate_init(struct rate *rate, uint32_t amount, uint32_t period_ms, uint32_t burst,
	       uint64_t now_ms);

/* Take one, if there is one. A clock that goes back takes nothing away and gives nothing. */
bool rate_take(struct rate *rate, uint64_t now_ms);

/* Take as many of count as there are; returns how many those were. */
uint32_t rate_take_some(struct rate *rate, uint32_t count, uint64_t now_ms);

/*
 * Take what has been used already, into debt if need be. Returns for how many milliseconds nothing
 * more should be used: 0 while there is no debt.
 */
uint64_t rate_spend(struct rate *rate, uint32_t count, uint64_t now_ms);
