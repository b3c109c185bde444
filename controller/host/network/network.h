/*
 * The containers' network on this host: one bridge with the gateway address, forwarding,
 * masquerading in an nftables table of our own, and a DNS forwarder on the bridge. Works with the
 * host's own tools (ip, nft, dnsmasq) in the network namespace of the caller; what was changed is
 * recorded in RUN/network so that it can be undone. Knows nothing of the containers on it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config.h"
#include "common/error.h"

#define NETWORK_FINDINGS_MAXIMUM 8

/* Something that works less well than it should, and what to do about it. */
struct network_finding {
	char what[240];
	char remedy[320];
};

struct network_status {
	char bridge[16];
	char gateway[16];   /* "10.209.0.1" */
	char subnet[20];    /* "10.209.0.0/16" */
	uint32_t mtu;       /* for the containers' interfaces too */
	bool masquerade;    /* false: see the findings */
	bool dns;           /* the forwarder runs */
	struct network_finding findings[NETWORK_FINDINGS_MAXIMUM];
	size_t finding_count;
};

enum network_outcome {
	NETWORK_CHANGED = 0,
	NETWORK_UNCHANGED = 1,
};

/*
 * Make the network as the configuration says, changing only what differs. NETWORK_UNCHANGED when
 * all was right. -EEXIST when the bridge's name belongs to another interface, -EADDRINUSE when the
 * subnet is somebody else's here. A kernel without NAT in nftables is a finding, not an error.
 */
int network_ensure(const struct config *config, struct network_status *ret_status,
		   struct ph_error *error);

/*
 * Undo what network_ensure() did. NETWORK_UNCHANGED when there was nothing, -EBUSY with their names
 * while interfaces are on the bridge. The status may be NULL.
 */
int network_remove(const struct config *config, struct network_status *ret_status,
		   struct ph_error *error);

/* The gateway's address: the first host of the subnet, in host byte order. */
uint32_t network_gateway(const struct config *config);

/*
 * Write what belongs into a container's /etc/resolv.conf: our forwarder, or with "dns: false" the
 * host's own name servers that a container can reach. The caller frees the text.
 */
int network_resolv_conf(const struct config *config, char **ret_text, struct ph_error *error);
