/*
 * Looks for options of dockerd that are given on its command line: a key of daemon.json which is also
 * a flag keeps dockerd from starting. Pure: texts in, place out.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum unit_kind {
	UNIT_SYSTEMD, /* a unit or drop-in: ExecStart=, with its continued lines */
	UNIT_DEFAULT, /* /etc/default/docker: DOCKER_OPTS= */
};

/*
 * Whether the text gives the flag of a daemon.json key ("storage-driver": --storage-driver, -s). The
 * flag as written goes into ret_flag and its line (1-based) into ret_line.
 */
bool unit_flag_find(const char *text, enum unit_kind kind, const char *key, char ret_flag[64],
		    unsigned int *ret_line);
