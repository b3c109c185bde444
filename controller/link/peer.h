/*
 * Whether a process that has connected over a container's Unix socket is one of that container: its id
 * map, control group, pid namespace and label, as the host's kernel shows them. The key says that it knows
 * a secret; this says where it lives, so that a key which left its container opens nothing elsewhere.
 * Only small files of /proc that do not wait for the process are read.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

struct peer_expected {
	const char *name;    /* of the container */
	uint32_t id_base;    /* 0 -> id_base for id_count ids */
	uint32_t id_count;
	const char *profile; /* AppArmor; "" without confinement */
};

/* Files of /proc/PID, as they are. */
struct peer_facts {
	char uid_map[256];
	char gid_map[256];
	char cgroup[2048];
	char label[512];     /* attr/current; "" when it cannot be read */
	unsigned int levels; /* pid namespaces it is visible in, the host's included */
};

/* Judge what was read: 0, or -EPERM with what is wrong. Pure. */
int peer_judge(const struct peer_facts *facts, const struct peer_expected *expected,
	       struct ph_error *error);

/* Read and judge: also -ESRCH when the process has gone. */
int peer_check(pid_t pid, const struct peer_expected *expected, struct ph_error *error);
