/*
 * The bytes that a channel has yet to send, in one piece, and how many of them may leave: where there
 * is a barrier, only what has been appended before everything written until then was on the disk.
 *
 *   start          + cleared                + held                         end
 *     | may leave  |  waits for the barrier  |  has not asked to leave yet   |
 *
 * Loop thread only.
 */
#pragma once

#include <stddef.h>

#include "common/barrier.h"

struct outgoing {
	uint8_t *bytes; /* owned; NULL while there is nothing to keep it for */
	size_t start;
	size_t end;
	size_t capacity;
	size_t cleared;
	size_t held;
	struct barrier *barrier; /* a reference; NULL: everything may leave at once */
	struct barrier_wait wait;
	void (*released)(struct outgoing *outgoing);
};

/* Prepare an empty one; released() is called from the loop when some of it may leave that had to wait. */
void outgoing_init(struct outgoing *outgoing, struct barrier *barrier,
		   void (*released)(struct outgoing *outgoing));

/* Free what it holds. */
void outgoing_fini(struct outgoing *outgoing);

/* How many bytes have not been sent. */
size_t outgoing_length(const struct outgoing *outgoing);

/* Append bytes. */
void outgoing_append(struct outgoing *outgoing, const void *bytes, size_t length);

/*
 * How many bytes may leave now; they are at bytes + start. Where others have to wait, they begin to, and
 * released() follows.
 */
size_t outgoing_ready(struct outgoing *outgoing);

/* The first length bytes have been sent. */
void outgoing_sent(struct outgoing *outgoing, size_t length);

/* Drop what has not been sent, and wait no more. */
void outgoing_drop(struct outgoing *outgoing);
