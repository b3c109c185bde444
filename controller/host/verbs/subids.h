/*
 * Root's subordinate ids: what /etc/subuid and /etc/subgid both give to root. Pure: works on the
 * files' texts.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SUBIDS_MAXIMUM 64

struct subids_range {
	uint32_t base;
	uint32_t count;
};

struct subids {
	struct subids_range ranges[SUBIDS_MAXIMUM];
	size_t count;
};

/*
 * Find the ranges that both texts give to root (by name or as "0"), ascending and without overlap.
 * Lines that make no sense, ids below 65536 and ranges shorter than 65536 ids are left out. At most
 * SUBIDS_MAXIMUM ranges are kept.
 */
void subids_parse(const char *subuid, const char *subgid, struct subids *ret_subids);

/* Whether all of count ids from base lie in one of the ranges. */
bool subids_contain(const struct subids *subids, uint32_t base, uint32_t count);
