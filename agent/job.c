#include "agent/job.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/system/pages.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"

struct job_request {
	struct job_request *next;
	struct job *job;
	struct rpc_request *request;
	ProtobufCClosure reply;
};

void job_init(struct job *job, uv_loop_t *loop, const struct job_kind *kind)
{
	*job = (struct job){ .loop = loop, .kind = kind, .hold_fd = -1 };
}

static void items_clear(struct job *job)
{
	for (; job->item_count > 0; job->item_count--) {
		message_free(job->items[job->item_first]);
		job->item_first = (job->item_first + 1) % JOB_REPLAY_MAXIMUM;
	}
}

static void items_keep(struct job *job, const ProtobufCMessage *item)
{
	if (job->item_count == JOB_REPLAY_MAXIMUM) {
		message_free(job->items[job->item_first]);
		job->item_first = (job->item_first + 1) % JOB_REPLAY_MAXIMUM;
		job->item_count--;
	}
	job->items[(job->item_first + job->item_count++) % JOB_REPLAY_MAXIMUM] =
		message_copy(item);
}

static void close_hold(struct job *job)
{
	if (job->hold_fd >= 0)
		close(job->hold_fd);
	job->hold_fd = -1;
}

/* ---- requests ---- */

static void detach(struct job_request *attached)
{
	struct job_request **place = &attached->job->requests;

	while (*place != attached)
		place = &(*place)->next;
	*place = attached->next;
}

/* The controller has gone, or does not want to know any more: the job goes on. */
static void request_cancelled(void *user)
{
	struct job_request *attached = user;

	detach(attached);
	rpc_end(attached->request);
	free(attached);
}

static void finish_request(struct rpc_request *request, const struct ph_error *error)
{
	if (error_is_set(error))
		rpc_fail(request, error);
	else
		rpc_end(request);
}

static void replay(const struct job *job, ProtobufCClosure reply, struct rpc_request *request)
{
	for (size_t i = 0; i < job->item_count; i++)
		reply(job->items[(job->item_first + i) % JOB_REPLAY_MAXIMUM], request);
}

static void attach(struct job *job, ProtobufCClosure reply, struct rpc_request *request)
{
	struct job_request *attached;
	struct ph_error error;
	size_t count = 0;

	for (struct job_request *other = job->requests; other; other = other->next)
		count++;
	if (count >= JOB_REQUESTS_MAXIMUM) {
		error_set(&error, -EBUSY, job->kind->name, NULL, "too many requests follow it");
		rpc_fail(request, &error);
		return;
	}
	replay(job, reply, request);
	attached = ph_alloc(sizeof(*attached));
	attached->job = job;
	attached->request = request;
	attached->reply = reply;
	attached->next = job->requests;
	job->requests = attached;
	rpc_request_on_cancel(request, request_cancelled, attached);
}

/* ---- the worker ---- */

static void worker_message(void *user, const ProtobufCMessage *item)
{
	struct job *job = user;

	items_keep(job, item);
	for (struct job_request *attached = job->requests; attached; attached = attached->next)
		attached->reply(item, attached->request);
}

static void worker_finished(void *user, const struct ph_error *error)
{
	struct job *job = user;

	job->worker = NULL;
	close_hold(job);
	if (error)
		job->error = *error;
	log_write(LOG_LEVEL_INFO, job->kind->name, NULL, "ended: operation %s%s%s", job->operation,
		  error ? ": " : "", error ? error->why : "");
	while (job->requests) {
		struct job_request *attached = job->requests;

		job->requests = attached->next;
		finish_request(attached->request, &job->error);
		free(attached);
	}
	pages_let_go(); /* for hours now little happens */
}

static int start(struct job *job, const char *operation, void *data, const int *keep_fds,
		 size_t keep_count)
{
	const struct worker_config config = {
		.run = job->kind->run,
		.data = data,
		.deadline_ms = job->kind->deadline_ms,
		.message_type = job->kind->item_type,
		.keep_fds = keep_fds,
		.keep_count = keep_count,
		.message = worker_message,
		.finished = worker_finished,
		.user = job,
	};

	items_clear(job);
	error_clear(&job->error);
	text_copy(job->operation, sizeof(job->operation), operation);
	log_write(LOG_LEVEL_INFO, job->kind->name, NULL, "begun: operation %s", job->operation);
	return worker_start(job->loop, &config, &job->worker);
}

void job_serve(struct job *job, const char *operation, void *data, const int *keep_fds,
	       size_t keep_count, int hold_fd, ProtobufCClosure reply,
	       struct rpc_request *request)
{
	bool is_same = operation[0] && text_equal(operation, job->operation);
	struct ph_error error;
	int r = 0;

	if (!job->worker && !is_same) {
		close_hold(job);
		job->hold_fd = hold_fd;
		r = start(job, operation, data, keep_fds, keep_count);
		if (r < 0) {
			error_errno(&error, r, job->kind->name, "try again", "start a process");
			rpc_fail(request, &error);
			close_hold(job);
			return;
		}
		attach(job, reply, request);
		return;
	}
	if (hold_fd >= 0)
		close(hold_fd);
	if (job->worker && !is_same) {
		error_set(&error, -EBUSY, job->kind->name, "wait until it has ended",
			  "operation %s is in progress", job->operation);
		rpc_fail(request, &error);
	} else if (job->worker) {
		attach(job, reply, request);
	} else {
		replay(job, reply, request);
		finish_request(request, &job->error);
	}
}

void job_release(struct job *job, const char *operation)
{
	if (text_equal(operation, job->operation))
		close_hold(job);
}
