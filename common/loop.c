/*
 * libuv aborts without a word in some places when memory is gone, and goes on with -ENOMEM in others.
 *
 * The watch is a prepare handle, which libuv calls once per iteration right before it waits. What it waits there is
 * not ours, and neither can be told from the callbacks that follow it by handles alone: libuv's own count of idle time
 * (uv_metrics_idle_time()) is taken off.
 */
#include "common/loop.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

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
	void (*stalled)(void *user, const struct loop_stall *stall);
	void *user;        /* borrowed */
	uint64_t stall_us;
	uint64_t last_ns;  /* when the loop began to wait; 0: it has not yet */
	uint64_t idle_ns;  /* what it had waited until then */
	struct rusage last; /* what its thread had used until then */
	uint64_t longest_us;
	uint64_t stalls;
};

static uint64_t processor_us(const struct rusage *usage)
{
	return (uint64_t)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec);
}

/* The loop's one wait of its own, for events, is among the waits: it is not counted. */
static void tell(const struct loop_watch *watch, uint64_t took_us, const struct rusage *now)
{
	const struct rusage *last = &watch->last;
	uint64_t waits = (uint64_t)(now->ru_nvcsw - last->ru_nvcsw);
	const struct loop_stall stall = {
		.took_us = took_us,
		.processor_us = processor_us(now) - processor_us(last),
		.waits = waits ? waits - 1 : 0,
		.preemptions = (uint64_t)(now->ru_nivcsw - last->ru_nivcsw),
	};

	watch->stalled(watch->user, &stall);
}

void loop_stall_format(const struct loop_stall *stall, char *text, size_t size)
{
	snprintf(text, size,
		 "nobody was served for %" PRIu64 " ms: %" PRIu64 " ms of them on a processor, "
		 "waited %" PRIu64 " times, preempted %" PRIu64 " times",
		 stall->took_us / 1000, stall->processor_us / 1000, stall->waits, stall->preemptions);
}

static void iteration_ended(uv_prepare_t *handle)
{
	struct loop_watch *watch = container_of(handle, struct loop_watch, prepare);
	uint64_t now_ns = uv_hrtime(), idle_ns = uv_metrics_idle_time(handle->loop);
	uint64_t passed_ns = now_ns - watch->last_ns, waited_ns = idle_ns - watch->idle_ns;
	uint64_t took_us = passed_ns > waited_ns ? (passed_ns - waited_ns) / 1000 : 0;
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	if (watch->last_ns && took_us > watch->longest_us)
		watch->longest_us = took_us;
	if (watch->last_ns && took_us >= watch->stall_us) {
		watch->stalls++;
		if (watch->stalled)
			tell(watch, took_us, &usage);
	}
	watch->last_ns = now_ns;
	watch->idle_ns = idle_ns;
	watch->last = usage;
}

struct loop_watch *loop_watch_new(uv_loop_t *loop, uint32_t stall_ms,
				  void (*stalled)(void *user, const struct loop_stall *stall), void *user)
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
