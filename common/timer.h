/*
 * A one-shot or repeating timer on the loop whose owner may be freed right after timer_close().
 */
#pragma once

#include <stdint.h>
#include <uv.h>

struct timer;

/* Make a stopped timer that will call fired(user). */
struct timer *timer_new(uv_loop_t *loop, void (*fired)(void *user), void *user);

/* Fire once in delay_ms, then every repeat_ms (0: never again); replaces an earlier start. */
void timer_start(struct timer *timer, uint64_t delay_ms, uint64_t repeat_ms);

/* Do not fire any more until started again. */
void timer_stop(struct timer *timer);

/* Stop for good and free once the loop has let go. NULL is allowed. */
void timer_close(struct timer *timer);
