/*
 * Work that blocks or may hang for ever runs in a forked child with a deadline: liblxc, mounts,
 * parsers, everything done inside a container. The child runs a plain function top to bottom and
 * streams protobuf messages back through a pipe; the loop gets them as callbacks. A child that
 * passes its deadline is killed with its whole process group.
 *
 * The child starts with default signals (but SIGPIPE ignored: reset it before an exec), a session of
 * its own, stdin from /dev/null, and no descriptor but stdio, its pipe and those named in keep_fds.
 * It outlives a killed parent: its messages then go nowhere and it finishes its work.
 *
 * A process that starts workers must not use libuv's thread pool (uv_queue_work(), uv_fs_*() with a
 * callback, uv_getaddrinfo()): a fork has no such threads, and its child would wait for them.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/error.h"

struct worker;

/* The child's way back. */
struct worker_output {
	int fd;
	bool oversized; /* a message was over the limit: the child cannot end in success */
};

/* Send one message to the parent; a parent that has gone is not an error. Waits while the parent
 * does not read. A message over FRAME_LIMIT is dropped and fails the worker with -EMSGSIZE. */
void worker_send(struct worker_output *output, const ProtobufCMessage *message);

/*
 * What the child runs. Returns 0 or a negative errno with error filled, which the parent gets in
 * finished(). It must not use libuv at all, may fork, and must not call exit().
 */
typedef int (*worker_fn)(struct worker_output *output, void *data, struct ph_error *error);

struct worker_config {
	worker_fn run;
	void *data;           /* for run; the child has its copy by fork */
	uint32_t deadline_ms; /* 0: none */
	const ProtobufCMessageDescriptor *message_type; /* of what run sends */
	const int *keep_fds; /* further descriptors that the child keeps; borrowed */
	size_t keep_count;
	/* One message from the child; borrowed during the call. */
	void (*message)(void *user, const ProtobufCMessage *message);
	/* The child has ended and all its messages were delivered. error is NULL on success;
	 * -ETIMEDOUT after the deadline, -ECANCELED after worker_cancel(), -ECHILD when it crashed
	 * (why names the signal), -EPROTO when its messages made no sense. A result that the child
	 * told before the kill reached it stands. Helpers of a child that ended without a result
	 * are killed with it. The worker is freed afterwards. */
	void (*finished)(void *user, const struct ph_error *error);
	void *user;
};

/* Fork the child. A negative errno when it could not be started; finished() is then not called. */
int worker_start(uv_loop_t *loop, const struct worker_config *config, struct worker **ret_worker);

/* Kill the child and its group; finished() follows with -ECANCELED. Idempotent until then. */
void worker_cancel(struct worker *worker);

/* Forget the worker without killing its child, for a parent that is going away. Frees it once the
 * loop has let go; finished() is not called. */
void worker_abandon(struct worker *worker);
