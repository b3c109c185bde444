/*
 * The stream of denials from phoenix-host: kept open while the link is up, begun again with backoff
 * when it ends. Knows nothing of what comes through it.
 *
 *   IDLE (link down) <-> WATCHING -> BACKOFF -> WATCHING
 *
 * Loop thread only.
 */
#pragma once

#include "common/timer.h"
#include "controller/link/host_link.h"
#include "proto/host.pb-c.h"

struct watch;

struct watch_config {
	struct host_link *host; /* borrowed; outlives the watch */
	/* One item, borrowed during the call. */
	void (*item)(void *user, const Phoenix__DenialsItem *item);
	/* The stream has ended; error is NULL when phoenix-host has nothing to read from. */
	void (*ended)(void *user, const struct ph_error *error);
	void *user;
};

/* Make a watch; it begins with watch_host_changed(). */
struct watch *watch_open(uv_loop_t *loop, const struct watch_config *config);

/* The link to phoenix-host came up or went down. */
void watch_host_changed(struct watch *watch, bool is_up);

/* End and free it; neither function is called any more. NULL is allowed. */
void watch_close(struct watch *watch);
