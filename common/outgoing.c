#include "common/outgoing.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"

#define FIRST_CAPACITY 1024
#define KEPT (16 * 1024) /* a larger buffer is freed once it is empty */

static void passed(struct barrier_wait *wait)
{
	struct outgoing *outgoing = container_of(wait, struct outgoing, wait);

	outgoing->cleared += outgoing->held;
	outgoing->held = 0;
	outgoing->released(outgoing);
}

void outgoing_init(struct outgoing *outgoing, struct barrier *barrier,
		   void (*released)(struct outgoing *outgoing))
{
	*outgoing = (struct outgoing){ .barrier = barrier_ref(barrier),
				       .wait.passed = passed,
				       .released = released };
}

void outgoing_fini(struct outgoing *outgoing)
{
	outgoing_drop(outgoing);
	free(take_pointer(outgoing->bytes));
	barrier_unref(take_pointer(outgoing->barrier));
}

size_t outgoing_length(const struct outgoing *outgoing)
{
	return outgoing->end - outgoing->start;
}

/* Make room at the end. Never moves more bytes than were sent since the last move. */
static void reserve(struct outgoing *outgoing, size_t length)
{
	size_t unsent = outgoing_length(outgoing);
	size_t capacity = outgoing->capacity ? outgoing->capacity : FIRST_CAPACITY;

	if (outgoing->start >= unsent && outgoing->start > 0) {
		memmove(outgoing->bytes, outgoing->bytes + outgoing->start, unsent);
		outgoing->start = 0;
		outgoing->end = unsent;
	}
	while (outgoing->end + length > capacity)
		capacity *= 2;
	if (capacity != outgoing->capacity)
		outgoing->bytes = ph_realloc(outgoing->bytes, capacity);
	outgoing->capacity = capacity;
}

void outgoing_append(struct outgoing *outgoing, const void *bytes, size_t length)
{
	if (outgoing->end + length > outgoing->capacity)
		reserve(outgoing, length);
	memcpy(outgoing->bytes + outgoing->end, bytes, length);
	outgoing->end += length;
}

size_t outgoing_ready(struct outgoing *outgoing)
{
	size_t others = outgoing_length(outgoing) - outgoing->cleared - outgoing->held;

	if (others == 0 || outgoing->held > 0)
		return outgoing->cleared;
	if (outgoing->barrier && barrier_wait(outgoing->barrier, &outgoing->wait))
		outgoing->held = others;
	else
		outgoing->cleared += others;
	return outgoing->cleared;
}

static void let_go_of_much(struct outgoing *outgoing)
{
	outgoing->start = 0;
	outgoing->end = 0;
	if (outgoing->capacity <= KEPT)
		return;
	free(take_pointer(outgoing->bytes));
	outgoing->capacity = 0;
}

void outgoing_sent(struct outgoing *outgoing, size_t length)
{
	outgoing->start += length;
	outgoing->cleared -= length;
	if (outgoing_length(outgoing) == 0)
		let_go_of_much(outgoing);
}

void outgoing_drop(struct outgoing *outgoing)
{
	if (outgoing->barrier)
		barrier_forget(outgoing->barrier, &outgoing->wait);
	outgoing->cleared = 0;
	outgoing->held = 0;
	let_go_of_much(outgoing);
}
