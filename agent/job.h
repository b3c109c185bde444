/*
 * A long operation of the agent (install, verify) in a worker's child, with everyone who asked for
 * it. A request with the id of the job in progress attaches to it; one with the id of the last job
 * gets its result again: an operation is never run twice because its answer was lost.
 *
 * Loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "common/rpc.h"
#include "common/worker.h"

#define JOB_REQUESTS_MAXIMUM 8
#define JOB_REPLAY_MAXIMUM 256 /* items kept for those who attach late; the oldest go first */

struct job_kind {
	const char *name;
	worker_fn run;
	const ProtobufCMessageDescriptor *item_type;
	uint32_t deadline_ms;
};

struct job {
	uv_loop_t *loop;             /* borrowed */
	const struct job_kind *kind; /* borrowed */
	char operation[64];          /* of the job in progress, or the last one */
	struct worker *worker;       /* NULL when none is in progress */
	ProtobufCMessage *items[JOB_REPLAY_MAXIMUM]; /* owned: a ring */
	size_t item_first, item_count;
	struct ph_error error;       /* how the last one ended; code 0: well */
	struct job_request *requests; /* owned */
	int hold_fd;                 /* write end of the child's hold pipe, -1 */
};

/* Prepare a job that has never run. */
void job_init(struct job *job, uv_loop_t *loop, const struct job_kind *kind);

/*
 * Serve a streaming request for an operation: attach to it, replay it, or start it with data and
 * the kept descriptors. The request is finished by the job. hold_fd (may be -1) is taken over.
 */
void job_serve(struct job *job, const char *operation, void *data, const int *keep_fds,
	       size_t keep_count, int hold_fd, ProtobufCClosure reply,
	       struct rpc_request *request);

/* Let a held child go on; nothing when the operation is not the one in progress. */
void job_release(struct job *job, const char *operation);
