/*
 * Two books about the same work: what agents say in their own logs that they have begun and told, and what
 * phoenixd's event log has of it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "tests/fleet/fleet.h"

#define LEDGER_EVENTS 4096 /* of one agent */

/* Of one agent: its events are numbered from 1. */
struct ledger_agent {
	char stream[32];
	size_t told;                   /* the last one that it has told */
	uint8_t stored[LEDGER_EVENTS]; /* how often each is in phoenixd's log */
	bool is_gap[LEDGER_EVENTS];    /* a record of a gap stands for it */
};

struct ledger {
	struct ledger_agent *agents; /* owned */
	size_t count;                /* of them */
	void *operations;            /* owned: tsearch(3)'s tree of what happened to each */
	uint64_t since;              /* events of phoenixd from here on are still to be read */
	size_t begun, begun_twice;   /* operations, by the agents' logs */
	size_t ended;                /* operations, by phoenixd's */
	bool is_cut;                 /* phoenixd's log was not kept long enough to be read whole */
	size_t strangers;            /* claims of an agent that is not the container's only one */
};

/* What became of the events that agents have told. */
struct ledger_sum {
	size_t told, stored, stored_twice, gaps, missing;
};

/* An empty one. */
void ledger_init(struct ledger *ledger, size_t count);

/* Free it. */
void ledger_fini(struct ledger *ledger);

/* Read what phoenixd's log has since the last time. */
void ledger_read_events(struct ledger *ledger, struct fleet *fleet);

/* Read the agents' logs, which replaces what was read of them. */
void ledger_read_agents(struct ledger *ledger, const struct fleet *fleet);

/* Whether phoenixd has told of an operation's end. */
bool ledger_has_ended(const struct ledger *ledger, const char *operation);

/* Compare the books about events. */
struct ledger_sum ledger_sum(const struct ledger *ledger);
