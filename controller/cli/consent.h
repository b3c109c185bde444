/* Whether the operator wants what cannot be taken back. */
#pragma once

#include "controller/cli/commands.h"

/*
 * Ask a question on the terminal; the option --yes answers it. -ECANCELED when the answer is no, and
 * when there is no terminal to ask on: then nothing may be done.
 */
int consent_ask(const struct invocation *invocation, const char *question, struct ph_error *error);
