/*
 * How results are printed: TAP for people and test runners, JSON lines for the join with the
 * control. Knows rows and verdicts, not how they came about.
 */
#ifndef ESCAPE_REPORT_H
#define ESCAPE_REPORT_H

#include "tests/escape/escape.h"

/* Whether the verdict is what the row expects in a container that is fully confined. */
bool report_is_expected(const struct attempt *attempt, const struct verdict *verdict);

/* Print one TAP line. `number` counts from 1. */
void report_tap(int number, const struct theme *theme, const struct attempt *attempt,
		enum access access, const struct verdict *verdict);

/* Print one JSON object on a line; `condition` is the caller's word for where this runs. */
void report_json(const char *condition, const struct theme *theme, const struct attempt *attempt,
		 enum access access, const struct verdict *verdict);

#endif
