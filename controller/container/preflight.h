/*
 * Preflight around apply: what stands in Docker's way on the host is told when its first container is
 * made, and what stands in its way inside when a new container is about to get Docker. Nothing waits for
 * it and nothing fails by it; findings become events.
 */
#pragma once

#include "controller/container/container.h"
#include "controller/preflight/judge.h"

struct operation;

/* What a container wants, for judging. */
struct judge_wanted preflight_wanted(const struct container *container);

/* What all of them want together; as by default while there is none. */
struct judge_wanted preflight_wanted_by_all(const struct registry *registry);

/* Look at the host, and write its findings as events of the operation. */
void preflight_tell_host(const struct operation *operation);

/* Ask the connected agent of the operation's container, and write its findings as events. */
void preflight_tell_inside(const struct operation *operation);
