/*
 * Peers that have connected and not yet proved who they are: a bounded number, each for a bounded time,
 * with nothing but a handshake to say. Who comes when all places are taken pushes out the one that has
 * been there longest, so that peers which only hold places do not keep others away for long.
 *
 * Loop thread only.
 */
#pragma once

#include <sys/socket.h>
#include <uv.h>

#include "common/channel.h"
#include "common/handshake.h"

#define GREETINGS_DEADLINE_MS 5000

struct greetings;

/* A peer that holds the key of the container it claims. */
struct greeted {
	const struct handshake_claim *claim; /* borrowed; proved */
	struct channel *channel;             /* to be adopted */
	uint16_t protocol;                   /* agreed on */
	struct ucred peer;                   /* as the kernel noted it; pid 0 over vsock */
};

struct greetings_config {
	uv_loop_t *loop;       /* borrowed */
	unsigned int maximum;  /* places */
	uint16_t protocol_oldest;
	uint16_t protocol;
	struct barrier *barrier; /* of the channels; borrowed; NULL: none */
	/* As in struct handshake_policy. */
	int (*find)(void *user, const struct handshake_claim *claim,
		    uint8_t ret_key[HANDSHAKE_KEY_SIZE]);
	/* Take the channel over with channel_adopt(), or refuse it with a negative errno and the error
	 * filled. */
	int (*proved)(void *user, const struct greeted *greeted, struct ph_error *error);
	/* A peer was refused or has left; claim is NULL when it had made none. */
	void (*refused)(void *user, const struct handshake_claim *claim,
			const struct ph_error *error);
	void *user;
};

/* Make places for peers. */
struct greetings *greetings_new(const struct greetings_config *config);

/* Greet the peer behind an accepted socket; fd is taken over. */
void greetings_take(struct greetings *greetings, int fd, const struct ucred *peer);

/* Close what is there without telling, free. NULL is allowed; not from within proved(). */
void greetings_close(struct greetings *greetings);
