/*
 * Frames on a byte stream: a 4-byte big-endian length, then that many bytes. Sans-I/O: feed bytes,
 * take frames. A length over the limit is refused before anything is allocated for it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER_SIZE 4
#define FRAME_LIMIT (256 * 1024) /* payload bytes; larger is a protocol error */

struct frame_reader {
	uint8_t *buffer; /* owned */
	size_t used;
	size_t consumed; /* bytes of complete frames already handed out */
	size_t capacity;
	size_t limit;
};

/* Start reading frames of at most limit payload bytes (FRAME_LIMIT when 0). */
void frame_reader_init(struct frame_reader *reader, size_t limit);

/* Free the buffer. */
void frame_reader_fini(struct frame_reader *reader);

/*
 * Append received bytes. Invalidates payloads handed out before. Never buffers more than one
 * incomplete frame plus length; the caller takes all frames between two feeds.
 */
void frame_reader_feed(struct frame_reader *reader, const uint8_t *bytes, size_t length);

enum frame_outcome {
	FRAME_MORE = 0, /* nothing complete: feed more */
	FRAME_READY = 1,
};

/*
 * Take the next complete frame: FRAME_READY and the payload (borrowed until the next feed),
 * FRAME_MORE, or -EMSGSIZE when the announced length is over the limit (the stream is lost).
 */
int frame_reader_next(struct frame_reader *reader, const uint8_t **ret_payload, size_t *ret_length);

/* Write the header for a payload of length bytes. */
void frame_write_header(uint8_t header[FRAME_HEADER_SIZE], uint32_t length);
