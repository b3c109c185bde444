/* A link that goes down ends the call first; the one that comes up begins the next. */
#include "controller/denials/watch.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/memory.h"

#define BACKOFF_FIRST_MS 250
#define BACKOFF_LAST_MS 30000
#define NOTHING_MS 60000 /* nothing to read from: it may be there later */
#define STABLE_MS 10000  /* a stream that lasted this long resets the backoff */

struct watch {
	struct watch_config config;
	struct timer *timer;   /* owned */
	struct rpc_call *call; /* borrowed; while watching */
	uint32_t backoff_ms;
	uint64_t began_ms;
	bool is_up;
	bool is_closing;
};

static void begin(void *user);

static void back_off(struct watch *watch)
{
	if (!watch->is_up)
		return;
	timer_start(watch->timer, watch->backoff_ms, 0);
	watch->backoff_ms *= 2;
	if (watch->backoff_ms > BACKOFF_LAST_MS)
		watch->backoff_ms = BACKOFF_LAST_MS;
}

static void item(void *user, const ProtobufCMessage *message)
{
	struct watch *watch = user;

	if (!watch->is_closing)
		watch->config.item(watch->config.user, (const Phoenix__DenialsItem *)message);
}

static void finished(void *user, const ProtobufCMessage *reply, const struct ph_error *error)
{
	struct watch *watch = user;

	watch->call = NULL;
	if (watch->is_closing)
		return;
	if (clock_monotonic_ms() - watch->began_ms >= STABLE_MS)
		watch->backoff_ms = BACKOFF_FIRST_MS;
	watch->config.ended(watch->config.user, error);
	if (error)
		back_off(watch);
	else
		timer_start(watch->timer, NOTHING_MS, 0);
}

static void begin(void *user)
{
	static const struct rpc_handlers handlers = { .item = item, .finished = finished };
	Phoenix__DenialsWatchRequest request = PHOENIX__DENIALS_WATCH_REQUEST__INIT;
	struct watch *watch = user;

	if (watch->call || !watch->is_up)
		return;
	watch->began_ms = clock_monotonic_ms();
	if (host_link_stream(watch->config.host, "DenialsWatch", &request.base, &handlers, watch,
			     &watch->call) < 0) {
		watch->call = NULL;
		back_off(watch);
	}
}

struct watch *watch_open(uv_loop_t *loop, const struct watch_config *config)
{
	struct watch *watch = ph_alloc(sizeof(*watch));

	watch->config = *config;
	watch->backoff_ms = BACKOFF_FIRST_MS;
	watch->timer = timer_new(loop, begin, watch);
	return watch;
}

void watch_host_changed(struct watch *watch, bool is_up)
{
	watch->is_up = is_up;
	if (is_up)
		begin(watch);
	else
		timer_stop(watch->timer);
}

void watch_close(struct watch *watch)
{
	if (!watch)
		return;
	watch->is_closing = true;
	if (watch->call)
		rpc_cancel(watch->call);
	timer_close(watch->timer);
	free(watch);
}
