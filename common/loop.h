/*
 * What a process with a libuv loop needs beside its handles: libuv's memory ends as ours does, and somebody looks how
 * long the loop is away. Nothing here is needed by who only uses handles.
 */
#pragma once

#include <stdint.h>
#include <uv.h>

#define LOOP_STALL_MS 100 /* who waits for the loop notices that */

/* Let libuv allocate as ph_alloc() does, so that it says why it ends. Before its first call. */
void loop_adopt_memory(void);

struct loop_watch;

/*
 * Look how long each iteration of the loop keeps everybody waiting: from its wake-up until it waits again. Before
 * uv_run(), right after uv_loop_init(); does not keep the loop alive. stalled() is called after an iteration of stall_ms
 * or more, from the loop; NULL: nobody is told.
 */
struct loop_watch *loop_watch_new(uv_loop_t *loop, uint32_t stall_ms,
				  void (*stalled)(void *user, uint64_t microseconds), void *user);

/* The longest iteration so far, in microseconds. */
uint64_t loop_watch_longest_us(const struct loop_watch *watch);

/* How many iterations took stall_ms or more. */
uint64_t loop_watch_stalls(const struct loop_watch *watch);

/* Stop looking, and free once the loop has let go. NULL is allowed. */
void loop_watch_close(struct loop_watch *watch);
