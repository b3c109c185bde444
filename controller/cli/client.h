/*
 * phoenixctl's side of the control socket, made synchronous: one call at a time, on a loop that runs
 * only while it lasts. ^C ends the client, never what it started.
 */
#pragma once

#include "common/error.h"
#include "proto/control.pb-c.h"

/*
 * The controller cannot be reached, has hung up or does not answer: the exit code that scripts retry
 * on. Never made from what a peer has sent.
 */
#define CLIENT_UNREACHABLE (-EHOSTDOWN)

struct client;

/* Take one item of a stream, borrowed during the call; a negative errno ends the call. */
typedef int (*client_item_fn)(void *user, const ProtobufCMessage *item, struct ph_error *error);

/*
 * Connect to an address ("unix:PATH"). timeout_ms is for unary calls, 0: for ever.
 * CLIENT_UNREACHABLE with a remedy when nobody listens.
 */
int client_open(const char *address, uint32_t timeout_ms, struct client **ret_client,
		struct ph_error *error);

/* Hang up and free. NULL is allowed. */
void client_close(struct client *client);

/* Call a unary method; the reply is the caller's, freed with message_free(). */
int client_call(struct client *client, const char *method, const ProtobufCMessage *request,
		void *ret_reply, struct ph_error *error);

/* The same with a streaming method whose items are one answer: all of them within the client's timeout. */
int client_collect(struct client *client, const char *method, const ProtobufCMessage *request,
		   client_item_fn item, void *user, struct ph_error *error);

/* Call a streaming method, however long it takes. Returns what item returned when it failed. */
int client_stream(struct client *client, const char *method, const ProtobufCMessage *request,
		  client_item_fn item, void *user, struct ph_error *error);
