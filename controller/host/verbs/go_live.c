/*
 * Processes that were off their label before the change are no reason to take it back: the change may
 * be what helps them.
 */
#include "controller/host/verbs/go_live.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/str.h"
#include "controller/host/confine/check.h"
#include "controller/host/confine/policy.h"
#include "controller/host/confine/render.h"
#include "controller/host/lxc/cgroups.h"
#include "controller/host/tree/paths.h"
#include "controller/host/verbs/observe.h"

/* Read the labels of everything that runs under the profile. */
static int read_labels(const struct config *config, const char *profile,
		       struct confine_check *check, struct ph_error *error)
{
	PH_AUTO_FREE char(*names)[64] = NULL;
	struct placement placement;
	size_t count = 0;
	int code = confine_check_begin(check, profile, error);

	if (code == 0)
		code = placement_names(config, &names, &count, error);
	for (size_t i = 0; code == 0 && i < count; i++)
		if (placement_load(config, names[i], &placement, NULL) == 0 &&
		    text_equal(placement.profile, profile) && observe_init(config, &placement) > 0)
			cgroups_visit(names[i], confine_check_visit, check);
	return code;
}

static int load(struct profile_states *states, const char *profile, const char *text,
		const char *directory, struct ph_error *error)
{
	const struct confine_policy policy = { .name = profile,
					       .text = text,
					       .cache_dir = directory };

	return confine_policy_load(&policy, profile_states_facts(states), error);
}

static int keep(const char *directory, const char *profile, const char *text, struct ph_error *error)
{
	char kernel_hash[65];
	int code;

	confine_policy_hash(profile, kernel_hash);
	code = confine_kept_write(directory, profile, text, kernel_hash);
	return code < 0 ? error_errno(error, code, directory, "make room there",
				      "keep the profile's text") :
			  0;
}

/* The new policy does not hold: put back the old one. The error says which of both happened. */
static int take_back(struct profile_states *states, const char *profile, const char *directory,
		     const struct confine_check *after, struct ph_error *error)
{
	PH_AUTO_FREE char *text = NULL;
	struct ph_error second = { 0 };

	if (confine_kept_text(directory, profile, false, &text) < 0)
		return error_set(error, -EBADE, profile,
				 "stop the containers: there is no earlier text to go back to",
				 "the new text does not hold %u of %u processes: %s",
				 after->offenders, after->processes, after->first_text);
	if (load(states, profile, text, directory, &second) < 0)
		return error_set(error, -EBADE, profile, second.remedy,
				 "the new text does not hold its processes, and the one before it "
				 "cannot be loaded again: %s", second.why);
	return error_set(error, -EBADE, profile,
			 "the text before it is in force again; look at the change of the profile",
			 "the new text does not hold %u of %u processes: %s", after->offenders,
			 after->processes, after->first_text);
}

int go_live(struct profile_states *states, const char *profile, const char *text,
	    struct go_live *ret_result, struct ph_error *error)
{
	CONFINE_AUTO_CHECK struct confine_check before = CONFINE_CHECK_INIT;
	CONFINE_AUTO_CHECK struct confine_check after = CONFINE_CHECK_INIT;
	char directory[PATHS_SIZE];
	int code, outcome;

	code = paths_make(states->config, PATHS_STATE, "policy", 0, 0, 0700, error);
	if (code >= 0)
		code = profile_states_directory(states->config, directory, sizeof(directory),
						error);
	if (code >= 0)
		code = read_labels(states->config, profile, &before, error);
	if (code < 0)
		return code;
	outcome = load(states, profile, text, directory, error);
	if (outcome < 0)
		return outcome;
	code = read_labels(states->config, profile, &after, error);
	if (code < 0)
		return code;
	if (outcome == CONFINE_POLICY_LOADED && after.offenders > before.offenders)
		return take_back(states, profile, directory, &after, error);
	ret_result->changed = outcome == CONFINE_POLICY_LOADED;
	ret_result->replaced = ret_result->changed && before.processes > 0;
	ret_result->processes = after.processes;
	confine_text_hash(text, ret_result->hash);
	return keep(directory, profile, text, error);
}

int go_live_back(struct profile_states *states, const char *profile, struct go_live *ret_result,
		 struct ph_error *error)
{
	PH_AUTO_FREE char *text = NULL;
	char directory[PATHS_SIZE];
	int code = profile_states_directory(states->config, directory, sizeof(directory), error);

	if (code < 0)
		return code;
	if (confine_kept_text(directory, profile, true, &text) < 0)
		return error_set(error, -ENOENT, profile, "look at the profile that is loaded",
				 "no earlier text of the profile is kept");
	return go_live(states, profile, text, ret_result, error);
}
