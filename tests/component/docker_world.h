/*
 * A pretended container for the install: a root with the files that it touches, and programs in PATH
 * that behave like apt-get, dpkg, systemctl and docker as far as the install can tell. Faults are
 * files named in world/: see docker_world.c.
 */
#pragma once

#include <stdbool.h>

#include "agent/docker/docker.h"
#include "tests/support/scratch.h"

struct docker_world {
	struct scratch scratch;
	char path[600];              /* PATH */
	struct docker_wanted wanted; /* with the world's root and PATH, and short timeouts */
};

/* Make a Debian 12 with systemd and nothing of Docker in it. */
void docker_world_init(struct docker_world *world);

/* Remove it. */
void docker_world_fini(struct docker_world *world);

/* Write a file below the root, with its directories. */
void docker_world_write(struct docker_world *world, const char *name, const char *text,
			mode_t mode);

/* Remove a file below the root. */
void docker_world_remove(struct docker_world *world, const char *name);

/* The text of a file below the root for the caller to free; NULL when there is none. */
char *docker_world_read(struct docker_world *world, const char *name);

/* Whether a file is there below the root. */
bool docker_world_has(struct docker_world *world, const char *name);

/* Every file with its times, sizes and inode, but the fakes' own log; for the caller to free. */
char *docker_world_snapshot(struct docker_world *world);
