/*
 * What a hostile agent needs of the wire, and nothing that keeps it honest: connections, frames with
 * any length, envelopes with any content. Blocking, with short patience.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/handshake.h"
#include "proto/agent.pb-c.h"
#include "proto/rpc.pb-c.h"

/* What the push has handed over. */
struct hostile {
	const char *socket; /* path */
	const char *name;   /* of the container */
	const char *boot_id;
	uint8_t key[HANDSHAKE_KEY_SIZE];
};

/* Connect to the controller; a descriptor, or a negative errno. */
int hostile_connect(const struct hostile *hostile);

/* The same with the handshake done; a negative errno when the controller does not let us in. */
int hostile_prove(const struct hostile *hostile);

/* The same with the hello said: a session. */
int hostile_enter(const struct hostile *hostile);

/* The claim of an honest agent. */
struct handshake_claim hostile_claim(const struct hostile *hostile);

/* Send bytes as they are, for at most patience_ms; false once the controller has hung up, or does not
 * read. */
bool hostile_send(int fd, const void *bytes, size_t length, int patience_ms);

/* Send a frame of these bytes. */
bool hostile_send_frame(int fd, const void *payload, size_t length);

/* Send an envelope. */
bool hostile_send_envelope(int fd, const Phoenix__Envelope *envelope);

/* Send a request; message may be NULL. */
bool hostile_request(int fd, uint64_t id, const char *method, const void *message);

/* Receive the next envelope, or NULL when none comes in time. Free it. */
Phoenix__Envelope *hostile_receive(int fd, int patience_ms);

/* Wait for a call of the controller to this method; its id, or 0. */
uint64_t hostile_await_call(int fd, const char *method, int patience_ms);

/* Wait until the controller hangs up; what it sends meanwhile is thrown away. */
bool hostile_await_end(int fd, int patience_ms);

/* Milliseconds since some moment. */
uint64_t hostile_now(void);
