/*
 * The DNS forwarder on the bridge: a dnsmasq of ours that outlives us. It is recognised by what it
 * is (program, arguments, network namespace), never by its name or pid alone.
 */
#pragma once

#include <stdint.h>

#include "common/config.h"
#include "common/error.h"

enum forwarder_outcome {
	FORWARDER_STARTED = 0,
	FORWARDER_UNCHANGED = 1,
};

/* Let the forwarder run as configured; one with other arguments is replaced. */
int forwarder_ensure(const struct config *config, uint32_t gateway, struct ph_error *error);

/* End ours; positive when one ran. */
int forwarder_stop(const struct config *config, struct ph_error *error);
