/*
 * All containers that run on this host, whoever made them: processes that are the first of a pid
 * namespace directly below the host's. Found in the host's own procfs. What a container is called
 * is read from the control group its manager gave it, the part that a container cannot choose, and
 * is filtered all the same. Knows nothing of labels.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

#define CENSUS_MAXIMUM 1024

struct census_entry {
	char name[64]; /* printable ASCII without quotes */
	const char *kind; /* "phoenix", "lxc", "docker", "podman", "machine", "other" */
	pid_t init;
	uint64_t since_ms; /* Unix time it was started */
	bool own_ids;      /* it has an id map of its own */
};

struct census {
	struct census_entry *entries; /* owned */
	size_t count;
	bool is_cut; /* there are more than CENSUS_MAXIMUM */
};

/*
 * Take the name and the kind from a text of /proc/PID/cgroup. Pure. False when no container's manager
 * is known by it: the name is then "" and the kind "other".
 */
bool census_classify(const char *cgroup, struct census_entry *ret_entry);

/*
 * Find the containers. What has a pid namespace and no manager that is known (browsers, services)
 * counts only when it has a host name and mounts of its own too.
 */
int census_take(struct census *ret_census, struct ph_error *error);

/* Free the entries. */
void census_fini(struct census *census);
