/*
 * Who is at the other end: the agent of a container and the controller prove to each other that they
 * hold the container's key, before anything else is said. Three frames of fixed layout, no length that
 * a peer chooses, nothing decoded that is not authenticated (docs/protocol.md has every byte):
 *
 *   agent                                             controller
 *     CLAIM      name, boot id, address, protocols, nonce ->
 *     <- CHALLENGE  verdict, protocol, nonce, proof of the controller
 *     PROOF      proof of the agent ->
 *
 * A proof is keyed BLAKE2b over the role and all that was said before. So it holds for one role, one
 * pair of nonces, one container, one start, one address and one protocol: what is replayed, reflected,
 * cut, swapped or relayed to another listener does not verify. Frames are not encrypted afterwards:
 * the medium is the kernel, and the address in the claim keeps others from standing in between.
 *
 * Sans-I/O: takes frames, gives frames; nonces are arguments. Knows no sockets and keeps no key.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define HANDSHAKE_VERSION 1
#define HANDSHAKE_KEY_SIZE 32
#define HANDSHAKE_NONCE_SIZE 32
#define HANDSHAKE_PROOF_SIZE 32
#define HANDSHAKE_NAME_SIZE 64
#define HANDSHAKE_BOOT_ID_SIZE 64

#define HANDSHAKE_CLAIM_SIZE 180
#define HANDSHAKE_CHALLENGE_SIZE 76
#define HANDSHAKE_PROOF_FRAME_SIZE 40
#define HANDSHAKE_FRAME_MAXIMUM 192 /* no frame before the end of the handshake is larger */

enum handshake_transport {
	HANDSHAKE_UNIX = 1,
	HANDSHAKE_VSOCK = 2,
};

/* What an agent says of itself. Nothing of it is to be believed before the handshake is done. */
struct handshake_claim {
	char name[HANDSHAKE_NAME_SIZE];           /* of the container, terminated */
	char boot_id[HANDSHAKE_BOOT_ID_SIZE + 1]; /* of its start */
	uint16_t protocol_oldest;                 /* the range that it speaks */
	uint16_t protocol;
	enum handshake_transport transport;
	uint32_t cid; /* the address it has dialed; 0 over Unix */
	uint32_t port;
};

/* What a controller finds for a claim, and tells an agent that can verify it. */
enum handshake_verdict {
	HANDSHAKE_WELCOME = 0,
	HANDSHAKE_STALE = 1,       /* an agent of another start of this container */
	HANDSHAKE_NO_PROTOCOL = 2, /* no version in common */
};

/* What the controller holds against a claim. */
struct handshake_policy {
	enum handshake_transport transport; /* where the connection came in */
	uint32_t cid;
	uint32_t port;
	uint16_t protocol_oldest;
	uint16_t protocol;
	/*
	 * The key of the claimed container: HANDSHAKE_WELCOME or HANDSHAKE_STALE with the key filled, or a
	 * negative errno when it may not come in here. The peer is not told which.
	 */
	int (*find)(void *user, const struct handshake_claim *claim,
		    uint8_t ret_key[HANDSHAKE_KEY_SIZE]);
	void *user;
};

struct handshake_frame {
	uint8_t bytes[HANDSHAKE_FRAME_MAXIMUM];
	size_t length; /* 0: nothing is to be sent */
};

/* Named outcomes of a step. */
enum {
	HANDSHAKE_MORE = 0, /* send the frame, feed the next */
	HANDSHAKE_DONE = 1, /* send the frame, if any; the other side is who it has to be */
};

struct handshake {
	unsigned int state;
	struct handshake_policy policy; /* controller */
	struct handshake_claim claim;   /* the agent's; proved once done */
	uint16_t protocol;              /* chosen by the controller; valid once done */
	int found;                      /* controller: what find() said */
	uint8_t nonce[HANDSHAKE_NONCE_SIZE];
	uint8_t said[HANDSHAKE_CLAIM_SIZE + HANDSHAKE_CHALLENGE_SIZE];
	uint8_t expected[HANDSHAKE_PROOF_SIZE]; /* of the peer */
	uint8_t key[HANDSHAKE_KEY_SIZE];        /* agent: until done or failed; then zeroed */
};

/* Set where a claim dials to: a Unix socket's path is nobody's concern, for each container has its own. */
void handshake_claim_unix(struct handshake_claim *claim);

/* The same over vsock. */
void handshake_claim_vsock(struct handshake_claim *claim, uint32_t cid, uint32_t port);

/* Fill with random bytes from the kernel. */
void handshake_random(void *bytes, size_t length);

/*
 * Begin as an agent: ret_frame is the claim to send. The claim's texts have to fit (they are the
 * agent's own). key is copied and forgotten with the handshake.
 */
void handshake_init_agent(struct handshake *handshake, const struct handshake_claim *claim,
			  const uint8_t key[HANDSHAKE_KEY_SIZE],
			  const uint8_t nonce[HANDSHAKE_NONCE_SIZE],
			  struct handshake_frame *ret_frame);

/* Begin as the controller: wait for a claim. */
void handshake_init_controller(struct handshake *handshake, const struct handshake_policy *policy,
			       const uint8_t nonce[HANDSHAKE_NONCE_SIZE]);

/*
 * Take one received frame. HANDSHAKE_MORE, HANDSHAKE_DONE, or a negative errno with the error filled,
 * after which the connection has to be closed (ret_frame may still hold what the peer is to be told):
 * -EPROTO when it is no such frame, -EACCES when the other side does not hold the key or may not come
 * in here, and what an authentic controller refused: -ESTALE, -EPROTONOSUPPORT.
 */
int handshake_receive(struct handshake *handshake, const uint8_t *payload, size_t length,
		      struct handshake_frame *ret_frame, struct ph_error *error);

/* Forget all secrets; allowed at any time, also more than once. */
void handshake_fini(struct handshake *handshake);
