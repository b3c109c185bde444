/*
 * How much of phoenixd one container may take: connections, bytes, frames and events, and how many of
 * its misdeeds are told one by one. Whatever is above is counted, and the counts become one record.
 * Belongs to the container and not to a connection. Pure: time is an argument.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/rate.h"
#include "proto/agent.pb-c.h"

/* What came above the rates since the last record. */
struct agent_excess {
	uint64_t events;      /* dropped */
	uint64_t connections; /* closed without a word */
	uint64_t refusals;    /* that no event tells of */
	uint64_t pauses;      /* of reading */
};

struct agent_rates {
	struct rate bytes, frames; /* for the channel, which reads no faster */
	struct rate connects, refusals, events, event_bytes;
	struct agent_excess excess;
	uint64_t reported_ms; /* 0: never */
	bool is_report_due;   /* somebody has been told when */
};

/* All buckets full. */
void agent_rates_init(struct agent_rates *rates, uint64_t now_ms);

/* Whether one more connection is taken; counts it when not. */
bool agent_rates_admit(struct agent_rates *rates, uint64_t now_ms);

/* Whether one more refusal is told by an event of its own; counts it when not. */
bool agent_rates_may_tell(struct agent_rates *rates, uint64_t now_ms);

/* How many events, from the first on, are within the rate; counts the others. */
size_t agent_rates_take_events(struct agent_rates *rates, const Phoenix__PublishRequest *publish,
			       uint64_t now_ms);

/*
 * Whether somebody has to come back for a record of the excess, and in how many milliseconds. False
 * when there is none, or when somebody has been told already.
 */
bool agent_rates_report_in(struct agent_rates *rates, uint64_t now_ms, uint64_t *ret_delay_ms);

/* Take the excess for the record; counting starts anew. */
struct agent_excess agent_rates_reported(struct agent_rates *rates, uint64_t now_ms);
