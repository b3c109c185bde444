/*
 * What a judge says of its facts: a condition before it goes on the wire. Judges are pure; readers
 * find the facts and judge nothing.
 */
#pragma once

#include "proto/model.pb-c.h"

#define JUDGEMENT_TRUE PHOENIX__CONDITION__STATUS__TRUE
#define JUDGEMENT_FALSE PHOENIX__CONDITION__STATUS__FALSE
#define JUDGEMENT_UNKNOWN PHOENIX__CONDITION__STATUS__UNKNOWN

struct judgement {
	const char *type; /* static: "DiskHeadroom" */
	Phoenix__Condition__Status status;
	const char *reason; /* static, stable, explained in docs/health.md */
	char remedy[256];   /* what to do; "" when nothing has to be done */
	char message[320];  /* what was seen; both are cut when they do not fit */
};

/* Make a judgement; the message is a printf format. */
struct judgement judgement(const char *type, Phoenix__Condition__Status status, const char *reason,
			   const char *remedy, const char *message, ...)
	__attribute__((format(printf, 5, 6)));

/* Put a judgement into a reply. */
void judgement_add(Phoenix__Condition ***conditions, size_t *count,
		   const struct judgement *judgement);
