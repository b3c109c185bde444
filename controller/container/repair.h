/*
 * Repairs that the fleet file consents to: one nested container at a time, each not again before a
 * while has passed, and not many in an hour. What keeps breaking is left to a person.
 */
#pragma once

#include "controller/container/container.h"

#define REPAIR_AGAIN_MS (10 * 60 * 1000)     /* the same nested container */
#define REPAIR_HOUR_MS (60 * 60 * 1000)
#define REPAIR_PER_HOUR 6                    /* of all nested containers of one container */
#define REPAIR_RECORDS_MAXIMUM 16            /* that are kept */

/* Named outcomes of repair_choose(). */
enum repair_choice {
	REPAIR_NOTHING,   /* nothing is dead, or there is no consent */
	REPAIR_CONTAINER, /* this one */
	REPAIR_LIMITED,   /* something is dead, but was repaired lately */
};

/*
 * Let records from the future (the clock was set back since) be of wall_ms, so that they grow old from now on. Call it
 * before repair_choose().
 */
void repair_settle_clock(Phoenix__ContainerRecord *record, uint64_t wall_ms);

/*
 * Choose what to repair at wall_ms: from consent, claims and what was repaired before. Pure. The
 * chosen one is borrowed from the claims. A record from the future (the clock was set back) counts as
 * one of now.
 */
enum repair_choice repair_choose(const Phoenix__ContainerRecord *record,
				 const Phoenix__HealthReply *claimed, uint64_t wall_ms,
				 const Phoenix__NestedContainer **ret_nested);

/* Remember a repair that is about to begin; the oldest records go. */
void repair_remember(Phoenix__ContainerRecord *record, const char *nested, uint64_t wall_ms);

/*
 * Look at what the agent has just claimed, and begin a repair when there is one to do: recorded
 * before it begins, told as events when it begins and when it ends.
 */
void repair_consider(struct container *container);
