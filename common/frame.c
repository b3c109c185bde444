/*
 * The buffer grows with bytes that have arrived, never with lengths that were announced, so a peer
 * pays for every byte it makes us hold.
 */
#include "common/frame.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"

#define CAPACITY_MINIMUM 512

void frame_reader_init(struct frame_reader *reader, size_t limit)
{
	*reader = (struct frame_reader){ .limit = limit ? limit : FRAME_LIMIT };
}

void frame_reader_fini(struct frame_reader *reader)
{
	free(reader->buffer);
	frame_reader_init(reader, reader->limit);
}

/* The length that the next frame announces; false while its header is incomplete. */
static bool announced(const struct frame_reader *reader, size_t *ret_length)
{
	const uint8_t *header;

	/* Before the first bytes there is no buffer to point into. */
	if (reader->used - reader->consumed < FRAME_HEADER_SIZE)
		return false;
	header = reader->buffer + reader->consumed;
	*ret_length = (size_t)header[0] << 24 | (size_t)header[1] << 16 | (size_t)header[2] << 8 |
		      header[3];
	return true;
}

/* Move what has not been handed out to the front. */
static void discard_consumed(struct frame_reader *reader)
{
	if (reader->consumed == 0)
		return;
	reader->used -= reader->consumed;
	memmove(reader->buffer, reader->buffer + reader->consumed, reader->used);
	reader->consumed = 0;
}

static void reserve(struct frame_reader *reader, size_t more)
{
	size_t needed = reader->used + more;
	size_t capacity = reader->capacity ? reader->capacity : CAPACITY_MINIMUM;

	while (capacity < needed)
		capacity *= 2;
	if (capacity == reader->capacity)
		return;
	reader->buffer = ph_realloc(reader->buffer, capacity);
	reader->capacity = capacity;
}

void frame_reader_feed(struct frame_reader *reader, const uint8_t *bytes, size_t length)
{
	size_t next;

	discard_consumed(reader);
	if (length == 0 || (announced(reader, &next) && next > reader->limit))
		return;
	reserve(reader, length);
	memcpy(reader->buffer + reader->used, bytes, length);
	reader->used += length;
}

int frame_reader_next(struct frame_reader *reader, const uint8_t **ret_payload, size_t *ret_length)
{
	size_t length;

	if (!announced(reader, &length))
		return FRAME_MORE;
	if (length > reader->limit)
		return -EMSGSIZE;
	if (reader->used - reader->consumed - FRAME_HEADER_SIZE < length)
		return FRAME_MORE;
	*ret_payload = reader->buffer + reader->consumed + FRAME_HEADER_SIZE;
	*ret_length = length;
	reader->consumed += FRAME_HEADER_SIZE + length;
	return FRAME_READY;
}

void frame_write_header(uint8_t header[FRAME_HEADER_SIZE], uint32_t length)
{
	header[0] = (uint8_t)(length >> 24);
	header[1] = (uint8_t)(length >> 16);
	header[2] = (uint8_t)(length >> 8);
	header[3] = (uint8_t)length;
}
