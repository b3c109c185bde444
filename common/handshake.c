/*
 * All fields stand at fixed places and every byte is checked or covered by the proofs: there is one
 * valid text for one meaning. A container that is unknown, or may not come in here, is challenged like
 * any other, with a key that nobody has: who does not hold a key learns nothing about who exists.
 */
#include "common/handshake.h"

#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>

#include "common/str.h"

#define MAGIC "PHXL"
#define LABEL_SIZE 32

enum frame_type {
	FRAME_CLAIM = 1,
	FRAME_CHALLENGE = 2,
	FRAME_PROOF = 3,
};

/* Places in the frames; the first six bytes are alike in all: magic, version, type. */
enum {
	AT_VERSION = 4,
	AT_TYPE = 5,
	AT_TRANSPORT = 6, /* claim */
	AT_VERDICT = 6,   /* challenge */
	AT_ZERO = 7,
	AT_OLDEST = 8, /* claim */
	AT_NEWEST = 10,
	AT_CID = 12,
	AT_PORT = 16,
	AT_NAME = 20,
	AT_BOOT_ID = AT_NAME + HANDSHAKE_NAME_SIZE,
	AT_CLAIM_NONCE = AT_BOOT_ID + HANDSHAKE_BOOT_ID_SIZE,
	AT_PROTOCOL = 8, /* challenge */
	AT_CHALLENGE_ZERO = 10,
	AT_CHALLENGE_NONCE = 12,
	AT_CHALLENGE_PROOF = AT_CHALLENGE_NONCE + HANDSHAKE_NONCE_SIZE,
	AT_PROOF = 8, /* proof */
};

_Static_assert(AT_CLAIM_NONCE + HANDSHAKE_NONCE_SIZE == HANDSHAKE_CLAIM_SIZE, "claim");
_Static_assert(AT_CHALLENGE_PROOF + HANDSHAKE_PROOF_SIZE == HANDSHAKE_CHALLENGE_SIZE, "challenge");
_Static_assert(AT_PROOF + HANDSHAKE_PROOF_SIZE == HANDSHAKE_PROOF_FRAME_SIZE, "proof");

enum handshake_state {
	HANDSHAKE_AWAITS_CLAIM,     /* controller */
	HANDSHAKE_AWAITS_PROOF,     /* controller */
	HANDSHAKE_AWAITS_CHALLENGE, /* agent */
	HANDSHAKE_ENDED,
};

static const char label_controller[LABEL_SIZE] = "phoenix link 1: controller";
static const char label_agent[LABEL_SIZE] = "phoenix link 1: agent";

void handshake_claim_unix(struct handshake_claim *claim)
{
	claim->transport = HANDSHAKE_UNIX;
	claim->cid = claim->port = 0;
}

void handshake_claim_vsock(struct handshake_claim *claim, uint32_t cid, uint32_t port)
{
	claim->transport = HANDSHAKE_VSOCK;
	claim->cid = cid;
	claim->port = port;
}

void handshake_random(void *bytes, size_t length)
{
	randombytes_buf(bytes, length);
}

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, (uint16_t)(value >> 16));
	put16(at + 2, (uint16_t)value);
}

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static void begin_frame(struct handshake_frame *frame, enum frame_type type, size_t length)
{
	memset(frame, 0, sizeof(*frame));
	memcpy(frame->bytes, MAGIC, 4);
	frame->bytes[AT_VERSION] = HANDSHAKE_VERSION;
	frame->bytes[AT_TYPE] = (uint8_t)type;
	frame->length = length;
}

/* What one role proves with the key after length bytes have been said. */
static void prove(const uint8_t key[HANDSHAKE_KEY_SIZE], const char label[LABEL_SIZE],
		  const uint8_t *said, size_t length, uint8_t ret_proof[HANDSHAKE_PROOF_SIZE])
{
	crypto_generichash_state hash;

	crypto_generichash_init(&hash, key, HANDSHAKE_KEY_SIZE, HANDSHAKE_PROOF_SIZE);
	crypto_generichash_update(&hash, (const uint8_t *)label, LABEL_SIZE);
	crypto_generichash_update(&hash, said, length);
	crypto_generichash_final(&hash, ret_proof, HANDSHAKE_PROOF_SIZE);
	sodium_memzero(&hash, sizeof(hash));
}

