/*
 * What leaves phoenixctl: whether stdout still takes it, errors on stderr, failures among the
 * output.
 */
#pragma once

#include "common/error.h"
#include "proto/control.pb-c.h"

#define OUTPUT_NAME "standard output" /* where an output_check() error says it was */

/* Flush stdout: 0, or a negative errno (-EPIPE: the reader has left) with the error filled. */
int output_check(struct ph_error *error);

/* Print an error on stderr: what and why, the step, what to do. */
void output_error(const struct ph_error *error);

/* Print a failure that came in a message, in full, on stdout. */
void output_failure(const Phoenix__Failure *failure);
