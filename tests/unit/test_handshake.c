/*
 * The handshake against everything that somebody on the wire can do without the key: each byte wrong,
 * frames cut, lengthened, repeated, swapped, reflected, replayed and relayed.
 */
#include "common/handshake.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/frame.h"
#include "common/handshake_dial.h"
#include "common/secret.h"
#include "common/str.h"
#include "tests/support/cmocka.h"

#define SPOKEN 3 /* frames of one handshake */

/* Two ends that are told what to do; the defaults make a handshake that works. */
struct ends {
	struct handshake agent;
	struct handshake controller;
	struct handshake_claim claim;
	struct handshake_policy policy;
	uint8_t agent_key[HANDSHAKE_KEY_SIZE];
	uint8_t controller_key[HANDSHAKE_KEY_SIZE];
	uint8_t agent_nonce[HANDSHAKE_NONCE_SIZE];
	uint8_t controller_nonce[HANDSHAKE_NONCE_SIZE];
	const char *known; /* container that the controller knows */
	const char *boot_id;
	struct handshake_frame frames[SPOKEN];
	int agent_result;
	int controller_result;
	struct ph_error agent_error;
	struct ph_error controller_error;
};

static int find(void *user, const struct handshake_claim *claim,
		uint8_t ret_key[HANDSHAKE_KEY_SIZE])
{
	const struct ends *ends = user;

	if (!text_equal(claim->name, ends->known))
		return -EACCES;
	memcpy(ret_key, ends->controller_key, HANDSHAKE_KEY_SIZE);
	return text_equal(claim->boot_id, ends->boot_id) ? HANDSHAKE_WELCOME : HANDSHAKE_STALE;
}

static void ends_init(struct ends *ends)
{
	*ends = (struct ends){
		.claim = { .name = "web1",
			   .boot_id = "0123456789abcdef",
			   .protocol_oldest = 2,
			   .protocol = 4,
			   .transport = HANDSHAKE_VSOCK,
			   .cid = 1,
			   .port = 1022 },
		.policy = { .transport = HANDSHAKE_VSOCK,
			    .cid = 1,
			    .port = 1022,
			    .protocol_oldest = 1,
			    .protocol = 3,
			    .find = find,
			    .user = ends },
		.known = "web1",
		.boot_id = "0123456789abcdef",
	};
	memset(ends->agent_key, 0x11, HANDSHAKE_KEY_SIZE);
	memset(ends->controller_key, 0x11, HANDSHAKE_KEY_SIZE);
	memset(ends->agent_nonce, 0x22, HANDSHAKE_NONCE_SIZE);
	memset(ends->controller_nonce, 0x33, HANDSHAKE_NONCE_SIZE);
}

/* What somebody in between may do to a frame before it arrives. */
struct tamper {
	size_t frame; /* 0 claim, 1 challenge, 2 proof */
	void (*with)(struct handshake_frame *frame, size_t argument);
	size_t argument;
};

static void arrive(struct ends *ends, size_t frame, const struct tamper *tamper,
		   struct handshake_frame *ret_frame)
{
	*ret_frame = ends->frames[frame];
	if (tamper && tamper->frame == frame)
		tamper->with(ret_frame, tamper->argument);
}

/* From a buffer of its own, so that overreads are seen. */
static int receive(struct handshake *handshake, const struct handshake_frame *frame,
		   struct handshake_frame *ret_answer, struct ph_error *error)
{
	uint8_t *bytes = malloc(frame->length);
	int result;

	memcpy(bytes, frame->bytes, frame->length);
	result = handshake_receive(handshake, bytes, frame->length, ret_answer, error);
	free(bytes);
	return result;
}

static void shake_hands(struct ends *ends, const struct tamper *tamper)
{
	struct handshake_frame arrived, nothing;

	handshake_init_controller(&ends->controller, &ends->policy, ends->controller_nonce);
	handshake_init_agent(&ends->agent, &ends->claim, ends->agent_key, ends->agent_nonce,
			     &ends->frames[0]);
	ends->agent_result = ends->controller_result = HANDSHAKE_MORE;
	arrive(ends, 0, tamper, &arrived);
	ends->controller_result = receive(&ends->controller, &arrived, &ends->frames[1],
					  &ends->controller_error);
	if (ends->frames[1].length == 0)
		return;
	arrive(ends, 1, tamper, &arrived);
	ends->agent_result =
		receive(&ends->agent, &arrived, &ends->frames[2], &ends->agent_error);
	if (ends->controller_result != HANDSHAKE_MORE || ends->frames[2].length == 0)
		return;
	arrive(ends, 2, tamper, &arrived);
	ends->controller_result =
		receive(&ends->controller, &arrived, &nothing, &ends->controller_error);
}

