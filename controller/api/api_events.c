/*
 * The event stream: stored events in batches, then live ones. A slow client makes its stream pause;
 * it goes on from its cursor in the log when it grants credit, so it never costs memory here, and what
 * retention has taken in between it gets as an explicit gap.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "common/timer.h"
#include "controller/api/api_private.h"

#define UNSENT_PAUSE (128 * 1024) /* bytes queued for one client before its stream pauses */
#define PAUSE_MS 20

struct stream {
	struct events *events;                    /* borrowed */
	struct rpc_request *request;
	ProtobufCClosure reply;
	struct timer *timer;                      /* owned */
	struct events_subscription *subscription; /* owned; while live */
	uint64_t cursor;
	char container[64];
	bool follow;
};

static void pump(void *user);

static void stream_end(struct stream *stream, const struct ph_error *error)
{
	events_unsubscribe(stream->subscription);
	timer_close(stream->timer);
	if (error)
		rpc_fail(stream->request, error);
	else
		rpc_end(stream->request);
	free(stream);
}

static void cancelled(void *user)
{
	stream_end(user, NULL);
}

static void send_batch(struct stream *stream, Phoenix__Event *const *events, size_t count,
		 bool caught_up)
{
	Phoenix__EventsItem item = PHOENIX__EVENTS_ITEM__INIT;

	item.n_events = count;
	item.events = (Phoenix__Event **)events;
	item.caught_up = caught_up;
	stream->reply(&item.base, stream->request);
}

static bool has_to_pause(const struct stream *stream)
{
	return !rpc_request_may_send(stream->request) ||
	       rpc_request_unsent(stream->request) > UNSENT_PAUSE;
}

/* Without credit the client's next grant wakes us; otherwise its socket takes more soon. */
static void pause_stream(struct stream *stream)
{
	if (rpc_request_may_send(stream->request))
		timer_start(stream->timer, PAUSE_MS, 0);
}

static void granted(void *user)
{
	struct stream *stream = user;

	if (!stream->subscription)
		timer_start(stream->timer, 0, 0);
}

static void live(void *user, Phoenix__Event *const *events, size_t count)
{
	struct stream *stream = user;

	if (has_to_pause(stream)) { /* back to reading from the log, at the cursor */
		events_unsubscribe(stream->subscription);
		stream->subscription = NULL;
		pause_stream(stream);
		return;
	}
	send_batch(stream, events, count, true);
	stream->cursor = events[count - 1]->seq + 1;
}

static void pump(void *user)
{
	struct stream *stream = user;
	struct ph_error error;

	while (!has_to_pause(stream)) {
		EVENTS_AUTO_BATCH struct events_batch batch = { 0 };

		if (events_read(stream->events, stream->cursor, stream->container, EVENTS_BATCH,
				&batch, &error) < 0) {
			stream_end(stream, &error);
			return;
		}
		stream->cursor = batch.next;
		if (batch.count || batch.caught_up)
			send_batch(stream, batch.events, batch.count, batch.caught_up);
		if (!batch.caught_up)
			continue;
		if (stream->follow)
			stream->subscription = events_subscribe(stream->events, stream->container,
								live, stream);
		else
			stream_end(stream, NULL);
		return;
	}
	pause_stream(stream);
}

API_HANDLER(events, EventsRequest, EventsItem)
{
	struct registry *registry = api_registry(service);
	struct stream *stream;
	struct ph_error error;

	journal_flush(registry->journal);
	stream = ph_alloc(sizeof(*stream));
	stream->events = journal_events(registry->journal);
	stream->request = request;
	stream->reply = (ProtobufCClosure)reply;
	stream->timer = timer_new(registry->loop, pump, stream);
	stream->cursor = input->since;
	stream->follow = input->follow;
	text_copy(stream->container, sizeof(stream->container), input->container);
	if (!input->since && input->tail &&
	    events_tail(stream->events, stream->container, input->tail, &stream->cursor, &error) <
		    0) {
		stream_end(stream, &error);
		return;
	}
	rpc_request_on_cancel(request, cancelled, stream);
	rpc_request_on_credit(request, granted, stream);
	pump(stream);
}
