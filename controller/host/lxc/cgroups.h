/*
 * The host's control groups as far as containers need them: which mode, which controllers, the
 * groups of one container and what is in them. Knows the names that settings.c gives the groups.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "controller/host/lxc/settings.h"

enum cgroups_mode {
	CGROUPS_NONE,
	CGROUPS_V1,
	CGROUPS_HYBRID, /* v1 controllers, cgroup2 beside them */
	CGROUPS_V2,
};

struct cgroups_facts {
	enum cgroups_mode mode;
	struct settings_cgroup cgroup; /* what limits are written with */
};

/* Find out what /sys/fs/cgroup is. */
void cgroups_detect(struct cgroups_facts *ret_facts);

/* "none", "v1", "hybrid", "v2". */
const char *cgroups_mode_name(enum cgroups_mode mode);

/*
 * Call visit for every process in a container's groups, those in groups of its own making too.
 * Bounded: at most 65536 processes and 4096 groups. Returns 0, what visit returned when not 0, or
 * -ENOENT when the container has no group.
 */
int cgroups_visit(const char *name, int (*visit)(void *user, pid_t pid), void *user);

/* The process that liblxc watches a container with; 0 when there is none. */
pid_t cgroups_monitor(const char *name);

/* Memory the container uses, in bytes; 0 when it cannot be read. */
uint64_t cgroups_memory(const char *name);

/* Whether a line of /proc/PID/cgroup puts the process into the container's groups. */
bool cgroups_contain(const char *name, const char *proc_cgroup);

/* Remove a container's empty groups, which a killed monitor left. Groups with processes stay. */
void cgroups_prune(const char *name);