static bool is_zero(const uint8_t *bytes, size_t length)
{
	while (length && !bytes[length - 1])
		length--;
	return length == 0;
}

static void check_no_secrets(const struct handshake *handshake)
{
	assert_true(is_zero(handshake->key, sizeof(handshake->key)));
	assert_true(is_zero(handshake->expected, sizeof(handshake->expected)));
}

static void test_works(void **state)
{
	struct ends ends;

	ends_init(&ends);
	shake_hands(&ends, NULL);
	assert_int_equal(ends.agent_result, HANDSHAKE_DONE);
	assert_int_equal(ends.controller_result, HANDSHAKE_DONE);
	assert_int_equal(ends.agent.protocol, 3);
	assert_int_equal(ends.controller.protocol, 3);
	assert_string_equal(ends.controller.claim.name, "web1");
	assert_string_equal(ends.controller.claim.boot_id, "0123456789abcdef");
	assert_int_equal(ends.frames[0].length, HANDSHAKE_CLAIM_SIZE);
	assert_int_equal(ends.frames[1].length, HANDSHAKE_CHALLENGE_SIZE);
	assert_int_equal(ends.frames[2].length, HANDSHAKE_PROOF_FRAME_SIZE);
	check_no_secrets(&ends.agent);
	check_no_secrets(&ends.controller);
}

/* ---- every byte ---- */

static void flip(struct handshake_frame *frame, size_t bit)
{
	frame->bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
}

static void cut(struct handshake_frame *frame, size_t length)
{
	frame->length = length;
}

static void test_every_bit_counts(void **state)
{
	static const size_t sizes[SPOKEN] = { HANDSHAKE_CLAIM_SIZE, HANDSHAKE_CHALLENGE_SIZE,
					      HANDSHAKE_PROOF_FRAME_SIZE };
	struct ends ends;

	ends_init(&ends);
	for (size_t frame = 0; frame < SPOKEN; frame++)
		for (size_t bit = 0; bit < sizes[frame] * 8; bit++) {
			const struct tamper tamper = { frame, flip, bit };

			shake_hands(&ends, &tamper);
			if (ends.controller_result == HANDSHAKE_DONE ||
			    (frame < 2 && ends.agent_result == HANDSHAKE_DONE))
				fail_msg("frame %zu: nobody minded bit %zu", frame, bit);
		}
}

static void test_every_length_counts(void **state)
{
	struct ends ends;

	ends_init(&ends);
	for (size_t frame = 0; frame < SPOKEN; frame++)
		for (size_t length = 0; length <= HANDSHAKE_FRAME_MAXIMUM; length++) {
			const struct tamper tamper = { frame, cut, length };

			shake_hands(&ends, NULL);
			if (length == ends.frames[frame].length)
				continue;
			shake_hands(&ends, &tamper);
			if (ends.controller_result == HANDSHAKE_DONE)
				fail_msg("frame %zu: nobody minded %zu bytes", frame, length);
		}
}

/* ---- who may not come in ---- */

struct refusal_case {
	const char *name;
	void (*arrange)(struct ends *ends);
	int agent;      /* how it ends there */
	int controller; /* and there */
};

static void wrong_key(struct ends *ends)
{
	ends->agent_key[31] ^= 1;
}

static void unknown_container(struct ends *ends)
{
	ends->known = "web2";
}

static void another_start(struct ends *ends)
{
	ends->boot_id = "fedcba9876543210";
}

static void only_newer(struct ends *ends)
{
	ends->claim.protocol_oldest = 4;
	ends->claim.protocol = 9;
}

static void only_older(struct ends *ends)
{
	ends->policy.protocol_oldest = 5;
	ends->policy.protocol = 6;
}

static void another_port(struct ends *ends)
{
	ends->policy.port = 1023;
}

static void another_cid(struct ends *ends)
{
	ends->policy.cid = 2;
}

static void another_transport(struct ends *ends)
{
	ends->policy.transport = HANDSHAKE_UNIX;
}

static void no_name(struct ends *ends)
{
	ends->claim.name[0] = '\0';
}

static void bad_name(struct ends *ends)
{
	text_copy(ends->claim.name, sizeof(ends->claim.name), "../web1");
}

