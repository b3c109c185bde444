/*
 * dockerd, containerd and the fuse-overlayfs daemons as processes: whether they are there, run, and
 * have room to go on. A stopped dockerd keeps its socket, and whoever asks it waits for ever: its
 * state is looked at before it is asked.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/health/judgement.h"
#include "agent/health/processes.h"

/* One daemon; pid 0: it does not run. */
struct daemon {
	pid_t pid;
	char state; /* as /proc shows it: 'T' stopped, 'D' waiting for a disk */
};

struct daemons {
	struct daemon dockerd;
	struct daemon containerd;
	bool answered;          /* dockerd told what it is */
	char version[64];       /* that it told */
	char problem[256];      /* why it did not */
};

struct fuse_daemons {
	size_t count;
	struct process worst; /* the one with the least room; count 0: none */
};

/* Find dockerd and containerd; whether dockerd answers is the caller's to ask and to fill in. */
void daemons_read(struct daemons *ret_daemons);

/* Whether dockerd can be expected to answer: neither it nor containerd is stopped. */
bool daemons_can_answer(const struct daemons *daemons);

/* Judge DockerResponding. */
struct judgement daemons_judge(const struct daemons *daemons);

/* Measure the fuse-overlayfs daemons. */
void fuse_daemons_read(struct fuse_daemons *ret_daemons);

/* Of two daemons the one that has less room: descriptors first, then memory. Pure. */
const struct process *fuse_daemons_worse(const struct process *left, const struct process *right);

/* Judge FuseDaemonHeadroom. */
struct judgement fuse_daemons_judge(const struct fuse_daemons *daemons);
