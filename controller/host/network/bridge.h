/*
 * The bridge itself, through iproute2: looking, making, removing. Decides nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

/* The bridge as it should be. */
struct bridge_plan {
	const char *name;       /* borrowed */
	uint32_t gateway;       /* host byte order */
	uint32_t prefix_length;
	uint32_t mtu;
};

/* The interface of that name, and the network around it. */
struct bridge_view {
	bool exists;
	bool is_bridge;
	bool is_up;
	bool has_gateway;       /* carries the address of the plan */
	char other_address[24]; /* an IPv4 address that is not the plan's, "" for none */
	uint32_t mtu;
	uint32_t uplink_mtu;    /* of the default route's interface; 0 without one */
	char conflict[64];      /* a route of another interface that is the subnet or inside it */
	char wider[64];         /* one that contains it */
};

/* Look at the interface and the routes; fills a view. */
int bridge_look(const struct bridge_plan *plan, struct bridge_view *ret_view,
		struct ph_error *error);

/* Make the bridge, with a hardware address that does not change with its ports. */
int bridge_create(const struct bridge_plan *plan, struct ph_error *error);

/* Put the plan's address on the interface. */
int bridge_add_address(const struct bridge_plan *plan, struct ph_error *error);

/* Take an address ("10.0.0.1/24") off an interface. */
int bridge_remove_address(const char *name, const char *address, struct ph_error *error);

/* Set the MTU and bring the interface up. */
int bridge_set_up(const struct bridge_plan *plan, struct ph_error *error);

/* Delete the interface. */
int bridge_delete(const char *name, struct ph_error *error);

/* Write the names of the interfaces on the bridge into text; returns how many there are. */
int bridge_ports(const char *name, char *text, size_t size, struct ph_error *error);