static int end(struct handshake *handshake, struct ph_error *error, int code, const char *remedy,
	       const char *why)
{
	handshake_fini(handshake);
	return error_set(error, code, NULL, remedy, "%s", why);
}

static int check_frame(const uint8_t *payload, size_t length, enum frame_type type, size_t wanted,
		       const char **ret_why)
{
	*ret_why = "the peer does not speak the handshake";
	if (length < AT_VERSION + 1 || memcmp(payload, MAGIC, 4) != 0)
		return -EPROTO;
	if (payload[AT_VERSION] != HANDSHAKE_VERSION) {
		*ret_why = "the peer speaks another version of the handshake";
		return -EPROTONOSUPPORT;
	}
	*ret_why = "a frame of the handshake is not in its turn or damaged";
	return length == wanted && payload[AT_TYPE] == type && payload[AT_ZERO] == 0 ? 0 : -EPROTO;
}

/* ---- the agent's side ---- */

static void write_claim(const struct handshake_claim *claim, const uint8_t *nonce,
			struct handshake_frame *frame)
{
	begin_frame(frame, FRAME_CLAIM, HANDSHAKE_CLAIM_SIZE);
	frame->bytes[AT_TRANSPORT] = (uint8_t)claim->transport;
	put16(frame->bytes + AT_OLDEST, claim->protocol_oldest);
	put16(frame->bytes + AT_NEWEST, claim->protocol);
	put32(frame->bytes + AT_CID, claim->cid);
	put32(frame->bytes + AT_PORT, claim->port);
	memcpy(frame->bytes + AT_NAME, claim->name, strnlen(claim->name, HANDSHAKE_NAME_SIZE - 1));
	memcpy(frame->bytes + AT_BOOT_ID, claim->boot_id,
	       strnlen(claim->boot_id, HANDSHAKE_BOOT_ID_SIZE));
	memcpy(frame->bytes + AT_CLAIM_NONCE, nonce, HANDSHAKE_NONCE_SIZE);
}

void handshake_init_agent(struct handshake *handshake, const struct handshake_claim *claim,
			  const uint8_t key[HANDSHAKE_KEY_SIZE],
			  const uint8_t nonce[HANDSHAKE_NONCE_SIZE],
			  struct handshake_frame *ret_frame)
{
	*handshake = (struct handshake){ .state = HANDSHAKE_AWAITS_CHALLENGE, .claim = *claim };
	memcpy(handshake->key, key, HANDSHAKE_KEY_SIZE);
	write_claim(claim, nonce, ret_frame);
	memcpy(handshake->said, ret_frame->bytes, HANDSHAKE_CLAIM_SIZE);
}

static int take_verdict(struct handshake *handshake, uint8_t verdict, struct ph_error *error)
{
	switch (verdict) {
	case HANDSHAKE_WELCOME:
		if (handshake->protocol >= handshake->claim.protocol_oldest &&
		    handshake->protocol <= handshake->claim.protocol)
			return 0;
		return end(handshake, error, -EPROTO, NULL,
			   "the controller chose a protocol version that was not offered");
	case HANDSHAKE_STALE:
		return end(handshake, error, -ESTALE, NULL,
			   "an agent of another start of this container");
	case HANDSHAKE_NO_PROTOCOL:
		return end(handshake, error, -EPROTONOSUPPORT, "push the controller's own agent",
			   "no common protocol version");
	default:
		return end(handshake, error, -EPROTO, NULL, "an unknown verdict");
	}
}

static int take_challenge(struct handshake *handshake, const uint8_t *payload, size_t length,
			  struct handshake_frame *ret_frame, struct ph_error *error)
{
	uint8_t *challenge = handshake->said + HANDSHAKE_CLAIM_SIZE;
	uint8_t expected[HANDSHAKE_PROOF_SIZE];
	const char *why;
	int r = check_frame(payload, length, FRAME_CHALLENGE, HANDSHAKE_CHALLENGE_SIZE, &why);

