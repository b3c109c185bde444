/*
 * The child's half of common/worker.h: turns a fork of the parent into a process of its own, runs
 * the job and reports its end. Knows nothing of the loop.
 */
#pragma once

#include "common/worker.h"

/*
 * Become the child that config describes and write to the pipe fd. The caller has just forked with
 * all signals blocked. Leaves by _exit(): neither exit handlers nor stdio buffers of the parent run
 * a second time.
 */
_Noreturn void worker_child_run(const struct worker_config *config, int fd);
