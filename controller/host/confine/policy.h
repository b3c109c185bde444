/*
 * Policy in the kernel: load, look, remove. Loading compiles first; what does not compile never
 * comes near the kernel, and what the kernel already enforces is not loaded again.
 */
#pragma once

#include "common/error.h"
#include "controller/host/confine/facts.h"

enum confine_policy_outcome {
	CONFINE_POLICY_LOADED = 0,    /* the kernel's policy was changed */
	CONFINE_POLICY_UNCHANGED = 1, /* the very same was there and is enforced */
};

enum confine_policy_state {
	CONFINE_POLICY_ABSENT = 0,
	CONFINE_POLICY_ENFORCED = 1,
	CONFINE_POLICY_LAX = 2, /* loaded, but it or the whole of AppArmor is in complain mode, or as unconfined */
};

struct confine_policy {
	const char *name;      /* borrowed; the profile that the text defines */
	const char *text;      /* borrowed */
	const char *cache_dir; /* borrowed; see confine_compile(); may be NULL */
};

/*
 * Compile and load a profile, replacing an older one of the name in place: running containers are
 * held by the new one at once. Checks afterwards that the kernel lists it in enforce mode. An
 * outcome, or negative: -ENOTSUP with the host's obstacle, -EINVAL when it does not compile, -EPERM
 * when the kernel refuses it.
 */
int confine_policy_load(const struct confine_policy *policy, const struct confine_facts *facts,
			struct ph_error *error);

/*
 * Remove a profile. Processes it held would be unconfined from then on: the caller sees to it that
 * there are none. CONFINE_POLICY_UNCHANGED when there was no such profile.
 */
int confine_policy_unload(const char *name, struct ph_error *error);

/* How the kernel holds a profile: an enum confine_policy_state, or a negative errno. */
int confine_policy_state(const char *name, struct ph_error *error);

/* The same from the text of the kernel's list of profiles. Pure. */
enum confine_policy_state confine_policy_find(const char *list, const char *name);

/* The kernel's own hash of the policy it holds under a name; "" when it keeps none. */
void confine_policy_hash(const char *name, char ret_hash[65]);
