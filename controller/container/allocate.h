/*
 * What a new container is given: an id range of its own, an address, a slot (the number in its veth
 * name). Pure: the ranges and what is taken are arguments. Lowest free first, so that a fleet file
 * applied to an empty host always gives the same answer.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define ALLOCATE_IDS_PER_CONTAINER 65536
#define ALLOCATE_SLOTS 4096

struct id_range {
	uint32_t first;
	uint32_t count;
};

/*
 * Find the lowest range of ALLOCATE_IDS_PER_CONTAINER ids within the ranges that overlaps none of
 * the taken ones. -ENOSPC with a remedy (a line for /etc/subuid) when there is none.
 */
int allocate_ids(const struct id_range *ranges, size_t range_count, const struct id_range *taken,
		 size_t taken_count, struct id_range *ret_range, struct ph_error *error);

/*
 * Find the lowest address of the subnet that is not taken; the network, gateway (first host) and
 * broadcast addresses are never given. Host byte order. -ENOSPC when the pool is used up.
 */
int allocate_address(uint32_t subnet, uint32_t prefix_length, const uint32_t *taken,
		     size_t taken_count, uint32_t *ret_address, struct ph_error *error);

/*
 * Check an address that the operator chose: -ERANGE outside the subnet or one of its reserved
 * addresses, -EADDRINUSE when taken.
 */
int allocate_check_address(uint32_t subnet, uint32_t prefix_length, uint32_t address,
			   const uint32_t *taken, size_t taken_count, struct ph_error *error);

/* Find the lowest slot that is not taken; -ENOSPC beyond ALLOCATE_SLOTS. */
int allocate_slot(const uint32_t *taken, size_t taken_count, uint32_t *ret_slot,
		  struct ph_error *error);
