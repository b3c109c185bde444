/* Running an apply and showing how it goes. */
#pragma once

#include "controller/cli/commands.h"
#include "proto/control.pb-c.h"

/* Have the connected controller apply a fleet; prints progress and summary. */
int apply_fleet(struct invocation *invocation, const Phoenix__Fleet *fleet, struct ph_error *error);

/* Have it remove one container; prints progress. */
int remove_container(struct invocation *invocation, const char *name, struct ph_error *error);
