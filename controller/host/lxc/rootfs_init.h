/*
 * Which program can be the first process of a container: found by looking into its root file system
 * through the tree module. What is found may be a lie of the image; then the start fails.
 */
#pragma once

#include "common/error.h"

enum rootfs_init {
	ROOTFS_INIT_SYSTEM, /* /sbin/init: systemd, sysvinit, OpenRC, busybox */
	ROOTFS_INIT_SHELL,  /* no init: a shell that reaps children and waits for its end */
	ROOTFS_INIT_SLEEP,  /* neither */
};

/*
 * Choose the init of a root file system that root is opened on: its own when it has one, else a
 * shell that reaps children, else sleep. -ENOEXEC with a remedy when it has none of them.
 */
int rootfs_init_choose(int root, enum rootfs_init *ret_init, struct ph_error *error);

/* The program and arguments of a choice, NULL-terminated; constants. */
const char *const *rootfs_init_arguments(enum rootfs_init init);
