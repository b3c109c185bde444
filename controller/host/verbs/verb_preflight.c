/*
 * What the host is like for Docker in containers, for phoenixd to judge: the preflight room's facts,
 * and those of the rooms that know of cgroups, ids and confinement.
 */
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/host/confine/clash.h"
#include "controller/host/lxc/cgroups.h"
#include "controller/host/preflight/gather.h"
#include "controller/host/tree/paths.h"
#include "controller/host/verbs/host_facts.h"
#include "controller/host/verbs/profile_state.h"
#include "controller/host/verbs/validate.h"
#include "controller/host/verbs/verbs.h"

/* The ids that were asked for, or all of root's. */
static size_t find_ranges(const Phoenix__HostPreflightRequest *request, const struct subids *subids,
			  struct keys_range ranges[SUBIDS_MAXIMUM])
{
	if (request->ids) {
		ranges[0] = (struct keys_range){ request->ids->first, request->ids->count };
		return 1;
	}
	for (size_t i = 0; i < subids->count; i++)
		ranges[i] = (struct keys_range){ subids->ranges[i].base, subids->ranges[i].count };
	return subids->count;
}

static uint64_t largest_range(const struct subids *subids)
{
	uint64_t largest = 0;

	for (size_t i = 0; i < subids->count; i++)
		if (subids->ranges[i].count > largest)
			largest = subids->ranges[i].count;
	return largest;
}

static const char *fuse_word(const struct verb_host *host)
{
	switch (host_facts_fuse()) {
	case HOST_FACTS_FUSE_MISSING:
		return "missing";
	case HOST_FACTS_FUSE_CLOSED:
		return "closed";
	case HOST_FACTS_FUSE_OPEN:
	default:
		return host->fuse_was_closed ? "opened" : "open";
	}
}

static void add_cgroups(Phoenix__HostPreflightReply *reply)
{
	struct cgroups_facts facts;

	cgroups_detect(&facts);
	message_set_text(&reply->cgroup, cgroups_mode_name(facts.mode));
	reply->controllers = ph_alloc(3 * sizeof(*reply->controllers));
	if (facts.cgroup.cpu)
		reply->controllers[reply->n_controllers++] = ph_strdup("cpu");
	if (facts.cgroup.memory)
		reply->controllers[reply->n_controllers++] = ph_strdup("memory");
	if (facts.cgroup.pids)
		reply->controllers[reply->n_controllers++] = ph_strdup("pids");
}

/* The text that was loaded last under a name: an upgrade of Phoenix does not change it by itself. */
static void add_clash(const struct verb_host *host, const char *profile,
		      Phoenix__HostPreflightReply *reply)
{
	PH_AUTO_FREE char *text = NULL;
	struct confine_clash found;
	char directory[PATHS_SIZE];
	Phoenix__HostClash *clash;

	if (profile_states_directory(host->config, directory, sizeof(directory), NULL) < 0 ||
	    confine_kept_text(directory, profile, false, &text) < 0 ||
	    confine_clash_find(text, &found) <= 0)
		return;
	clash = ph_alloc(sizeof(*clash));
	phoenix__host_clash__init(clash);
	message_set_text(&clash->profile, profile);
	message_set_text(&clash->rule, found.rule);
	message_set_text(&clash->sysctl, found.sysctl);
	clash->line = found.line;
	reply->clashes = ph_realloc(reply->clashes,
				    (reply->n_clashes + 1) * sizeof(*reply->clashes));
	reply->clashes[reply->n_clashes++] = clash;
}

static void add_confinement(const struct verb_host *host, Phoenix__HostPreflightReply *reply)
{
	struct profile_states states = { .config = host->config };
	const struct confine_facts *facts = profile_states_facts(&states);

	reply->apparmor = facts->obstacle == CONFINE_ABLE;
	message_set_text(&reply->apparmor_reason, confine_obstacle_reason(facts->obstacle));
	message_set_text(&reply->apparmor_remedy, confine_obstacle_remedy(facts->obstacle));
	add_clash(host, VALIDATE_PROFILE, reply);
	add_clash(host, VALIDATE_PROFILE_STACKED, reply);
	add_clash(host, VALIDATE_PROFILE_VSOCK, reply);
	add_clash(host, VALIDATE_PROFILE_STACKED_VSOCK, reply);
}

int verb_preflight(const struct verb_host *host, const ProtobufCMessage *message,
		   struct ph_error *error)
{
	const Phoenix__HostPreflightRequest *request = (const void *)message;
	Phoenix__HostPreflightReply *reply = ph_alloc(sizeof(*reply));
	struct keys_range ranges[SUBIDS_MAXIMUM];
	struct subids subids;
	size_t count;

	phoenix__host_preflight_reply__init(reply);
	host_facts_subids(&subids);
	count = find_ranges(request, &subids, ranges);
	preflight_gather(NULL, ranges, count, reply);
	add_cgroups(reply);
	add_confinement(host, reply);
	message_set_text(&reply->fuse, fuse_word(host));
	reply->largest_range = largest_range(&subids);
	worker_send(host->output, &reply->base);
	message_free(reply);
	return 0;
}
