/*
 * The command line, read against the table of commands: options may stand before, between and after
 * the words of the command, "--" ends them. Prints nothing.
 */
#pragma once

#include "controller/cli/commands.h"

/* Named outcome: help was asked for; on ret_invocation->command, group, or neither. */
enum { OPTIONS_HELP = 1 };

/*
 * Read a command line; ret_invocation brings the defaults along and borrows from argv. -EINVAL with
 * the error filled: unknown command or option (with a suggestion), missing value, too few or too
 * many arguments. End it with options_fini(), also after a failure.
 */
int options_parse(int argc, char *const *argv, struct invocation *ret_invocation,
		  struct ph_error *error);

/* Free what parsing has made. */
void options_fini(struct invocation *invocation);
