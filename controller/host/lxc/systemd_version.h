/*
 * Which systemd lies in a container's tree, and what it asks of the seccomp policy. Looks through the tree module
 * and runs nothing. The container's root can put another answer there: then it gets the other policy at its next
 * start, and neither lets it out (docs/security.md).
 */
#pragma once

#include <stdbool.h>

/* The version by the name of libsystemd-core; 0 when root, an opened tree, has none or an older one than 251. */
unsigned int systemd_version(int root);

/*
 * Whether this version sets up its services' credentials by fsopen, fsmount and move_mount and fails them where these
 * are refused with ENOSYS: 259 (canonical/lxd#17073) and later, seen in 262. Older ones go back to mount(2).
 */
bool systemd_needs_mount_api(unsigned int version);
