/*
 * The socket of phoenix-host: takes requests from phoenixd, validates them, queues them and runs
 * each verb in a child of its own. Requests that lock the same thing run one after the other,
 * others side by side, at most SERVER_RUNNING_MAXIMUM at a time. Knows no verb by meaning.
 *
 * Loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "common/config.h"
#include "common/error.h"

#define SERVER_RUNNING_MAXIMUM 8
#define SERVER_CONNECTIONS_MAXIMUM 4

struct server;

struct server_config {
	const struct config *config; /* borrowed */
	bool fuse_was_closed;        /* for the Probe verb */
};

/* Listen on RUN/host.sock, which root and the group of the configured user may use. */
int server_open(uv_loop_t *loop, const struct server_config *config, struct server **ret_server,
		struct ph_error *error);

/*
 * Stop listening and close all connections. Verbs at work go on in their children, nobody waits
 * for them. Freed once the loop has let go.
 */
void server_close(struct server *server);
