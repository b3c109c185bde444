/*
 * Cursor arithmetic of a log that keeps only its newest events, and the synthetic events which say
 * that something is missing. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/model.pb-c.h"

enum gap_kind {
	GAP_NONE,
	GAP_RETENTION,  /* what was asked for is no longer kept */
	GAP_BEYOND_END, /* the log has never been that long: another stream's cursor */
};

struct gap {
	enum gap_kind kind;
	uint64_t from;  /* what was asked for */
	uint64_t start; /* where reading begins; start - 1 is the gap's "to" and seq */
};

/*
 * Place a cursor (0: from the oldest) in a log that keeps oldest..last; an empty one has oldest ==
 * last + 1. Reading begins at start.
 */
struct gap gap_place(uint64_t since, uint64_t oldest, uint64_t last);

/* Make the event of type "gap" that stands for it; free with phoenix__event__free_unpacked(). */
Phoenix__Event *gap_event(const struct gap *gap, const char *stream);

/* Make the event "events.dropped": count events could not be kept; freed likewise. */
Phoenix__Event *gap_dropped_event(uint64_t count);
