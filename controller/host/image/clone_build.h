/*
 * Making a clone's tree, one way per method, and the three files in it that are its own. Only
 * clone.c includes it: it holds the clone's lock, has its record written and clears away what a
 * failure leaves.
 */
#pragma once

#include "common/config.h"
#include "common/error.h"
#include "controller/host/image/clone.h"

/* What the methods make in a clone's directory besides rootfs. */
#define CLONE_PART_PARTIAL "rootfs.partial"
#define CLONE_PART_SNAPSHOT "snapshot"

/* Make the tree of plan in its open directory dir; mounts nothing. */
int clone_build_tree(const struct config *config, const struct clone *plan, int dir,
		     struct ph_error *error);

/* Write hostname, hosts and resolv.conf into the tree, which is mounted where it has to be. */
int clone_build_personal(const struct config *config, const struct clone_request *request,
			 const struct clone *plan, int dir, struct ph_error *error);

/*
 * Open the snapshot of a clone, which has the image's own ids: root 0 is the host's there. What the
 * container gets is a mount of it with ids shifted. The caller closes it.
 */
int clone_build_open_snapshot(int dir, int *ret_root, struct ph_error *error);
