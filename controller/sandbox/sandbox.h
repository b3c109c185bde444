/*
 * What phoenixd takes away from itself before it reads the first byte of a container: a list of the
 * system calls that it needs, with the arguments that make them harmless; everything else is refused.
 * Its unit does the same from outside (controller/units); this holds wherever it is started.
 */
#pragma once

#include "common/error.h"

/*
 * Refuse io_uring, for good, before the loop is made: libuv 1.45 and later would hand epoll's changes to
 * a ring, through which calls pass by every filter, and aborts where it gets none any more. The process
 * has no_new_privs already. -ENOSYS when the kernel has no seccomp.
 */
int sandbox_prepare(struct ph_error *error);

/*
 * Enter, for good, with all threads that are there. After everything that needs more was opened. The
 * process has no_new_privs afterwards. -ENOSYS when the kernel has no seccomp.
 */
int sandbox_enter(struct ph_error *error);
