/*
 * libuv aborts without a word in some places when memory is gone, and goes on with -ENOMEM in others.
 *
 * The watch is a prepare handle, which libuv calls once per iteration right before it waits. What it waits there is
 * not ours, and neither can be told from the callbacks that follow it by handles alone: libuv's own count of idle time
 * (uv_metrics_idle_time()) is taken off.
 */
#include "common/loop.h"

#include <stdlib.h>

#include "common/cleanup.h"
#include "common/memory.h"

static void *allocate(size_t size)
{
	return ph_alloc(size);
}

void loop_adopt_memory(void)
{
	uv_replace_allocator(allocate, ph_realloc, ph_alloc_array, free);
}

struct loop_watch {
	uv_prepare_t prepare;
	void (*stalled)(void *user, uint64_t microseconds);
	void *user;        /* borrowed */
	uint64_t stall_us;
	uint64_t last_ns;  /* when the loop began to wait; 0: it has not yet */
	uint64_t idle_ns;  /* what it had waited until then */
	uint64_t longest_us;
	uint64_t stalls;
};

static void iteration_ended(uv_prepare_t *handle)
{
	struct loop_watch *watch = container_of(handle, struct loop_watch, prepare);
	uint64_t now_ns = uv_hrtime(), idle_ns = uv_metrics_idle_time(handle->loop);
	uint64_t passed_ns = now_ns - watch->last_ns, waited_ns = idle_ns - watch->idle_ns;
	uint64_t took_us = passed_ns > waited_ns ? (passed_ns - waited_ns) / 1000 : 0;

	if (watch->last_ns && took_us > watch->longest_us)
		watch->longest_us = took_us;
	if (watch->last_ns && took_us >= watch->stall_us) {
		watch->stalls++;
		if (watch->stalled)
			watch->stalled(watch->user, took_us);
	}
	watch->last_ns = now_ns;
	watch->idle_ns = idle_ns;
}

struct loop_watch *loop_watch_new(uv_loop_t *loop, uint32_t stall_ms,
				  void (*stalled)(void *user, uint64_t microseconds), void *user)
{
	struct loop_watch *watch = ph_alloc(sizeof(*watch));

	watch->stalled = stalled;
	watch->user = user;
	watch->stall_us = (uint64_t)stall_ms * 1000;
	uv_loop_configure(loop, UV_METRICS_IDLE_TIME);
	uv_prepare_init(loop, &watch->prepare);
	uv_prepare_start(&watch->prepare, iteration_ended);
	uv_unref((uv_handle_t *)&watch->prepare);
	return watch;
}

uint64_t loop_watch_longest_us(const struct loop_watch *watch)
{
	return watch->longest_us;
}

uint64_t loop_watch_stalls(const struct loop_watch *watch)
{
	return watch->stalls;
}

static void watch_closed(uv_handle_t *handle)
{
	free(container_of((uv_prepare_t *)handle, struct loop_watch, prepare));
}

void loop_watch_close(struct loop_watch *watch)
{
	if (watch)
		uv_close((uv_handle_t *)&watch->prepare, watch_closed);
}
