/* What other commands than `rollout` need of it: those that begin one themselves. */
#pragma once

#include "controller/cli/commands.h"

/* Print how one stands, as JSON when that was asked for; with the reason of each change or without. */
int rollout_print(const struct invocation *invocation, const Phoenix__RolloutStatus *status,
		  bool with_changes, struct ph_error *error);

/* Follow one to its end and print its moves; its exit code, or a negative errno. */
int rollout_follow(struct invocation *invocation, const char *id, struct ph_error *error);
