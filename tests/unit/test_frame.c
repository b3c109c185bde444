/* Frames: every stream of the table, cut at every place, gives the same frames and the same end. */
#include "common/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "tests/support/cmocka.h"

struct stream_case {
	const char *name;
	const char *bytes; /* as a C string literal; its length is given */
	size_t length;
	size_t limit;
	const char *frames; /* payloads, each followed by '|' */
	int end;
};

#define BYTES(literal) literal, sizeof(literal) - 1

static const struct stream_case stream_cases[] = {
	{ "nothing", BYTES(""), 8, "", FRAME_MORE },
	{ "part of a header", BYTES("\0\0\0"), 8, "", FRAME_MORE },
	{ "an empty frame", BYTES("\0\0\0\0"), 8, "|", FRAME_MORE },
	{ "one frame", BYTES("\0\0\0\3abc"), 8, "abc|", FRAME_MORE },
	{ "one byte missing", BYTES("\0\0\0\3ab"), 8, "", FRAME_MORE },
	{ "two frames and a beginning", BYTES("\0\0\0\1a\0\0\0\2bc\0"), 8, "a|bc|", FRAME_MORE },
	{ "empty ones between", BYTES("\0\0\0\0\0\0\0\1x\0\0\0\0"), 8, "|x||", FRAME_MORE },
	{ "exactly the limit", BYTES("\0\0\0\4abcd"), 4, "abcd|", FRAME_MORE },
	{ "one over the limit", BYTES("\0\0\0\5abcde"), 4, "", -EMSGSIZE },
	{ "over the limit after a good one", BYTES("\0\0\0\1a\0\0\1\0"), 8, "a|", -EMSGSIZE },
	{ "the largest length", BYTES("\xff\xff\xff\xff"), 8, "", -EMSGSIZE },
	{ "all bytes of the length count", BYTES("\1\0\0\0"), 1 << 24, "", FRAME_MORE },
	{ "default limit", BYTES("\0\4\0\0"), 0, "", FRAME_MORE },
	{ "over the default limit", BYTES("\0\4\0\1"), 0, "", -EMSGSIZE },
};

/* Take all frames that are complete; returns how it ended. */
static int drain(struct frame_reader *reader, struct str *frames)
{
	const uint8_t *payload;
	size_t length;
	int result;

	while ((result = frame_reader_next(reader, &payload, &length)) == FRAME_READY) {
		str_append_bytes(frames, payload, length);
		str_append(frames, "|");
	}
	return result;
}

/* Feed a case in pieces of the given size, from a buffer of its own so that overreads are seen. */
static void check_stream(const struct stream_case *stream, size_t piece)
{
	PH_AUTO_STR struct str frames = STR_INIT;
	struct frame_reader reader;
	int end = FRAME_MORE;

	frame_reader_init(&reader, stream->limit);
	for (size_t at = 0; at < stream->length; at += piece) {
		size_t length = stream->length - at < piece ? stream->length - at : piece;
		uint8_t *copy = malloc(length);

		memcpy(copy, stream->bytes + at, length);
		frame_reader_feed(&reader, copy, length);
		free(copy);
		end = drain(&reader, &frames);
	}
	if (strcmp(str_text(&frames), stream->frames) != 0 || end != stream->end)
		fail_msg("%s in pieces of %zu: frames \"%s\", end %d", stream->name, piece,
			 str_text(&frames), end);
	frame_reader_fini(&reader);
}

static void streams_give_their_frames(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(stream_cases); i++)
		for (size_t piece = 1; piece <= stream_cases[i].length + 1; piece++)
			check_stream(&stream_cases[i], piece);
}

static void headers_are_big_endian(void **state)
{
	static const struct {
		uint32_t length;
		uint8_t header[FRAME_HEADER_SIZE];
	} cases[] = {
		{ 0, { 0, 0, 0, 0 } },
		{ 1, { 0, 0, 0, 1 } },
		{ 0x01020304, { 1, 2, 3, 4 } },
		{ UINT32_MAX, { 255, 255, 255, 255 } },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		uint8_t header[FRAME_HEADER_SIZE];

		frame_write_header(header, cases[i].length);
		assert_memory_equal(header, cases[i].header, sizeof(header));
	}
}

static void an_announced_length_allocates_nothing(void **state)
{
	static const uint8_t header[] = { 0, 4, 0, 0 };
	struct frame_reader reader;

	frame_reader_init(&reader, 0);
	frame_reader_feed(&reader, header, sizeof(header));
	assert_true(reader.capacity <= 4096);
	frame_reader_fini(&reader);
}

