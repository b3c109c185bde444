/*
 * Frames of a hostile stream. However the bytes are cut into pieces the same frames come out, none over
 * the limit, and what is kept for an incomplete one stays bounded.
 */
#include <errno.h>
#include <string.h>

#include "common/frame.h"
#include "common/str.h"
#include "tests/fuzz/fuzz.h"

#define LIMIT 300
#define ROOM_MINIMUM 512 /* that the reader begins with: common/frame.c */

/* Feed all of it in pieces of `step` bytes; append the payloads, each behind its length. */
static int read_all(const uint8_t *bytes, size_t size, size_t step, struct str *payloads)
{
	struct frame_reader reader;
	const uint8_t *payload;
	size_t length, piece;
	int result = FRAME_MORE;

	frame_reader_init(&reader, LIMIT);
	for (size_t at = 0; at < size && result >= 0; at += piece) {
		piece = size - at < step ? size - at : step;
		frame_reader_feed(&reader, bytes + at, piece);
		while ((result = frame_reader_next(&reader, &payload, &length)) == FRAME_READY) {
			FUZZ_CHECK(length <= LIMIT);
			str_append_bytes(payloads, &length, sizeof(length));
			str_append_bytes(payloads, payload, length);
		}
		/* Less than a frame is left, and the room for it is at most doubled. */
		if (result == FRAME_MORE)
			FUZZ_CHECK(reader.used - reader.consumed < LIMIT + FRAME_HEADER_SIZE);
		FUZZ_CHECK(reader.capacity <= ROOM_MINIMUM ||
			   reader.capacity < 2 * (LIMIT + FRAME_HEADER_SIZE + step));
	}
	frame_reader_fini(&reader);
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct str whole = { 0 }, pieces = { 0 };
	int result, result_of_pieces;
	size_t step;

	if (size < 2)
		return 0;
	step = bytes[0] ? bytes[0] : 1;
	result = read_all(bytes + 1, size - 1, size, &whole);
	result_of_pieces = read_all(bytes + 1, size - 1, step, &pieces);
	FUZZ_CHECK(result == result_of_pieces);
	FUZZ_CHECK(result == FRAME_MORE || result == -EMSGSIZE);
	FUZZ_CHECK(whole.length == pieces.length);
	FUZZ_CHECK(!whole.length || memcmp(whole.data, pieces.data, whole.length) == 0);
	str_fini(&whole);
	str_fini(&pieces);
	return 0;
}