static void no_boot_id(struct ends *ends)
{
	ends->claim.boot_id[0] = '\0';
}

static void bad_boot_id(struct ends *ends)
{
	text_copy(ends->claim.boot_id, sizeof(ends->claim.boot_id), "0123\n4567");
}

static void protocols_upside_down(struct ends *ends)
{
	ends->claim.protocol_oldest = 5;
	ends->claim.protocol = 1;
}

static const struct refusal_case refusal_cases[] = {
	{ "another key", wrong_key, -EACCES, HANDSHAKE_MORE },
	{ "a container that is not known", unknown_container, -EACCES, HANDSHAKE_MORE },
	{ "another start", another_start, -ESTALE, -ESTALE },
	{ "an agent that is too new", only_newer, -EPROTONOSUPPORT, -EPROTONOSUPPORT },
	{ "an agent that is too old", only_older, -EPROTONOSUPPORT, -EPROTONOSUPPORT },
	{ "relayed from another port", another_port, -EACCES, HANDSHAKE_MORE },
	{ "relayed from another context", another_cid, -EACCES, HANDSHAKE_MORE },
	{ "relayed from another transport", another_transport, -EACCES, HANDSHAKE_MORE },
	{ "no name", no_name, HANDSHAKE_MORE, -EPROTO },
	{ "a name that is none", bad_name, HANDSHAKE_MORE, -EPROTO },
	{ "no boot id", no_boot_id, HANDSHAKE_MORE, -EPROTO },
	{ "a boot id that is none", bad_boot_id, HANDSHAKE_MORE, -EPROTO },
	{ "a range from high to low", protocols_upside_down, HANDSHAKE_MORE, -EPROTO },
};

static void test_refusals(void **state)
{
	for (size_t i = 0; i < sizeof(refusal_cases) / sizeof(refusal_cases[0]); i++) {
		const struct refusal_case *refusal = &refusal_cases[i];
		struct ends ends;

		ends_init(&ends);
		refusal->arrange(&ends);
		shake_hands(&ends, NULL);
		if (ends.agent_result != refusal->agent ||
		    ends.controller_result != refusal->controller)
			fail_msg("%s: agent %d, controller %d", refusal->name, ends.agent_result,
				 ends.controller_result);
		if (ends.controller_result < 0)
			check_no_secrets(&ends.controller);
		if (ends.agent_result < 0)
			check_no_secrets(&ends.agent);
	}
}

/* A container that is not there is answered as one that is: nobody learns names. */
static void test_silent_about_names(void **state)
{
	struct ends known, unknown;

	ends_init(&known);
	ends_init(&unknown);
	unknown.known = "web2";
	shake_hands(&known, NULL);
	shake_hands(&unknown, NULL);
	assert_int_equal(unknown.frames[1].length, known.frames[1].length);
	assert_memory_equal(unknown.frames[1].bytes, known.frames[1].bytes,
			    HANDSHAKE_CHALLENGE_SIZE - HANDSHAKE_PROOF_SIZE);
}

struct version_case {
	const char *name;
	uint16_t agent_oldest, agent_newest, oldest, newest, chosen;
};

static const struct version_case version_cases[] = {
	{ "the same", 1, 1, 1, 1, 1 },
	{ "an older agent", 1, 1, 1, 2, 1 },
	{ "a newer agent", 1, 3, 1, 2, 2 },
	{ "overlapping", 2, 5, 1, 3, 3 },
	{ "a newer agent that has dropped the first", 2, 3, 1, 2, 2 },
	{ "the largest", 0, 65535, 65535, 65535, 65535 },
};

static void test_versions(void **state)
{
	for (size_t i = 0; i < sizeof(version_cases) / sizeof(version_cases[0]); i++) {
		const struct version_case *version = &version_cases[i];
		struct ends ends;

		ends_init(&ends);
		ends.claim.protocol_oldest = version->agent_oldest;
		ends.claim.protocol = version->agent_newest;
		ends.policy.protocol_oldest = version->oldest;
		ends.policy.protocol = version->newest;
		shake_hands(&ends, NULL);
		if (ends.controller_result != HANDSHAKE_DONE ||
		    ends.agent_result != HANDSHAKE_DONE ||
		    ends.agent.protocol != version->chosen ||
		    ends.controller.protocol != version->chosen)
			fail_msg("%s: %u and %u", version->name, ends.agent.protocol,
				 ends.controller.protocol);
	}
}

