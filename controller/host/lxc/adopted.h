/*
 * Containers that others made and that Phoenix has taken over: where their configuration is. Kept in
 * STATE/containers/NAME/adopted.json. Such a container stays where it is, in the LXC path of its
 * owner; that path has to be one of those that the configuration registers.
 */
#pragma once

#include <stdbool.h>

#include "common/config.h"
#include "common/error.h"

struct adopted {
	char lxc_path[CONFIG_LXC_PATH_SIZE];
	char written[65]; /* sha256 of the configuration that we have written; "" before confine */
};

/* Whether a path is one of the registered LXC paths. */
bool adopted_path_is_registered(const struct config *config, const char *lxc_path);

/*
 * Read what is known of an adopted container; -ENOENT, with no error filled, when the name is none of
 * theirs; -EPERM when its path is registered no more.
 */
int adopted_load(const struct config *config, const char *name, struct adopted *ret_adopted,
		 struct ph_error *error);

/* Write it; the directory STATE/containers/NAME exists. */
int adopted_save(const struct config *config, const char *name, const struct adopted *adopted,
		 struct ph_error *error);

/* Whether a container was adopted; damaged records count as that: nothing of it is ours to destroy. */
bool adopted_is(const struct config *config, const char *name);

/* Write the LXC path in which liblxc finds a container: its owner's, or STATE/containers. */
int adopted_lxcpath(const struct config *config, const char *name, char *path, size_t size,
		    struct ph_error *error);
