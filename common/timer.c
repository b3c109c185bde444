/*
 * libuv timers are embedded and may be freed only in their close callback; rooms that own a timer
 * want to forget it at once. The heap object in between pays for that.
 */
#include "common/timer.h"

#include <stdlib.h>

#include "common/cleanup.h"
#include "common/memory.h"

struct timer {
	uv_timer_t handle;
	void (*fired)(void *user);
	void *user; /* borrowed */
};

static void timer_fired(uv_timer_t *handle);
static void timer_closed(uv_handle_t *handle);

struct timer *timer_new(uv_loop_t *loop, void (*fired)(void *user), void *user)
{
	struct timer *timer = ph_alloc(sizeof(*timer));

	uv_timer_init(loop, &timer->handle);
	timer->fired = fired;
	timer->user = user;
	return timer;
}

void timer_start(struct timer *timer, uint64_t delay_ms, uint64_t repeat_ms)
{
	/* The loop's time is that of its last wake-up; a delay counts from now. */
	uv_update_time(timer->handle.loop);
	uv_timer_start(&timer->handle, timer_fired, delay_ms, repeat_ms);
}

void timer_stop(struct timer *timer)
{
	uv_timer_stop(&timer->handle);
}

void timer_close(struct timer *timer)
{
	if (timer)
		uv_close((uv_handle_t *)&timer->handle, timer_closed);
}

static void timer_fired(uv_timer_t *handle)
{
	struct timer *timer = container_of(handle, struct timer, handle);

	timer->fired(timer->user);
}

static void timer_closed(uv_handle_t *handle)
{
	free(container_of(handle, struct timer, handle));
}
