/*
 * The rules that a fleet keeps, whether it comes from a file or over a socket. Pure; says which
 * container and which field break one, so that each source can name the place in its own way.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/model.pb-c.h"

#define CHECK_NONE SIZE_MAX

struct check_problem {
	size_t container;  /* index; CHECK_NONE: the fleet as a whole */
	size_t other;      /* index of the one it collides with, or CHECK_NONE */
	const char *field; /* as in the fleet file: "resources.memory"; static */
	char why[240];
	const char *remedy; /* static; may be NULL */
};

/* Check one spec by itself: 0, or -EINVAL and the problem, whose container is 0. */
int check_spec(const Phoenix__ContainerSpec *spec, struct check_problem *ret_problem);

/* Check all specs, their number, and that names and addresses are used once. */
int check_fleet(const Phoenix__Fleet *fleet, struct check_problem *ret_problem);

/*
 * Check that a valid fleet passes the limits of one request (frame.h, budget.h), so that it is
 * refused with a reason here and not by a connection that closes.
 */
int check_size(const Phoenix__Fleet *fleet, struct check_problem *ret_problem);

/* Check that addresses lie in a subnet (host byte order) and are for containers. */
int check_addresses(const Phoenix__Fleet *fleet, uint32_t subnet, uint32_t prefix_length,
		    struct check_problem *ret_problem);

/* Whether a label's key is 1 to 63 of [A-Za-z0-9._/-] and begins with a letter or digit. */
bool check_label_key(const char *key);

/* Whether a label's value is so too, without '/'. */
bool check_label_value(const char *value);