	if (r == 0 && get16(payload + AT_CHALLENGE_ZERO) != 0)
		r = -EPROTO;
	if (r < 0)
		return end(handshake, error, r, NULL, why);
	memcpy(challenge, payload, HANDSHAKE_CHALLENGE_SIZE);
	prove(handshake->key, label_controller, handshake->said,
	      HANDSHAKE_CLAIM_SIZE + AT_CHALLENGE_PROOF, expected);
	if (sodium_memcmp(expected, payload + AT_CHALLENGE_PROOF, HANDSHAKE_PROOF_SIZE) != 0)
		return end(handshake, error, -EACCES, NULL,
			   "the controller does not hold this container's key");
	handshake->protocol = get16(payload + AT_PROTOCOL);
	r = take_verdict(handshake, payload[AT_VERDICT], error);
	if (r < 0)
		return r;
	begin_frame(ret_frame, FRAME_PROOF, HANDSHAKE_PROOF_FRAME_SIZE);
	prove(handshake->key, label_agent, handshake->said, sizeof(handshake->said),
	      ret_frame->bytes + AT_PROOF);
	handshake_fini(handshake);
	return HANDSHAKE_DONE;
}

/* ---- the controller's side ---- */

void handshake_init_controller(struct handshake *handshake, const struct handshake_policy *policy,
			       const uint8_t nonce[HANDSHAKE_NONCE_SIZE])
{
	*handshake = (struct handshake){ .state = HANDSHAKE_AWAITS_CLAIM, .policy = *policy };
	memcpy(handshake->nonce, nonce, HANDSHAKE_NONCE_SIZE);
}

/* A text, then zeros to the end of its field. */
static bool read_text(const uint8_t *field, size_t size, char *text)
{
	size_t length = strnlen((const char *)field, size);

	for (size_t i = length; i < size; i++)
		if (field[i])
			return false;
	memcpy(text, field, length);
	text[length] = '\0';
	return true;
}

static bool is_boot_id(const char *text)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-";

	return text[0] && strspn(text, allowed) == strlen(text);
}

static bool read_claim(const uint8_t *payload, struct handshake_claim *claim)
{
	claim->transport = payload[AT_TRANSPORT];
	claim->protocol_oldest = get16(payload + AT_OLDEST);
	claim->protocol = get16(payload + AT_NEWEST);
	claim->cid = get32(payload + AT_CID);
	claim->port = get32(payload + AT_PORT);
	return payload[AT_NAME + HANDSHAKE_NAME_SIZE - 1] == 0 &&
	       read_text(payload + AT_NAME, HANDSHAKE_NAME_SIZE, claim->name) &&
	       name_is_valid(claim->name) &&
	       read_text(payload + AT_BOOT_ID, HANDSHAKE_BOOT_ID_SIZE, claim->boot_id) &&
	       is_boot_id(claim->boot_id) && claim->protocol_oldest <= claim->protocol;
}

static bool came_in_here(const struct handshake_policy *policy, const struct handshake_claim *claim)
{
	return claim->transport == policy->transport && claim->cid == policy->cid &&
	       claim->port == policy->port;
}

/* The key to challenge with, and what find() said; a key that nobody has when nobody may come in. */
static int find_key(struct handshake *handshake, uint8_t key[HANDSHAKE_KEY_SIZE])
{
	const struct handshake_policy *policy = &handshake->policy;
	int r = -EACCES;

	if (came_in_here(policy, &handshake->claim))
		r = policy->find(policy->user, &handshake->claim, key);
	if (r < 0)
		handshake_random(key, HANDSHAKE_KEY_SIZE);
	return r;
}

static enum handshake_verdict judge(struct handshake *handshake)
{
	const struct handshake_policy *policy = &handshake->policy;
	const struct handshake_claim *claim = &handshake->claim;

	if (handshake->found == HANDSHAKE_STALE)
		return HANDSHAKE_STALE;
	if (claim->protocol < policy->protocol_oldest || claim->protocol_oldest > policy->protocol)
		return HANDSHAKE_NO_PROTOCOL;
	handshake->protocol = claim->protocol < policy->protocol ? claim->protocol :
								   policy->protocol;
	return HANDSHAKE_WELCOME;
}

