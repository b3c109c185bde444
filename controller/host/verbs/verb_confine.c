/*
 * The profile in the kernel. Required confinement that this host cannot give is refused with the
 * reason; best effort goes without it and says so.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/host/confine/facts.h"
#include "controller/host/confine/kept.h"
#include "controller/host/confine/namespace.h"
#include "controller/host/confine/policy.h"
#include "controller/host/confine/render.h"
#include "controller/host/confine/stacking.h"
#include "controller/host/tree/paths.h"
#include "controller/host/verbs/go_live.h"
#include "controller/host/verbs/observe.h"
#include "controller/host/verbs/verbs.h"

static int refuse(const struct confine_facts *facts, struct ph_error *error)
{
	char remedy[320] = "";
	struct str text = STR_INIT;

	str_appendf(&text, "%s; or write \"confinement: best-effort\" for the container",
		    confine_obstacle_remedy(facts->obstacle));
	text_copy(remedy, sizeof(remedy), str_text(&text));
	str_fini(&text);
	return error_set(error, -EOPNOTSUPP, "confinement: required", remedy, "%s%s%s",
			 confine_obstacle_reason(facts->obstacle), facts->detail[0] ? ": " : "",
			 facts->detail);
}

static void send_without(const struct verb_host *host, const struct confine_facts *facts)
{
	Phoenix__ConfineReply reply = PHOENIX__CONFINE_REPLY__INIT;

	reply.reason = (char *)confine_obstacle_reason(facts->obstacle);
	worker_send(host->output, &reply.base);
}

/* Leftovers of containers that were killed together with everything that knew of them. */
static bool runs(void *user, const char *name)
{
	const struct config *config = user;
	struct placement placement;

	return placement_load(config, name, &placement, NULL) == 0 &&
	       observe_init(config, &placement) > 0;
}

static int check_stacking(struct ph_error *error)
{
	char release[160], version[160];
	struct stacking_kernel kernel;

	stacking_detect(release, version, sizeof(release), &kernel);
	return stacking_judge(&kernel, error);
}

static int load(const struct verb_host *host, struct profile_states *states,
		const Phoenix__ConfineEnsureRequest *request, struct ph_error *error)
{
	bool is_stacked = request->mode == PHOENIX__CONFINEMENT_MODE__CONFINEMENT_STACKED;
	const struct confine_render kind = {
		.kind = is_stacked ? CONFINE_STACKED : CONFINE_NAMED,
		.vsock = request->transport == PHOENIX__TRANSPORT__TRANSPORT_VSOCK,
	};
	char profile[CONFINE_NAME_SIZE];
	Phoenix__ConfineReply reply = PHOENIX__CONFINE_REPLY__INIT;
	PH_AUTO_FREE char *text = NULL;
	struct go_live result = { 0 };
	int code = is_stacked ? check_stacking(error) : 0;

	if (code < 0)
		return code;
	confine_render_name(&kind, profile);
	namespace_sweep(runs, (void *)host->config);
	if (request->roll_back) {
		code = go_live_back(states, profile, &result, error);
	} else {
		code = profile_states_render(states, profile, &text, error);
		if (code >= 0)
			code = go_live(states, profile, text, &result, error);
	}
	if (code < 0)
		return code;
	reply.profile = profile;
	reply.changed = result.changed;
	reply.replaced = result.replaced;
	reply.processes = result.processes;
	reply.hash = result.hash;
	worker_send(host->output, &reply.base);
	return 0;
}

int verb_confine_ensure(const struct verb_host *host, const ProtobufCMessage *message,
			struct ph_error *error)
{
	const Phoenix__ConfineEnsureRequest *request = (const void *)message;
	struct profile_states states = { .config = host->config };
	const struct confine_facts *facts = profile_states_facts(&states);

	if (facts->obstacle == CONFINE_ABLE)
		return load(host, &states, request, error);
	if (request->confinement == PHOENIX__CONFINEMENT__CONFINEMENT_REQUIRED)
		return refuse(facts, error);
	send_without(host, facts);
	return 0;
}

/* The first running container that the profile holds; false when there is none. */
static bool find_confined(const struct config *config, char ret_name[64])
{
	PH_AUTO_FREE char(*names)[64] = NULL;
	size_t count = 0;

	placement_names(config, &names, &count, NULL);
	for (size_t i = 0; i < count; i++) {
		struct placement placement;

		if (placement_load(config, names[i], &placement, NULL) < 0 ||
		    !placement.profile[0] || observe_init(config, &placement) == 0)
			continue;
		text_copy(ret_name, 64, names[i]);
		return true;
	}
	return false;
}

int verb_confine_remove(const struct verb_host *host, const ProtobufCMessage *message,
			struct ph_error *error)
{
	Phoenix__ConfineReply reply = PHOENIX__CONFINE_REPLY__INIT;
	struct profile_states states = { .config = host->config };
	const struct confine_facts *facts;
	static const char *const profiles[] = { CONFINE_PROFILE, CONFINE_PROFILE_STACKED,
						CONFINE_PROFILE_VSOCK,
						CONFINE_PROFILE_STACKED_VSOCK };
	char name[64], directory[PATHS_SIZE];
	int code;

	if (find_confined(host->config, name))
		return error_set(error, -EBUSY, CONFINE_PROFILE, "remove the containers first",
				 "container %s runs under it", name);
	facts = profile_states_facts(&states);
	code = profile_states_directory(host->config, directory, sizeof(directory), error);
	for (size_t i = 0; code >= 0 && i < ARRAY_LENGTH(profiles); i++) {
		if (facts->obstacle == CONFINE_ABLE)
			code = confine_policy_unload(profiles[i], error);
		if (code < 0)
			break;
		reply.changed |= facts->obstacle == CONFINE_ABLE && code != CONFINE_POLICY_UNCHANGED;
		confine_kept_forget(directory, profiles[i]);
	}
	if (code < 0)
		return code;
	namespace_sweep(runs, (void *)host->config);
	worker_send(host->output, &reply.base);
	return 0;
}
