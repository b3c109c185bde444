/*
 * Which program can be the first process of a container: found by looking into its root file system
 * through the tree module. What is found may be a lie of the image; then the start fails.
 */
#pragma once

#include "controller/host/lxc/settings.h"

/*
 * Choose the init of a root file system that root is opened on: its own when it has one, else a
 * shell that reaps children, else sleep. -ENOEXEC with a remedy when it has none of them.
 */
int rootfs_init_choose(int root, enum settings_init *ret_init, struct ph_error *error);
