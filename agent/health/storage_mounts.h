/*
 * The mounts that Docker's containers live on: whether each still answers, and whose it is. Docker
 * says "Up" of a container whose fuse-overlayfs has died.
 */
#pragma once

#include "agent/health/judgement.h"
#include "agent/health/mounts.h"

enum mount_answer {
	MOUNT_UNASKED = 0, /* there was no time left for it */
	MOUNT_HANGS,
	MOUNT_DEAD,
	MOUNT_ALIVE,
};

struct storage_mount {
	struct mount mount;
	enum mount_answer answer;
	int error_number;        /* positive: of a dead one */
	char container[65];      /* id of Docker's container, "" when it is not known */
	char container_name[65]; /* "" when it is not known */
};

struct storage_mounts {
	struct storage_mount *items; /* owned */
	size_t count;
	bool in_user_namespace; /* where overlay needs "userxattr" */
	int problem;            /* negative errno: they could not be looked at */
};

/* Look at the mounts below a data-root: takes at most three seconds, whatever hangs. */
void storage_mounts_read(const char *data_root, struct storage_mounts *ret_mounts);

/* Judge StorageMountsAlive. */
struct judgement storage_mounts_judge(const struct storage_mounts *mounts);

/* Free the items. */
void storage_mounts_fini(struct storage_mounts *mounts);

#define PH_AUTO_STORAGE_MOUNTS __attribute__((cleanup(storage_mounts_fini)))
