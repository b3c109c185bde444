/*
 * Notices when the wall clock is set: certificates, apt's Release files and restart delays are judged
 * by it. Pure: whoever holds one tells it both clocks now and then.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/health/judgement.h"

#define CLOCK_JUMP_MS 10000                  /* less is a correction */
#define CLOCK_REMEMBER_MS (10 * 60 * 1000)   /* so long it is told */

struct clock_watch {
	bool has_begun;
	int64_t offset_ms;  /* wall clock less monotonic clock, as it was last seen */
	int64_t jump_ms;    /* the last jump; 0: none */
	uint64_t jumped_ms; /* monotonic time of the last look before which it happened */
};

/* Take what both clocks show. */
void clock_watch_see(struct clock_watch *watch, uint64_t wall_ms, uint64_t monotonic_ms);

/* Judge ClockSteady. */
struct judgement clock_watch_judge(const struct clock_watch *watch, uint64_t monotonic_ms);
