/*
 * What phoenixd knows of its containers, put together from the items in which it comes.
 */
#pragma once

#include "controller/cli/client.h"

/*
 * Ask with List or Health for those that a selector ("": all) selects. The list is the caller's, freed
 * with message_free().
 */
int listing_get(struct client *client, const char *method, const char *selector,
		Phoenix__ListReply **ret_list, struct ph_error *error);
