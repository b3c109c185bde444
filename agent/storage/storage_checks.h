/*
 * The storage battery: one small check per behaviour that image layers depend on, each on what the
 * lower layer holds for it. A mount that works proves nothing; these do.
 */
#pragma once

#include "agent/storage/report.h"
#include "agent/storage/scratch.h"

/* Run all checks on a scratch directory that is not mounted yet: the first check mounts it, the
 * last one unmounts it. When it cannot be mounted the others are not run. */
void storage_checks(struct scratch *scratch, const char *driver, struct report *report);
