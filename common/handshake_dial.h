/* The agent's side of the handshake on a socket, blocking: for programs without a loop. */
#pragma once

#include "common/handshake.h"

/*
 * Prove to the controller behind a connected socket that we are what claim says, and have it prove itself.
 * The socket may be non-blocking and stays as it was; what follows on it are rpc's frames. 0 and the
 * protocol version that was chosen; -ETIMEDOUT, -ECONNRESET, or as handshake_receive().
 */
int handshake_dial(int fd, const struct handshake_claim *claim,
		   const uint8_t key[HANDSHAKE_KEY_SIZE], int timeout_ms, uint16_t *ret_protocol,
		   struct ph_error *error);
