/*
 * Find out what the host's kernel is like for Docker in containers: only fixed files of procfs and the
 * lists of modules are read, nothing is loaded or changed. Judges nothing.
 */
#pragma once

#include "controller/host/preflight/keys.h"
#include "proto/host.pb-c.h"

/* Where to look; every member NULL: the host's own places. */
struct preflight_places {
	const char *proc;    /* /proc */
	const char *modules; /* /lib/modules */
	const char *release; /* of the running kernel */
};

/*
 * Fill kernel, modules, modules_locked, sysctls and key_users (of these ranges) of a heap message. What
 * cannot be read stays unknown or out. places may be NULL.
 */
void preflight_gather(const struct preflight_places *places, const struct keys_range *ranges,
		      size_t range_count, Phoenix__HostPreflightReply *reply);
