/*
 * The directory that Docker keeps everything in: where it is, what it lies on, and how much room is
 * left.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/health/judgement.h"

struct data_root {
	char path[256];       /* where Phoenix provides it */
	char in_use[256];     /* where dockerd keeps its data; "" when it does not say */
	char filesystem[32];  /* that path lies on: "ext4"; "" when it is not known */
	bool is_readonly;
	int problem;          /* negative errno of looking: -ETIMEDOUT when it hangs; 0: none */
	uint64_t block_bytes; /* unit of the blocks */
	uint64_t blocks, blocks_free;   /* free for those who are not privileged on the host */
	uint64_t inodes, inodes_free;   /* inodes 0: the file system makes them as needed */
};

/* Look at a path, within a second; in_use is what dockerd says, "" when it does not. */
void data_root_read(const char *path, const char *in_use, struct data_root *ret_root);

/* Judge DataRootUsable for the driver that was chosen, "" when that is not known. */
struct judgement data_root_judge(const struct data_root *root, const char *driver);

/* Judge DiskHeadroom: blocks and inodes. */
struct judgement data_root_judge_headroom(const struct data_root *root);