static void a_lost_stream_takes_no_more_bytes(void **state)
{
	static const uint8_t header[] = { 255, 0, 0, 0 };
	static const uint8_t flood[4096];
	struct frame_reader reader;
	const uint8_t *payload;
	size_t length;

	frame_reader_init(&reader, 16);
	frame_reader_feed(&reader, header, sizeof(header));
	for (size_t i = 0; i < 100; i++) {
		frame_reader_feed(&reader, flood, sizeof(flood));
		assert_int_equal(frame_reader_next(&reader, &payload, &length), -EMSGSIZE);
	}
	assert_true(reader.capacity <= 4096);
	frame_reader_fini(&reader);
}

static void buffering_is_bounded_by_one_frame_and_one_feed(void **state)
{
	enum { LIMIT = 1000, FEED = 700, ROUNDS = 2000 };
	struct frame_reader reader;
	uint8_t *stream = malloc(ROUNDS * FEED + FRAME_HEADER_SIZE + LIMIT);
	size_t written = 0, count = 0;
	struct str frames = STR_INIT;

	while (written < ROUNDS * FEED) {
		frame_write_header(stream + written, LIMIT);
		memset(stream + written + FRAME_HEADER_SIZE, 'x', LIMIT);
		written += FRAME_HEADER_SIZE + LIMIT;
		count++;
	}
	frame_reader_init(&reader, LIMIT);
	for (size_t at = 0; at < written; at += FEED) {
		size_t length = written - at < FEED ? written - at : FEED;

		frame_reader_feed(&reader, stream + at, length);
		assert_int_equal(drain(&reader, &frames), FRAME_MORE);
		assert_true(reader.capacity <= 4096);
	}
	assert_int_equal(frames.length, count * (LIMIT + 1));
	str_fini(&frames);
	frame_reader_fini(&reader);
	free(stream);
}

static void random_streams_come_back_whole(void **state)
{
	unsigned int seed = 1;

	for (size_t round = 0; round < 200; round++) {
		PH_AUTO_STR struct str stream = STR_INIT;
		PH_AUTO_STR struct str expected = STR_INIT;
		PH_AUTO_STR struct str frames = STR_INIT;
		struct frame_reader reader;

		for (size_t i = 0; i < 20; i++) {
			size_t length = (size_t)rand_r(&seed) % 300;
			uint8_t header[FRAME_HEADER_SIZE];

			frame_write_header(header, (uint32_t)length);
			str_append_bytes(&stream, header, sizeof(header));
			for (size_t j = 0; j < length; j++) {
				char byte = (char)rand_r(&seed);

				str_append_bytes(&stream, &byte, 1);
				str_append_bytes(&expected, &byte, 1);
			}
			str_append(&expected, "|");
		}
		frame_reader_init(&reader, 300);
		for (size_t at = 0; at < stream.length;) {
			size_t length = 1 + (size_t)rand_r(&seed) % 900;

			if (length > stream.length - at)
				length = stream.length - at;
			frame_reader_feed(&reader, (uint8_t *)stream.data + at, length);
			assert_int_equal(drain(&reader, &frames), FRAME_MORE);
			at += length;
		}
		assert_int_equal(frames.length, expected.length);
		assert_memory_equal(frames.data, expected.data, expected.length);
		frame_reader_fini(&reader);
	}
}

static void fini_can_be_repeated_and_leaves_a_usable_reader(void **state)
{
	PH_AUTO_STR struct str frames = STR_INIT;
	struct frame_reader reader;

	frame_reader_init(&reader, 4);
	frame_reader_feed(&reader, (const uint8_t *)"\0\0\0\4ab", 6);
	frame_reader_fini(&reader);
	frame_reader_fini(&reader);
	frame_reader_feed(&reader, (const uint8_t *)"\0\0\0\1z", 5);
	assert_int_equal(drain(&reader, &frames), FRAME_MORE);
	assert_string_equal(str_text(&frames), "z|");
	frame_reader_fini(&reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_give_their_frames),
		cmocka_unit_test(headers_are_big_endian),
		cmocka_unit_test(an_announced_length_allocates_nothing),
		cmocka_unit_test(a_lost_stream_takes_no_more_bytes),
		cmocka_unit_test(buffering_is_bounded_by_one_frame_and_one_feed),
		cmocka_unit_test(random_streams_come_back_whole),
		cmocka_unit_test(fini_can_be_repeated_and_leaves_a_usable_reader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
