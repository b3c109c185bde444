/*
 * What the last verify depended on, against what is there now: a pure comparison of two sets of
 * pairs, told in words.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proto/agent.pb-c.h"

struct drift {
	size_t count;       /* of what has changed; 0: nothing has */
	const char *reason; /* of the most telling change: "PackageChanged"; static */
	int weight;         /* of that reason */
	char message[320];  /* the changes: "runc: 1.1.5 is now 1.1.12"; cut when there are many */
};

/* Compare the facts of a verify report with the inputs that an agent claims. */
void drift_find(const Phoenix__VerifyReport *verify, const Phoenix__HealthReply *claimed,
		struct drift *ret_drift);
