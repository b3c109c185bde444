/*
 * The denials that phoenixd has counted: what is in the table, then what comes. A client that does
 * not keep up with a flood misses counts, not memory here: each pattern it gets has the whole count.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/api/api_private.h"
#include "controller/denials/denials.h"
#include "controller/denials/patterns.h"

#define BATCH 32 /* bounded by the frame */
#define UNSENT_MAXIMUM (128 * 1024)

struct listing {
	struct rpc_request *request;
	Phoenix__DenialsReply_Closure reply;
	Phoenix__DenialsReply item;
	Phoenix__DenialPattern *patterns[BATCH];   /* borrowed */
	Phoenix__DenialsDropped *dropped[BATCH];   /* owned */
	struct denials_follower *follower;         /* owned; while live */
};

static void send_item(struct listing *listing)
{
	listing->reply(&listing->item, listing->request);
	for (size_t i = 0; i < listing->item.n_dropped; i++)
		free(listing->dropped[i]);
	phoenix__denials_reply__init(&listing->item);
	listing->item.patterns = listing->patterns;
	listing->item.dropped = listing->dropped;
}

static void add_pattern(void *user, const Phoenix__DenialPattern *pattern)
{
	struct listing *listing = user;

	listing->patterns[listing->item.n_patterns++] = (Phoenix__DenialPattern *)pattern;
	if (listing->item.n_patterns == BATCH)
		send_item(listing);
}

static void add_dropped(void *user, const char *container, uint64_t count)
{
	Phoenix__DenialsDropped *dropped = ph_alloc(sizeof(*dropped));
	struct listing *listing = user;

	phoenix__denials_dropped__init(dropped);
	dropped->container = (char *)container;
	dropped->count = count;
	listing->dropped[listing->item.n_dropped++] = dropped;
	if (listing->item.n_dropped == BATCH)
		send_item(listing);
}

static void counted(void *user, const Phoenix__DenialPattern *pattern)
{
	struct listing *listing = user;

	if (rpc_request_unsent(listing->request) > UNSENT_MAXIMUM)
		return;
	add_pattern(listing, pattern);
	send_item(listing);
}

static void client_left(void *user)
{
	struct listing *listing = user;

	denials_unfollow(listing->follower);
	rpc_end(listing->request);
	free(listing);
}

static void send_table(struct listing *listing, const struct denials *denials,
		       const char *container)
{
	const struct patterns *patterns = denials_patterns(denials);

	phoenix__denials_reply__init(&listing->item);
	listing->item.patterns = listing->patterns;
	listing->item.dropped = listing->dropped;
	listing->item.source = (Phoenix__DenialsSource *)denials_source(denials);
	patterns_visit(patterns, container, add_pattern, listing);
	patterns_visit_dropped(patterns, container, add_dropped, listing);
	listing->item.caught_up = true;
	send_item(listing);
}

API_HANDLER(denials, DenialsRequest, DenialsReply)
{
	struct registry *registry = api_registry(service);
	struct listing *listing;

	if (input->container[0] && !registry_find(registry, input->container)) {
		api_fail_not_found(request, input->container);
		return;
	}
	listing = ph_alloc(sizeof(*listing));
	listing->request = request;
	listing->reply = reply;
	send_table(listing, registry->denials, input->container[0] ? input->container : NULL);
	if (!input->follow) {
		rpc_end(request);
		free(listing);
		return;
	}
	listing->follower =
		denials_follow(registry->denials, input->container, counted, listing);
	rpc_request_on_cancel(request, client_left, listing);
}