/* ---- replay, reflection, order ---- */

static void test_replay(void **state)
{
	struct handshake_frame answer;
	struct ph_error error;
	struct ends first, second;

	ends_init(&first);
	shake_hands(&first, NULL);
	/* The agent's frames again, to a controller with a new nonce. */
	ends_init(&second);
	second.controller_nonce[0] ^= 1;
	handshake_init_controller(&second.controller, &second.policy, second.controller_nonce);
	assert_int_equal(receive(&second.controller, &first.frames[0], &answer, &error),
			 HANDSHAKE_MORE);
	assert_int_equal(receive(&second.controller, &first.frames[2], &answer, &error), -EACCES);
	/* The controller's challenge again, to an agent with a new nonce. */
	second.agent_nonce[0] ^= 1;
	handshake_init_agent(&second.agent, &second.claim, second.agent_key, second.agent_nonce,
			     &answer);
	assert_int_equal(receive(&second.agent, &first.frames[1], &answer, &error), -EACCES);
	assert_int_equal(answer.length, 0);
}

static void test_reflection(void **state)
{
	struct handshake_frame answer, reflected;
	struct ph_error error;
	struct ends ends;

	ends_init(&ends);
	shake_hands(&ends, NULL);
	/* A claim sent back is no challenge. */
	handshake_init_agent(&ends.agent, &ends.claim, ends.agent_key, ends.agent_nonce, &answer);
	assert_int_equal(receive(&ends.agent, &ends.frames[0], &answer, &error), -EPROTO);
	/* The controller's proof sent back is no proof of an agent. */
	handshake_init_controller(&ends.controller, &ends.policy, ends.controller_nonce);
	assert_int_equal(receive(&ends.controller, &ends.frames[0], &answer, &error),
			 HANDSHAKE_MORE);
	reflected = ends.frames[2];
	memcpy(reflected.bytes + HANDSHAKE_PROOF_FRAME_SIZE - HANDSHAKE_PROOF_SIZE,
	       answer.bytes + HANDSHAKE_CHALLENGE_SIZE - HANDSHAKE_PROOF_SIZE,
	       HANDSHAKE_PROOF_SIZE);
	assert_int_equal(receive(&ends.controller, &reflected, &answer, &error), -EACCES);
}

/* Each frame in each wrong place of the controller's side; each one once more. */
static void test_order(void **state)
{
	struct handshake_frame answer;
	struct ph_error error;
	struct ends ends;

	ends_init(&ends);
	shake_hands(&ends, NULL);
	for (size_t frame = 1; frame < SPOKEN; frame++) {
		handshake_init_controller(&ends.controller, &ends.policy, ends.controller_nonce);
		assert_int_equal(receive(&ends.controller, &ends.frames[frame], &answer, &error),
				 -EPROTO);
		/* Failed is failed: the right one does not help any more. */
		assert_int_equal(receive(&ends.controller, &ends.frames[0], &answer, &error),
				 -EPROTO);
	}
	for (size_t frame = 0; frame < 2; frame++) {
		handshake_init_controller(&ends.controller, &ends.policy, ends.controller_nonce);
		assert_int_equal(receive(&ends.controller, &ends.frames[0], &answer, &error),
				 HANDSHAKE_MORE);
		assert_int_equal(receive(&ends.controller, &ends.frames[frame], &answer, &error),
				 -EPROTO);
	}
	shake_hands(&ends, NULL);
	assert_int_equal(receive(&ends.controller, &ends.frames[2], &answer, &error), -EPROTO);
	assert_int_equal(receive(&ends.agent, &ends.frames[1], &answer, &error), -EPROTO);
}

/* A controller with the key that chooses what was not offered is not followed. */
static void test_choice_must_be_offered(void **state)
{
	struct ends ends;

	ends_init(&ends);
	ends.policy.protocol_oldest = ends.policy.protocol = 3;
	shake_hands(&ends, NULL);
	assert_int_equal(ends.agent_result, HANDSHAKE_DONE);
	handshake_init_agent(&ends.agent, &ends.claim, ends.agent_key, ends.agent_nonce,
			     &ends.frames[0]);
	ends.agent.claim.protocol_oldest = ends.agent.claim.protocol = 4;
	ends.agent_result =
		receive(&ends.agent, &ends.frames[1], &ends.frames[2], &ends.agent_error);
	assert_int_equal(ends.agent_result, -EPROTO);
}

