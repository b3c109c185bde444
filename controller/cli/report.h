/*
 * Verify reports for people: every check by group, then the verdict in words.
 */
#pragma once

#include "proto/control.pb-c.h"

/* Print a verify report on stdout. */
void report_print(const Phoenix__VerifyReport *report);

/* The word for a check's outcome: "PASS", "FAIL" ... */
const char *report_check_word(const Phoenix__Check *check);
