/*
 * The temporary policy-rc.d that keeps packages from starting dockerd before it is configured. It
 * forbids Docker's own services only and asks the policy that it replaced about everything else.
 */
#pragma once

#include <stdbool.h>

#include "agent/docker/docker.h"

/* Whether our guard, or the policy that it had set aside, is there. */
bool guard_is_present(const struct docker_wanted *wanted);

/* Put the guard in place; a policy of somebody else is set aside. Idempotent, as is a crash at any
 * point of it. */
int guard_place(const struct docker_wanted *wanted, struct ph_error *error);

/* Take the guard away and put the other policy back. Returns 1 when there was something to do, 0
 * when not. Never removes a policy that is not ours. */
int guard_remove(const struct docker_wanted *wanted, struct ph_error *error);