/* The bytes of docs/protocol.md: another implementation can check itself against them. */
static void test_vector(void **state)
{
	char text[2 * HANDSHAKE_PROOF_SIZE + 1];
	struct ends ends;

	ends_init(&ends);
	shake_hands(&ends, NULL);
	assert_string_equal(bytes_to_hex(ends.frames[1].bytes + HANDSHAKE_CHALLENGE_SIZE -
						 HANDSHAKE_PROOF_SIZE,
					 HANDSHAKE_PROOF_SIZE, text),
			    "9b40c01f77ff9c59ccb7405c4f6ec5e2bdf37abc4bbd7a3a82730cd34816b1ca");
	assert_string_equal(bytes_to_hex(ends.frames[2].bytes + HANDSHAKE_PROOF_FRAME_SIZE -
						 HANDSHAKE_PROOF_SIZE,
					 HANDSHAKE_PROOF_SIZE, text),
			    "51d58af7dcf73b2e63cc93395d41c427025a5a31aa324f129d59c308ea4ea444");
}

/* ---- on a socket, and the key's memory ---- */

/* The controller at the other end of a socketpair, byte by byte; then it exits. */
static void serve_one(int fd, struct ends *ends)
{
	struct handshake_frame answer;
	struct frame_reader reader;
	struct ph_error error;
	const uint8_t *payload;
	uint8_t byte, header[FRAME_HEADER_SIZE];
	size_t length;
	int result = HANDSHAKE_MORE;

	frame_reader_init(&reader, HANDSHAKE_FRAME_MAXIMUM);
	handshake_init_controller(&ends->controller, &ends->policy, ends->controller_nonce);
	while (result == HANDSHAKE_MORE && read(fd, &byte, 1) == 1) {
		frame_reader_feed(&reader, &byte, 1);
		if (frame_reader_next(&reader, &payload, &length) != FRAME_READY)
			continue;
		result = handshake_receive(&ends->controller, payload, length, &answer, &error);
		frame_write_header(header, (uint32_t)answer.length);
		if (answer.length && (write(fd, header, sizeof(header)) < 0 ||
				      write(fd, answer.bytes, answer.length) < 0))
			break;
	}
	frame_reader_fini(&reader);
	_exit(result == HANDSHAKE_DONE ? 0 : 1);
}

static int dial(struct ends *ends, int *ret_status, struct ph_error *error)
{
	uint16_t protocol = 0;
	int fds[2], result;
	pid_t child;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	child = fork();
	if (child == 0) {
		close(fds[0]);
		serve_one(fds[1], ends);
	}
	close(fds[1]);
	result = handshake_dial(fds[0], &ends->claim, ends->agent_key, 10000, &protocol, error);
	close(fds[0]);
	waitpid(child, ret_status, 0);
	if (result == 0)
		assert_int_equal(protocol, 3);
	return result;
}

static void test_dial(void **state)
{
	struct ph_error error;
	struct ends ends;
	int status;

	ends_init(&ends);
	assert_int_equal(dial(&ends, &status, &error), 0);
	assert_int_equal(status, 0);
	ends.agent_key[0] ^= 1;
	assert_int_equal(dial(&ends, &status, &error), -EACCES);
	assert_int_not_equal(status, 0);
}

static void test_secret(void **state)
{
	uint8_t *secret = secret_new();
	int status, ends[2];
	pid_t child;

	memset(secret, 0x5a, SECRET_MAXIMUM);
	child = fork();
	if (child == 0)
		_exit(is_zero(secret, SECRET_MAXIMUM) ? 0 : 1);
	waitpid(child, &status, 0);
	assert_int_equal(status, 0);
	assert_int_equal(secret[0], 0x5a);

	for (size_t length = 30; length < 35; length++) {
		assert_int_equal(pipe(ends), 0);
		assert_int_equal(write(ends[1], secret, length), length);
		close(ends[1]);
		assert_int_equal(secret_read(ends[0], secret, 32), length == 32 ? 0 : -EBADMSG);
		close(ends[0]);
	}
	secret_free(secret);
	secret_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_works),
		cmocka_unit_test(test_every_bit_counts),
		cmocka_unit_test(test_every_length_counts),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_silent_about_names),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_replay),
		cmocka_unit_test(test_reflection),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_choice_must_be_offered),
		cmocka_unit_test(test_vector),
		cmocka_unit_test(test_dial),
		cmocka_unit_test(test_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
