/*
 * The mounts a clone lives on, and their end. All paths are the host's own, below directories
 * that only root can change.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "controller/host/tree/paths.h"

/* An overlay to be mounted; the directories exist. */
struct overlay_mount {
	int image;                /* root of the unshifted image; borrowed */
	char base[PATHS_SIZE];    /* directory with lower, upper, work and rootfs in it */
	uint32_t id_base;
	uint32_t id_count;
};

/* Mount the overlay at base/rootfs: image idmapped into the range below base/upper. */
int mounts_overlay(const struct overlay_mount *mount, struct ph_error *error);

/*
 * Mount a directory (an open one, borrowed) at place, its ids moved into the range: private and
 * without devices.
 */
int mounts_shifted(int dir, const char *place, uint32_t id_base, uint32_t id_count,
		   struct ph_error *error);

/* Mount a directory on itself: nosuid, nodev, private. */
int mounts_wall(const char *path, struct ph_error *error);

/* Whether path is the root of a mount; false also when there is nothing. */
bool mounts_is_mounted(const char *path);

/* Whether path is the root of a mount with nosuid. */
bool mounts_is_wall(const char *path);

/*
 * Unmount all that is mounted at path, detach it when it is busy. Positive: something was mounted;
 * 0: nothing was.
 */
int mounts_unmount(const char *path, struct ph_error *error);

/* The same for walls only: a file system of the administrator's below them stays mounted. */
int mounts_unmount_wall(const char *path, struct ph_error *error);
