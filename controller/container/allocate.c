/*
 * Each search restarts behind the taken thing that blocks the candidate; with at most 4096
 * containers the quadratic worst case is still far below a millisecond.
 */
#include "controller/container/allocate.h"

#include <errno.h>
#include <stdbool.h>

#include "common/str.h"

/* The first id behind a taken range that overlaps [first, first + per container), or first. */
static uint64_t skip_taken(uint64_t first, const struct id_range *taken, size_t taken_count)
{
	for (size_t i = 0; i < taken_count; i++) {
		uint64_t taken_end = (uint64_t)taken[i].first + taken[i].count;

		if (taken[i].count && first < taken_end &&
		    taken[i].first < first + ALLOCATE_IDS_PER_CONTAINER)
			return taken_end;
	}
	return first;
}

int allocate_ids(const struct id_range *ranges, size_t range_count, const struct id_range *taken,
		 size_t taken_count, struct id_range *ret_range, struct ph_error *error)
{
	for (size_t i = 0; i < range_count; i++) {
		uint64_t end = (uint64_t)ranges[i].first + ranges[i].count;
		uint64_t first = ranges[i].first;

		if (end > UINT32_MAX)
			end = UINT32_MAX; /* (uid_t)-1 is no id */
		while (first + ALLOCATE_IDS_PER_CONTAINER <= end) {
			uint64_t next = skip_taken(first, taken, taken_count);

			if (next == first) {
				ret_range->first = (uint32_t)first;
				ret_range->count = ALLOCATE_IDS_PER_CONTAINER;
				return 0;
			}
			first = next;
		}
	}
	return error_set(error, -ENOSPC, "/etc/subuid",
			 "add a range for root to /etc/subuid and /etc/subgid, for example "
			 "root:100000:1000000000",
			 "no free range of %d subordinate ids is left", ALLOCATE_IDS_PER_CONTAINER);
}

static uint32_t subnet_size(uint32_t prefix_length)
{
	return UINT32_C(1) << (32 - prefix_length);
}

static bool is_taken(uint32_t value, const uint32_t *taken, size_t taken_count)
{
	for (size_t i = 0; i < taken_count; i++)
		if (taken[i] == value)
			return true;
	return false;
}

int allocate_address(uint32_t subnet, uint32_t prefix_length, const uint32_t *taken,
		     size_t taken_count, uint32_t *ret_address, struct ph_error *error)
{
	/* Offsets 0 (network), 1 (gateway) and size - 1 (broadcast) are reserved. */
	for (uint32_t offset = 2; offset < subnet_size(prefix_length) - 1; offset++) {
		if (!is_taken(subnet + offset, taken, taken_count)) {
			*ret_address = subnet + offset;
			return 0;
		}
	}
	return error_set(error, -ENOSPC, "network.subnet",
			 "configure a larger subnet, or remove containers",
			 "all %u addresses of the pool are taken", subnet_size(prefix_length) - 3);
}

int allocate_check_address(uint32_t subnet, uint32_t prefix_length, uint32_t address,
			   const uint32_t *taken, size_t taken_count, struct ph_error *error)
{
	char text[16], subnet_text[16];
	uint32_t offset = address - subnet;

	ipv4_to_text(address, text);
	ipv4_to_text(subnet, subnet_text);
	if (address < subnet || offset >= subnet_size(prefix_length))
		return error_set(error, -ERANGE, "network.address",
				 "choose an address of the subnet, or leave it out",
				 "%s is not in %s/%u", text, subnet_text, prefix_length);
	if (offset < 2 || offset == subnet_size(prefix_length) - 1)
		return error_set(error, -ERANGE, "network.address", "choose another address",
				 "%s is the network, gateway or broadcast address of %s/%u", text,
				 subnet_text, prefix_length);
	if (is_taken(address, taken, taken_count))
		return error_set(error, -EADDRINUSE, "network.address",
				 "choose another address, or leave it out", "%s is already in use",
				 text);
	return 0;
}

int allocate_slot(const uint32_t *taken, size_t taken_count, uint32_t *ret_slot,
		  struct ph_error *error)
{
	for (uint32_t slot = 0; slot < ALLOCATE_SLOTS; slot++) {
		if (!is_taken(slot, taken, taken_count)) {
			*ret_slot = slot;
			return 0;
		}
	}
	return error_set(error, -ENOSPC, NULL, "remove containers",
			 "this host already has %d containers", ALLOCATE_SLOTS);
}
