/*
 * Verify: the agent's battery, with the host looking at the nested container from outside while it
 * runs. The report holds both, observed and claimed; the verdict needs both.
 */
#pragma once

#include "controller/container/operation.h"

/*
 * Run a verify as (the rest of) the current step of an operation; returns FLOW_WAIT. The step ends
 * with FLOW_NEXT and the report saved in the container's record, or with -EBADE when a check failed.
 */
int verify_run(struct operation *operation, struct ph_error *error);

/*
 * Judge what the host observed of a confined container into checks, and whether the whole passed.
 * Pure: works on report in place, which is a heap message. nested may be NULL: nothing was seen.
 */
void verify_judge(Phoenix__VerifyReport *report, const Phoenix__ContainerSpec *spec,
		  const char *profile, const Phoenix__ContainerObservation *nested);
