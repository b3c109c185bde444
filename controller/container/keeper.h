/*
 * Keeps an agent running in a container that should have one: waits a moment for one to come back
 * by itself, else has phoenix-host push one, and again with backoff when that fails. One that lives is
 * waited for again (PUSHING -> GRACE), and then replaced.
 *
 *   IDLE -> GRACE -> PUSHING -> HELLO -> IDLE (connected)
 *             ^         |         |
 *             '--- BACKOFF <------'
 *   IDLE -> GRACE, when a session was lost, -> PUSHING, or BACKOFF when it was short
 *
 * A restarted phoenixd with thousands of agents hears of the last one later than of the first: the wait goes on as long
 * as others come back.
 */
#pragma once

#include "controller/container/container.h"

/* Prepare the keeper of a new container; it does nothing yet. */
void keeper_init(struct container *container);

/* Stop for good, when the container is freed. */
void keeper_fini(struct container *container);

/* The agent has said hello. */
void keeper_connected(struct container *container);

/* Push an agent now, whatever it is doing, where one is wanted: what is there has become worthless. */
void keeper_push_anew(struct container *container);

/* The session has ended: push a new agent soon when one is wanted and the old one does not come back. */
void keeper_lost(struct container *container);

/* What it is doing, for listings: "pushing", "waiting" ... */
const char *keeper_state_name(const struct container *container);
