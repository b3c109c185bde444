/*
 * What only the inside of a container can tell of what Docker will meet. Plain blocking code for a
 * worker's child; judges nothing and leaves nothing behind.
 */
#pragma once

#include "common/error.h"
#include "proto/agent.pb-c.h"

#define PREFLIGHT_COMPLAINTS_MAXIMUM 8

/* Collect the facts; at most some seconds. The reply is the caller's, freed with message_free(). */
int preflight_collect(Phoenix__AgentPreflightReply **ret_reply, struct ph_error *error);
