/*
 * The agent's link to the controller: dials out, shakes hands (common/handshake.h), says hello, sends
 * heartbeats, and dials again for ever when the connection breaks. Work in progress does not notice.
 *
 *   DIALING -> SHAKING HANDS -> GREETING -> CONNECTED -> DIALING ...
 */
#pragma once

#include <uv.h>

#include "agent/service.h"
#include "common/address.h"

struct link;

struct link_config {
	struct address address;
	const char *name;             /* of the container; borrowed */
	const char *boot_id;          /* nonce of this start; borrowed */
	const uint8_t *key;           /* HANDSHAKE_KEY_SIZE bytes of a secret; borrowed */
	struct service_agent *agent;  /* serves the controller's requests; borrowed */
};

/* Tell the controller of something: now, or when it is there again (spool.h). */
void link_tell(struct link *link, Phoenix__Event__Severity severity, const char *type,
	       const char *reason, const char *message);

/* Start dialing. The link lives as long as the process. */
struct link *link_open(uv_loop_t *loop, const struct link_config *config);
