/*
 * The agent's link to the controller: dials out, says hello, sends heartbeats, and dials again for
 * ever when the connection breaks. Work in progress does not notice.
 *
 *   DIALING -> GREETING -> CONNECTED -> DIALING ...
 */
#pragma once

#include <uv.h>

#include "agent/service.h"
#include "common/address.h"

struct link;

struct link_config {
	struct address address;
	const char *boot_id;          /* nonce of this start, repeated in hello; borrowed */
	struct service_agent *agent;  /* serves the controller's requests; borrowed */
};

/* Start dialing. The link lives as long as the process. */
struct link *link_open(uv_loop_t *loop, const struct link_config *config);
