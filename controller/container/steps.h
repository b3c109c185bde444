/*
 * Steps that several operations go through: apply and rebuild. Each is a flow_step_fn whose subject is
 * the struct operation, looks before it acts, and works to what the operation's record wants.
 */
#pragma once

#include "controller/container/operation.h"

/* Load the profile, or replace its text under running containers. */
int step_confine(void *subject, struct ph_error *error);

/* Put the text before the last one back, when what was loaded does not pass a verify. Nobody waits for it. */
void step_roll_back_policy(const struct operation *operation);

/* Have phoenix-host make what the container's record says: the clone where there is none, its configuration. */
int step_configure(void *subject, struct ph_error *error);

/* The same as the rest of another step, which goes on with the reply; returns FLOW_WAIT. */
int step_configure_then(struct operation *operation, operation_replied_fn replied);

/* Start it, also anew where it runs as it was configured before, or has lost its label. */
int step_start(void *subject, struct ph_error *error);

/* Leave its agent and stop it, with time to end by itself. */
int step_stop(void *subject, struct ph_error *error);

/* Fail with -EPERM unless it is confined as required. */
int step_check_confinement(void *subject, struct ph_error *error);

/* Push the agent where none is connected, and have it describe itself. */
int step_start_agent(void *subject, struct ph_error *error);

/* Undo that: no agent is kept any more. */
int step_leave_agent(void *subject, struct ph_error *error);

/* Install Docker, or bring it to what is wanted; nothing without a source. */
int step_install_docker(void *subject, struct ph_error *error);

/* Verify, unless it was verified and nothing of that has changed. */
int step_verify(void *subject, struct ph_error *error);

/* What to do with a ContainerObservation: remember it; FLOW_NEXT where the verb has changed something. */
int step_observed(struct operation *operation, const ProtobufCMessage *message,
		  struct ph_error *error);
