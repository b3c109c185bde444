/*
 * Making a root's tree, one way per method, and the three files in it that are the clone's own. Only
 * clone*.c include it: they hold the clone's lock, have its record written and clear away what a
 * failure leaves.
 */
#pragma once

#include "common/config.h"
#include "common/error.h"
#include "controller/host/image/clone.h"

/* What the methods make in a root's directory besides rootfs. */
#define CLONE_PART_PARTIAL "rootfs.partial"
#define CLONE_PART_SNAPSHOT "snapshot"

/*
 * Make a root of the clone in the clone's open directory dir: its tree, which is then mounted where
 * that has to be, and hostname, hosts and resolv.conf in it.
 */
int clone_build(const struct config *config, const struct clone_request *request,
		const struct clone *clone, const struct clone_root *root, int dir,
		struct ph_error *error);

/*
 * Open the snapshot in a root's directory, which has the image's own ids: root 0 is the host's there. What the
 * container gets is a mount of it with ids shifted. The caller closes it.
 */
int clone_build_open_snapshot(int base, int *ret_root, struct ph_error *error);
