/*
 * The control socket: phoenixctl's requests, answered from the registry. Validates everything that
 * comes in, starts operations and streams how they go; a client that leaves stops nothing.
 *
 * Peers: root, our own user, and members of the configured group, by their kernel credentials.
 * Loop thread only.
 */
#pragma once

#include "controller/container/registry.h"

struct api;

/* Listen on RUN/control.sock (0660, the configured group). */
int api_open(struct registry *registry, struct api **ret_api, struct ph_error *error);

typedef void (*api_closed_fn)(void *user);

/*
 * Stop listening and drop all clients; closed is called, perhaps before this returns, when the last
 * one's requests have let go of the registry, which has to live until then.
 */
void api_close(struct api *api, api_closed_fn closed, void *user);
