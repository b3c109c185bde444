#include "controller/host/verbs/profile_state.h"

#include <stdlib.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/host/confine/policy.h"
#include "controller/host/confine/render.h"
#include "controller/host/tree/paths.h"

const struct confine_facts *profile_states_facts(struct profile_states *states)
{
	char memory[PATHS_SIZE];
	struct confine_places places = { 0 };

	if (states->has_facts)
		return &states->facts;
	/* Also where nothing is confined: asking the parser costs five processes, each time. */
	if (paths_make(states->config, PATHS_STATE, "policy", 0, 0, 0700, NULL) == 0 &&
	    profile_states_directory(states->config, memory, sizeof(memory), NULL) == 0)
		places.memory = memory;
	confine_facts_detect(&places, &states->facts);
	states->has_facts = true;
	return &states->facts;
}

int profile_states_directory(const struct config *config, char *path, size_t size,
			     struct ph_error *error)
{
	char full[PATHS_SIZE];
	int code = paths_format(config, PATHS_STATE, "policy", NULL, full, error);

	if (code == 0)
		text_copy(path, size, full);
	return code;
}

int profile_states_render(struct profile_states *states, const char *profile, char **ret_text,
			  struct ph_error *error)
{
	struct confine_render render = { .features = profile_states_facts(states)->features };
	char name[CONFINE_NAME_SIZE];

	/* Kind and vsock are all that containers of this version differ in. */
	for (unsigned int i = 0; i < 4; i++) {
		render.kind = i & 1 ? CONFINE_STACKED : CONFINE_NAMED;
		render.vsock = i & 2;
		confine_render_name(&render, name);
		if (text_equal(name, profile))
			return confine_render(states->config->profiles_dir, &render, ret_text, error);
	}
	return error_set(error, -ENOENT, profile, "apply the container again",
			 "no text of this version has that name");
}

static enum confine_currency judge(struct profile_states *states, const char *profile)
{
	PH_AUTO_FREE char *text = NULL;
	char directory[PATHS_SIZE], kernel_hash[65], wanted_hash[65] = "";
	struct confine_kept kept;
	int state = confine_policy_state(profile, NULL);

	if (state < 0 ||
	    profile_states_directory(states->config, directory, sizeof(directory), NULL) < 0)
		return CONFINE_UNKNOWN;
	confine_kept_read(directory, profile, &kept);
	confine_policy_hash(profile, kernel_hash);
	/* Without a parser the features are not known, and so neither is the text. */
	if (profile_states_facts(states)->obstacle == CONFINE_ABLE &&
	    profile_states_render(states, profile, &text, NULL) == 0)
		confine_text_hash(text, wanted_hash);
	return confine_currency_judge((enum confine_policy_state)state, kernel_hash, &kept,
				      wanted_hash);
}

enum confine_currency profile_states_get(struct profile_states *states, const char *profile)
{
	enum confine_currency currency;

	for (size_t i = 0; i < states->count; i++)
		if (text_equal(states->known[i].name, profile))
			return states->known[i].currency;
	currency = judge(states, profile);
	if (states->count < PROFILE_STATES_MAXIMUM) {
		text_copy(states->known[states->count].name, sizeof(states->known[0].name), profile);
		states->known[states->count++].currency = currency;
	}
	return currency;
}
