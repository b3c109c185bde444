/*
 * What the command lines of the two daemons have in common: one configuration file, help, version,
 * and how a start that fails is told.
 */
#pragma once

#include <stdbool.h>

#include "common/error.h"

#define DAEMON_CONFIG "/etc/phoenix/phoenix.yaml" /* may be absent; one named with --config not */

struct daemon_options {
	const char *config; /* borrowed from argv, or DAEMON_CONFIG */
	bool is_required;   /* the operator has named it */
};

/*
 * Read --config FILE, --help and --version; the last two print and exit with 0. -EINVAL after the
 * usage text went to stderr.
 */
int daemon_parse_options(int argc, char **argv, const char *name, const char *usage,
			 struct daemon_options *ret_options);

/* Print why the daemon cannot start, and what to do, on stderr. */
void daemon_print_failure(const char *name, const struct ph_error *error);
