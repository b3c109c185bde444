/*
 * Masquerading and the guard against forged sources, in one nftables table of our own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/str.h"

struct rules_plan {
	const char *bridge; /* borrowed; [A-Za-z0-9_.-] */
	const char *subnet; /* borrowed; "10.209.0.0/16" */
};

/*
 * Load the table in one transaction. ret_listing receives what nft then lists (owned by the
 * caller). -EOPNOTSUPP when this kernel has no NAT in nftables, -ENOENT without the program.
 */
int rules_load(const struct rules_plan *plan, char **ret_listing, struct ph_error *error);

/* What nft lists of the table now, "" when there is none; the caller frees it. */
int rules_list(const struct rules_plan *plan, char **ret_listing, struct ph_error *error);

/* Remove the table; positive when there was one. */
int rules_remove(const struct rules_plan *plan, struct ph_error *error);

/*
 * Find a chain of somebody else that drops forwarded packets by default, as Docker and firewalls
 * set it: "ip filter FORWARD", or "" for none. A table of ours cannot overrule it.
 */
int rules_find_drop(const struct rules_plan *plan, char chain[96], struct ph_error *error);
