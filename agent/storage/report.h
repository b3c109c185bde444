/*
 * A verify report while it grows: each check is timed, told to whoever listens, and kept. Knows
 * nothing of what is checked.
 */
#pragma once

#include <stdint.h>

#include "agent/storage/verify.h"

#define OUTCOME_TEXT 200

/* What one check found. */
struct outcome {
	Phoenix__Check__Status status;
	int error_number;       /* errno of the failing call, 0 when none */
	char got[OUTCOME_TEXT];
};

struct report {
	Phoenix__VerifyReport *message; /* owned until taken */
	verify_check_fn told;           /* may be NULL */
	void *user;
	uint64_t started_us;
	uint64_t check_us;
};

/* Begin a report for a driver. */
void report_init(struct report *report, const char *driver, verify_check_fn told, void *user);

/* Begin the next check: its time counts from here. */
void report_begin(struct report *report);

/* End it with its outcome. The texts are copied. */
void report_add(struct report *report, const char *id, const char *expected, const char *remedy,
		const struct outcome *outcome);

/* Compute the verdict and hand the message over. */
Phoenix__VerifyReport *report_take(struct report *report);

/* Free what was not taken. */
void report_fini(struct report *report);

/* Fill an outcome; each returns nothing so that a check reads: outcome_x(...); return; */
void outcome_pass(struct outcome *outcome, const char *got, ...)
	__attribute__((format(printf, 2, 3)));

/* The check failed with what was seen instead; error_number 0 when no call failed. */
void outcome_fail(struct outcome *outcome, int error_number, const char *got, ...)
	__attribute__((format(printf, 3, 4)));

/* The check could not be made, and why. */
void outcome_skip(struct outcome *outcome, const char *why, ...)
	__attribute__((format(printf, 2, 3)));

/* A documented difference of this driver: no failure. */
void outcome_limit(struct outcome *outcome, int error_number, const char *got, ...)
	__attribute__((format(printf, 3, 4)));
