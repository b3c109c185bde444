/*
 * The handshake against somebody without the key: whatever he sends, to either side and in any order, he
 * is never taken for who he is not, nothing is answered but frames of the fixed sizes, and a side that has
 * failed stays so. The first byte chooses the side, then come frames, each behind its length of one byte.
 */
#include <stdbool.h>
#include <string.h>

#include "common/handshake.h"
#include "tests/fuzz/fuzz.h"

static int find(void *user, const struct handshake_claim *claim,
		uint8_t ret_key[HANDSHAKE_KEY_SIZE])
{
	memset(ret_key, 0x5a, HANDSHAKE_KEY_SIZE);
	FUZZ_CHECK(strlen(claim->name) < HANDSHAKE_NAME_SIZE);
	FUZZ_CHECK(strlen(claim->boot_id) <= HANDSHAKE_BOOT_ID_SIZE);
	return claim->name[0] == 's' ? HANDSHAKE_STALE : HANDSHAKE_WELCOME;
}

static void begin_agent(struct handshake *handshake)
{
	const struct handshake_claim claim = { .name = "web1",
					       .boot_id = "0123456789abcdef",
					       .protocol_oldest = 1,
					       .protocol = 3,
					       .transport = HANDSHAKE_UNIX };
	static const uint8_t key[HANDSHAKE_KEY_SIZE] = { 0xa5 }, nonce[HANDSHAKE_NONCE_SIZE];
	struct handshake_frame frame;

	handshake_init_agent(handshake, &claim, key, nonce, &frame);
	FUZZ_CHECK(frame.length == HANDSHAKE_CLAIM_SIZE);
}

static void begin_controller(struct handshake *handshake)
{
	const struct handshake_policy policy = { .transport = HANDSHAKE_UNIX,
						 .protocol_oldest = 1,
						 .protocol = 2,
						 .find = find };
	static const uint8_t nonce[HANDSHAKE_NONCE_SIZE] = { 1 };

	handshake_init_controller(handshake, &policy, nonce);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct handshake_frame answer;
	struct handshake handshake;
	struct ph_error error;
	bool has_failed = false;
	size_t length;
	int result;

	if (size < 1)
		return 0;
	if (bytes[0] & 1)
		begin_agent(&handshake);
	else
		begin_controller(&handshake);
	for (size_t at = 1; at < size; at += length) {
		length = bytes[at++];
		if (length > size - at)
			length = size - at;
		result = handshake_receive(&handshake, bytes + at, length, &answer, &error);
		FUZZ_CHECK(result != HANDSHAKE_DONE);
		FUZZ_CHECK(result <= HANDSHAKE_DONE && (!has_failed || result < 0));
		FUZZ_CHECK(answer.length == 0 || answer.length == HANDSHAKE_CHALLENGE_SIZE);
		FUZZ_CHECK(answer.length == 0 || !(bytes[0] & 1));
		has_failed |= result < 0;
	}
	handshake_fini(&handshake);
	return 0;
}
