/*
 * The keys of the containers' agents: STATE/db/keys/NAME, 32 random bytes each, in a directory and files
 * that only phoenixd's user can open. They are read when somebody has to prove that he holds one and are
 * not kept in memory. A key is written beside the old one and renamed over it, so after a crash there is
 * the old or the new one, whole. A loss of power before the barrier has passed may leave a damaged one, which
 * nobody has been told of; no agent has lived through that either, and the next push makes another.
 */
#pragma once

#include "common/barrier.h"
#include "common/error.h"
#include "common/handshake.h"

/* Read a container's key; -ENOENT when it has none, -EBADMSG when the file is damaged. */
int agent_key_read(const char *state_dir, const char *name, uint8_t ret_key[HANDSHAKE_KEY_SIZE]);

/*
 * Make a new key and write it over any old one, which is worth nothing from then on. It is durable with the
 * barrier; NULL: when this returns.
 */
int agent_key_make(const char *state_dir, const char *name, struct barrier *barrier,
		   uint8_t ret_key[HANDSHAKE_KEY_SIZE], struct ph_error *error);

/* Read the key, or make the first one. */
int agent_key_ensure(const char *state_dir, const char *name, struct barrier *barrier,
		     uint8_t ret_key[HANDSHAKE_KEY_SIZE], struct ph_error *error);

/* Delete a container's key; 0 also when there is none. */
int agent_key_remove(const char *state_dir, const char *name, struct ph_error *error);
