/*
 * Cgroups inside a container whose init does not care for them: mount what the host offers, and on
 * cgroup v2 make the root fit for children that have controllers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

#define CGROUP_DIRECTORY "/sys/fs/cgroup"
#define CGROUP_HIERARCHIES_MAXIMUM 32

struct cgroup_hierarchy {
	char controllers[96]; /* "cpu,cpuacct", "name=systemd" */
};

/* What the kernel offers to us, from /proc/self/cgroup. */
struct cgroup_layout {
	bool unified; /* a v2 hierarchy exists ... */
	bool legacy;  /* ... but controllers are on v1 hierarchies: hybrid or pure v1 */
	struct cgroup_hierarchy hierarchies[CGROUP_HIERARCHIES_MAXIMUM]; /* v1 ones */
	size_t count;
};

/* Named outcomes. */
enum {
	CGROUP_CHANGED = 0,
	CGROUP_ALREADY = 1,
};

/* Read /proc/self/cgroup's text. Pure. -EBADMSG when it has lines of another form. */
int cgroup_layout_parse(const char *text, struct cgroup_layout *ret_layout);

/*
 * Whether a mountinfo text holds usable cgroups: cgroup2 at CGROUP_DIRECTORY, or at least the v1
 * devices, memory, cpu and pids hierarchies below it as far as the layout has them. Pure.
 */
bool cgroup_is_mounted(const char *mountinfo, const struct cgroup_layout *layout);

/* Whether this container's cgroups are mounted: 1 or 0, or a negative errno. */
int cgroup_check(struct ph_error *error);

/*
 * Mount cgroups when nobody did (v2, or on a v1/hybrid host a tmpfs and every v1 hierarchy).
 * Idempotent. Returns CGROUP_CHANGED, CGROUP_ALREADY or a negative errno.
 */
int cgroup_ensure_mounted(struct ph_error *error);

/*
 * Cgroup v2 without an init that delegates: a cgroup with processes cannot give controllers to
 * children, so move the root's processes into the leaf "init" and enable every controller below.
 * Nothing to do on v1. Returns CGROUP_CHANGED, CGROUP_ALREADY or a negative errno.
 */
int cgroup_delegate(struct ph_error *error);
