/*
 * Whether a kernel may show its AppArmor control files to a container, which a stacked label with a
 * policy namespace needs. Pure: decides from what uname(2) says and from three switches. A kernel
 * that the table does not know is unsafe.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

struct stacking_kernel {
	const char *release; /* borrowed; "6.1.0-44-amd64" */
	const char *version; /* borrowed; "#1 SMP PREEMPT_DYNAMIC Debian 6.1.170-1 (2026-05-01)" */
	bool can_stack;      /* features/domain/stack is there and says yes */
	bool has_namespaces; /* policy namespaces can be made */
	/* kernel.unprivileged_userns_apparmor_policy; a kernel without the switch counts as on */
	bool userns_policy;
};

/* A kernel series and the first release of it that has the fixes. */
struct stacking_series {
	unsigned int major, minor, patch;
	const char *source; /* where that is written */
};

/* The table, ended by a series of major 0. */
extern const struct stacking_series stacking_fixed[];

/*
 * Find the upstream release a kernel is built from: Debian's version in the version text, else the
 * numbers the release begins with. False when there are none, or the two contradict each other.
 */
bool stacking_release(const struct stacking_kernel *kernel, unsigned int ret_numbers[3]);

/*
 * Judge: 0 when a stacked label may be used; -EOPNOTSUPP with reason and remedy otherwise.
 */
int stacking_judge(const struct stacking_kernel *kernel, struct ph_error *error);

/* What the running kernel says; texts are copied into the buffers, which the kernel borrows. */
void stacking_detect(char *release, char *version, size_t size, struct stacking_kernel *ret_kernel);
