/*
 *   reading -> ending (its peer has gone: the reader is being killed) -> freed
 *      `------------- the reader has ended --------------------------'
 *
 * A phoenixd that does not take what it is sent loses records rather than the connection, on which
 * its other verbs are as well; it is told how many.
 */
#include "controller/host/denials/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/str.h"
#include "controller/host/denials/drops.h"
#include "controller/host/denials/reader.h"
#include "controller/host/denials/source.h"
#include "proto/host.pb-c.h"

#define UNSENT_MAXIMUM (256 * 1024) /* bytes phoenixd has not taken: no more are queued */

struct watch {
	struct watches *watches; /* borrowed */
	struct watch *next;
	struct rpc_request *request;
	ProtobufCClosure reply;
	struct worker *worker;
	uint64_t unsent; /* denials that found phoenixd's queue full */
	bool is_ending;
	struct drops drops;
	struct reader_config config;
};

static void watch_unlink(struct watch *watch)
{
	struct watch **place = &watch->watches->first;

	while (*place != watch)
		place = &(*place)->next;
	*place = watch->next;
}

static void watch_free(struct watch *watch)
{
	drops_close(&watch->drops);
	free(watch);
}

/* In the child. */
static int run(struct worker_output *output, void *data, struct ph_error *error)
{
	return reader_run(output, data, error);
}

static void count_unsent(struct watch *watch, const Phoenix__DenialsItem *item)
{
	for (size_t i = 0; i < item->n_denials; i++)
		watch->unsent += item->denials[i]->count;
	for (size_t i = 0; i < item->n_dropped; i++)
		watch->unsent += item->dropped[i]->count;
}

/* What the reader was told of, and what the kernel dropped before it could be. */
static void reply_item(struct watch *watch, const Phoenix__DenialsItem *item)
{
	Phoenix__DenialsItem whole = *item;
	Phoenix__DenialsSource source;

	if (item->source && text_equal(item->source->kind, source_name(SOURCE_AUDIT))) {
		source = *item->source;
		source.lost += drops_count(&watch->drops);
		whole.source = &source;
	}
	watch->reply(&whole.base, watch->request);
}

static void message(void *user, const ProtobufCMessage *message)
{
	const Phoenix__DenialsItem *item = (const Phoenix__DenialsItem *)message;
	Phoenix__DenialsDropped dropped = PHOENIX__DENIALS_DROPPED__INIT;
	Phoenix__DenialsDropped *list[] = { &dropped };
	Phoenix__DenialsItem missed = PHOENIX__DENIALS_ITEM__INIT;
	struct watch *watch = user;

	if (watch->is_ending)
		return;
	if (rpc_request_unsent(watch->request) > UNSENT_MAXIMUM) {
		count_unsent(watch, item);
		return;
	}
	if (watch->unsent) {
		dropped.count = watch->unsent;
		missed.n_dropped = 1;
		missed.dropped = list;
		watch->unsent = 0;
		watch->reply(&missed.base, watch->request);
	}
	reply_item(watch, item);
}

static void finished(void *user, const struct ph_error *error)
{
	struct watch *watch = user;

	watch_unlink(watch);
	if (error && !watch->is_ending)
		rpc_fail(watch->request, error);
	else
		rpc_end(watch->request);
	watch_free(watch);
}

static void peer_left(void *user)
{
	struct watch *watch = user;

	watch->is_ending = true;
	worker_cancel(watch->worker);
}

static size_t count_watches(const struct watches *watches)
{
	size_t count = 0;

	for (const struct watch *watch = watches->first; watch; watch = watch->next)
		count++;
	return count;
}

static int start(struct watch *watch)
{
	const struct worker_config config = {
		.run = run,
		.data = &watch->config,
		.message_type = &phoenix__denials_item__descriptor,
		.message = message,
		.finished = finished,
		.user = watch,
	};

	return worker_start(watch->watches->loop, &config, &watch->worker);
}

void watches_serve(struct watches *watches, ProtobufCClosure reply, struct rpc_request *request)
{
	struct ph_error error;
	struct watch *watch;
	int code = -EBUSY;

	if (count_watches(watches) >= WATCHES_MAXIMUM) {
		error_set(&error, code, "DenialsWatch", NULL, "denials are being watched already");
		rpc_fail(request, &error);
		return;
	}
	watch = ph_alloc(sizeof(*watch));
	watch->watches = watches;
	watch->request = request;
	watch->reply = reply;
	watch->config.config = watches->config;
	watch->config.first_id = watches->first_id;
	watch->config.parent = getpid();
	drops_open(&watch->drops);
	code = start(watch);
	if (code < 0) {
		error_errno(&error, code, "DenialsWatch", NULL, "start a child");
		rpc_fail(request, &error);
		watch_free(watch);
		return;
	}
	watch->next = watches->first;
	watches->first = watch;
	rpc_request_on_cancel(request, peer_left, watch);
}

void watches_close(struct watches *watches)
{
	struct ph_error error;

	error_set(&error, -ECANCELED, NULL, NULL, "phoenix-host is stopping");
	while (watches->first) {
		struct watch *watch = watches->first;

		/* Nobody waits for the reader: it ends with this process. */
		worker_abandon(watch->worker);
		watch_unlink(watch);
		rpc_fail(watch->request, &error);
		watch_free(watch);
	}
}
