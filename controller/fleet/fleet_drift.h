/*
 * Drift: what is there against what was asked for, of one container. Pure: the status is what
 * phoenixd knows anyway, so that looking costs nothing and can be done at every poll.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proto/control.pb-c.h"

/* Append what is not as it should be to a reply; returns how much that was. */
size_t fleet_drift_find(const Phoenix__ContainerStatus *status, Phoenix__DriftReply *reply);

/* Whether apply can bring a container back into line by itself. */
bool fleet_drift_is_repairable(const Phoenix__ContainerStatus *status);
