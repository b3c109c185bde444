/*
 * What a process with a libuv loop needs beside its handles: libuv's memory ends as ours does, and somebody looks how
 * long the loop is away. Nothing here is needed by who only uses handles.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#define LOOP_STALL_MS 100 /* who waits for the loop notices that */

/* Let libuv allocate as ph_alloc() does, so that it says why it ends. Before its first call. */
void loop_adopt_memory(void);

struct loop_watch;

/* An iteration that took long, and where its time went. Without a processor and without a wait, the machine
 * had others to run. */
struct loop_stall {
	uint64_t took_us;
	uint64_t processor_us; /* on a processor, in the program and in the kernel for it */
	uint64_t waits;        /* how often it gave the processor up: a disk, a lock, a page that was out */
	uint64_t preemptions;  /* how often another process was given the processor instead */
};

/*
 * Look how long each iteration of the loop keeps everybody waiting: from its wake-up until it waits again. Before
 * uv_run(), right after uv_loop_init(); does not keep the loop alive. stalled() is called after an iteration of stall_ms
 * or more, from the loop; NULL: nobody is told. The loop's own thread is measured, the one that calls uv_run().
 */
struct loop_watch *loop_watch_new(uv_loop_t *loop, uint32_t stall_ms,
				  void (*stalled)(void *user, const struct loop_stall *stall), void *user);

/* Say a stall in words: "nobody was served for 586 ms: 12 ms on a processor, ...". Cut off at size. */
void loop_stall_format(const struct loop_stall *stall, char *text, size_t size);

/* The longest iteration so far, in microseconds. */
uint64_t loop_watch_longest_us(const struct loop_watch *watch);

/* How many iterations took stall_ms or more. */
uint64_t loop_watch_stalls(const struct loop_watch *watch);

/* Stop looking, and free once the loop has let go. NULL is allowed. */
void loop_watch_close(struct loop_watch *watch);
