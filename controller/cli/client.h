/*
 * phoenixctl's side of the control socket, made synchronous: one call at a time, on a loop that runs
 * only while it lasts. ^C ends the client, never what it started.
 */
#pragma once

#include "common/error.h"
#include "proto/control.pb-c.h"

/* The controller cannot be reached (EX_TEMPFAIL): the exit code that scripts retry on. */
#define CLIENT_UNREACHABLE (-EHOSTDOWN)

struct client;

/* Connect to an address ("unix:PATH"). CLIENT_UNREACHABLE with a remedy when nobody listens. */
int client_open(const char *address, struct client **ret_client, struct ph_error *error);

/* Hang up and free. NULL is allowed. */
void client_close(struct client *client);

/* Call a unary method; the reply is the caller's, freed with message_free(). */
int client_call(struct client *client, const char *method, const ProtobufCMessage *request,
		void *ret_reply, struct ph_error *error);

/* Call a streaming method; item is called for each message, borrowed during the call. */
int client_stream(struct client *client, const char *method, const ProtobufCMessage *request,
		  void (*item)(void *user, const ProtobufCMessage *item), void *user,
		  struct ph_error *error);