static int take_claim(struct handshake *handshake, const uint8_t *payload, size_t length,
		      struct handshake_frame *ret_frame, struct ph_error *error)
{
	uint8_t *challenge = handshake->said + HANDSHAKE_CLAIM_SIZE;
	uint8_t key[HANDSHAKE_KEY_SIZE] = { 0 };
	enum handshake_verdict verdict;
	const char *why;
	int r = check_frame(payload, length, FRAME_CLAIM, HANDSHAKE_CLAIM_SIZE, &why);

	/* check_frame() has looked at the byte that is zero in all frames. */
	if (r == 0 && !read_claim(payload, &handshake->claim))
		r = -EPROTO;
	if (r < 0)
		return end(handshake, error, r, NULL, why);
	memcpy(handshake->said, payload, HANDSHAKE_CLAIM_SIZE);
	handshake->found = find_key(handshake, key);
	verdict = judge(handshake);

	begin_frame(ret_frame, FRAME_CHALLENGE, HANDSHAKE_CHALLENGE_SIZE);
	ret_frame->bytes[AT_VERDICT] = (uint8_t)verdict;
	put16(ret_frame->bytes + AT_PROTOCOL, handshake->protocol);
	memcpy(ret_frame->bytes + AT_CHALLENGE_NONCE, handshake->nonce, HANDSHAKE_NONCE_SIZE);
	memcpy(challenge, ret_frame->bytes, AT_CHALLENGE_PROOF);
	prove(key, label_controller, handshake->said, HANDSHAKE_CLAIM_SIZE + AT_CHALLENGE_PROOF,
	      challenge + AT_CHALLENGE_PROOF);
	memcpy(ret_frame->bytes + AT_CHALLENGE_PROOF, challenge + AT_CHALLENGE_PROOF,
	       HANDSHAKE_PROOF_SIZE);
	prove(key, label_agent, handshake->said, sizeof(handshake->said), handshake->expected);
	sodium_memzero(key, sizeof(key));
	handshake->state = HANDSHAKE_AWAITS_PROOF;
	if (verdict == HANDSHAKE_STALE)
		return end(handshake, error, -ESTALE, NULL,
			   "an agent of another start of this container");
	if (verdict == HANDSHAKE_NO_PROTOCOL)
		return end(handshake, error, -EPROTONOSUPPORT, NULL, "no common protocol version");
	return HANDSHAKE_MORE;
}

static int take_proof(struct handshake *handshake, const uint8_t *payload, size_t length,
		      struct ph_error *error)
{
	const char *why;
	int r = check_frame(payload, length, FRAME_PROOF, HANDSHAKE_PROOF_FRAME_SIZE, &why);

	if (r == 0 && payload[AT_VERDICT] != 0)
		r = -EPROTO;
	if (r < 0)
		return end(handshake, error, r, NULL, why);
	if (sodium_memcmp(handshake->expected, payload + AT_PROOF, HANDSHAKE_PROOF_SIZE) != 0 ||
	    handshake->found < 0)
		return end(handshake, error, -EACCES, NULL,
			   handshake->found < 0 ? "the peer claims to be who may not come in here" :
						  "the peer does not hold the container's key");
	handshake_fini(handshake);
	return HANDSHAKE_DONE;
}

int handshake_receive(struct handshake *handshake, const uint8_t *payload, size_t length,
		      struct handshake_frame *ret_frame, struct ph_error *error)
{
	ret_frame->length = 0;
	switch (handshake->state) {
	case HANDSHAKE_AWAITS_CLAIM:
		return take_claim(handshake, payload, length, ret_frame, error);
	case HANDSHAKE_AWAITS_PROOF:
		return take_proof(handshake, payload, length, error);
	case HANDSHAKE_AWAITS_CHALLENGE:
		return take_challenge(handshake, payload, length, ret_frame, error);
	default:
		return error_set(error, -EPROTO, NULL, NULL, "the handshake has ended");
	}
}

void handshake_fini(struct handshake *handshake)
{
	sodium_memzero(handshake->key, sizeof(handshake->key));
	sodium_memzero(handshake->expected, sizeof(handshake->expected));
	sodium_memzero(handshake->nonce, sizeof(handshake->nonce));
	handshake->state = HANDSHAKE_ENDED;
}
