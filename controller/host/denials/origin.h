/*
 * Whose denial it was, by what a container cannot forge: the policy namespace that we gave it, the
 * control group of the process, the host id it acted with. The process's own name and words never
 * count. The profile does not tell: all containers share one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controller/host/denials/line.h"

#define ORIGIN_NAME_SIZE 64

struct origin {
	char container[ORIGIN_NAME_SIZE]; /* "" when neither namespace nor group told */
	bool has_uid;
	uint32_t uid;
};

/* Whether a denial is of a profile of ours, or of policy inside a namespace of ours. */
bool origin_is_ours(const struct line *line);

/* The container of a policy namespace ("root//phoenix-web1//inner"); false for foreign ones. */
bool origin_of_space(const char *space, char container[ORIGIN_NAME_SIZE]);

/*
 * The container of a /proc/PID/cgroup text: the first component of ours in a group's path. What
 * stands behind it is of the container's own making and does not count.
 */
bool origin_of_groups(const char *text, char container[ORIGIN_NAME_SIZE]);

/*
 * Find whose denial a line tells of. proc is a descriptor of the host's /proc. A process that began
 * after the denial has only inherited the number and is not asked.
 */
void origin_find(int proc, const struct line *line, struct origin *ret_origin);
