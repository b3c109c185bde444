/*
 * The places that phoenix-host owns on the host itself: where they are, their modes and owners, and
 * the only code that makes them. Trusted paths: the configured directories may be symlinks of the
 * administrator, nothing below them may.
 */
#pragma once

#include <sys/types.h>

#include "common/config.h"
#include "common/error.h"

#define PATHS_SIZE 448

enum paths_place {
	PATHS_STATE,      /* STATE             root        0711 */
	PATHS_DB,         /* STATE/db          user        0700 */
	PATHS_SPOOL,      /* STATE/spool       root:group 01770 */
	PATHS_IMAGES,     /* STATE/images      root        0700 */
	PATHS_BUNDLES,    /* STATE/bundles     root        0755, shown to containers read-only */
	PATHS_CONTAINERS, /* STATE/containers  root        0711, liblxc's lxcpath */
	PATHS_DATA,       /* STATE/data        root        0711 */
	PATHS_RUN,        /* RUN               root:user  01775, both daemons' sockets */
	PATHS_AGENTS,     /* RUN/agents        root        0711 */
	PATHS_NETWORK,    /* RUN/network       root        0700 */
	PATHS_COUNT,
};

/*
 * Write the path of a place, of a name in it, or of something fixed below that name. name and below
 * may be NULL; a name that is not [a-z0-9][a-z0-9-]* is -EINVAL. Touches no file.
 */
int paths_format(const struct config *config, enum paths_place place, const char *name,
		 const char *below, char path[PATHS_SIZE], struct ph_error *error);

/*
 * Make a place, with what it lies in, and give it its owner and mode. Refuses (-ELOOP, -EPERM) what
 * somebody else has put there. Idempotent.
 */
int paths_ensure(const struct config *config, enum paths_place place, struct ph_error *error);

/* Make all places; phoenix-host calls it when it starts. */
int paths_ensure_all(const struct config *config, struct ph_error *error);

/* Open a place as a root for the tree module, made if missing. The caller closes it. */
int paths_open(const struct config *config, enum paths_place place, int *ret_fd,
	       struct ph_error *error);

/* Make the directory of a name in a place with this owner and mode (agents/NAME). Idempotent. */
int paths_make(const struct config *config, enum paths_place place, const char *name, uid_t uid,
	       gid_t gid, mode_t mode, struct ph_error *error);

/* Remove the directory of a name in a place with all that is in it. Idempotent. */
int paths_remove(const struct config *config, enum paths_place place, const char *name,
		 struct ph_error *error);
