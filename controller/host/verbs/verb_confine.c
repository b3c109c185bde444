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
#include "controller/host/confine/policy.h"
#include "controller/host/confine/render.h"
#include "controller/host/tree/paths.h"
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

static int load(const struct verb_host *host, const struct confine_facts *facts,
		struct ph_error *error)
{
	const struct confine_render render = { .features = facts->features };
	Phoenix__ConfineReply reply = PHOENIX__CONFINE_REPLY__INIT;
	PH_AUTO_FREE char *text = NULL;
	char cache[PATHS_SIZE], hash[65];
	struct confine_policy policy = { .name = CONFINE_PROFILE, .cache_dir = cache };
	int code = confine_render(host->config->profiles_dir, &render, &text, error);

	if (code >= 0)
		code = paths_make(host->config, PATHS_STATE, "policy", 0, 0, 0700, error);
	if (code >= 0)
		code = paths_format(host->config, PATHS_STATE, "policy", NULL, cache, error);
	if (code < 0)
		return code;
	policy.text = text;
	code = confine_policy_load(&policy, facts, error);
	if (code < 0)
		return code;
	confine_text_hash(text, hash);
	reply.profile = (char *)CONFINE_PROFILE;
	reply.changed = code == CONFINE_POLICY_LOADED;
	reply.hash = hash;
	worker_send(host->output, &reply.base);
	return 0;
}

int verb_confine_ensure(const struct verb_host *host, const ProtobufCMessage *message,
			struct ph_error *error)
{
	const Phoenix__ConfineEnsureRequest *request = (const void *)message;
	struct confine_facts facts;

	confine_facts_detect(NULL, &facts);
	if (facts.obstacle == CONFINE_ABLE)
		return load(host, &facts, error);
	if (request->confinement == PHOENIX__CONFINEMENT__CONFINEMENT_REQUIRED)
		return refuse(&facts, error);
	send_without(host, &facts);
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
	struct confine_facts facts;
	char name[64];
	int code = CONFINE_POLICY_UNCHANGED;

	if (find_confined(host->config, name))
		return error_set(error, -EBUSY, CONFINE_PROFILE, "remove the containers first",
				 "container %s runs under it", name);
	confine_facts_detect(NULL, &facts);
	if (facts.obstacle == CONFINE_ABLE)
		code = confine_policy_unload(CONFINE_PROFILE, error);
	if (code < 0)
		return code;
	reply.changed = code != CONFINE_POLICY_UNCHANGED;
	worker_send(host->output, &reply.base);
	return 0;
}
