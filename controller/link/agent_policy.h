/*
 * What the controller may ask of the agent of a container: a row per request of agent.proto, and what a
 * container's fleet file says. A request without a row, or that its container has no use for, is not
 * sent, whoever in phoenixd wants it. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proto/agent.pb-c.h"
#include "proto/model.pb-c.h"

#define AGENT_POLICY_ROWS 8

struct agent_policy {
	const char *method;  /* of the service Agent */
	const char *purpose; /* for a person */
	/* Whether this container has a use for it; NULL: every one has. */
	bool (*applies)(const Phoenix__ContainerSpec *spec);
	const char *otherwise; /* why not, when it does not apply */
};

/* The rows, AGENT_POLICY_ROWS of them, in the order of the service's methods. */
const struct agent_policy *agent_policy_rows(void);

/* Whether a request may be made of this container's agent. spec may be NULL: nothing may. */
bool agent_policy_allows(const Phoenix__ContainerSpec *spec, const char *method);
