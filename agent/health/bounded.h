/*
 * Looks at what may never answer: a file system whose daemon hangs keeps whoever asks it, and not
 * even SIGKILL helps once the daemon has read the question. So a child looks, and writes what it
 * sees into memory that it shares with its parent, which waits no longer than it said it would.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define BOUNDED_STUCK_MAXIMUM 4 /* children that did not come back; then nobody looks any more */

/* Zeroed memory that a child shares; ends the process when there is none. Free with bounded_free(). */
void *bounded_alloc(size_t size);

/* Give the memory back; a child that still hangs keeps its own mapping. NULL is allowed. */
void bounded_free(void *shared, size_t size);

/*
 * Run look(shared) in a child and wait for its end, at most deadline_ms, which begins anew whenever
 * *progress (in the shared memory; may be NULL) has changed. 0 when it ended well, -ETIMEDOUT when it
 * did not in time (it was killed, and what it had written until then stands), -EBUSY when too many
 * earlier ones never came back, -ECHILD when it crashed, or the errno of fork.
 */
int bounded_run(void (*look)(void *shared), void *shared, uint32_t deadline_ms,
		const size_t *progress);
