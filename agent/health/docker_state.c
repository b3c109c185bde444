#include "agent/health/docker_state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/docker/recipe.h"
#include "common/str.h"

#define NAMES_SIZE 200

static void name_add(char names[NAMES_SIZE], const char *name)
{
	size_t length = strlen(names);

	snprintf(names + length, NAMES_SIZE - length, "%s%s", length ? ", " : "", name);
}

struct judgement docker_state_judge_packages(const struct docker_facts *facts)
{
	char missing[NAMES_SIZE] = "";

	for (size_t i = 0; i < facts->wanted_count; i++)
		if (!dpkg_package_is_installed(&facts->packages[i]))
			name_add(missing, facts->packages[i].name);
	if (!facts->wanted_count)
		return judgement("DockerInstalled", JUDGEMENT_UNKNOWN, "NoRecipe",
				 "see docs/distributions.md",
				 "this distribution's packages are not known");
	if (missing[0])
		return judgement("DockerInstalled", JUDGEMENT_FALSE, "PackagesMissing",
				 "phoenixctl apply installs what is missing",
				 "not installed whole: %.180s", missing);
	return judgement("DockerInstalled", JUDGEMENT_TRUE, "PackagesInstalled", "", "%zu packages",
			 facts->wanted_count);
}

struct judgement docker_state_judge_hold(const struct docker_facts *facts)
{
	char loose[NAMES_SIZE] = "";

	if (!facts->held_by_us)
		return judgement("PackagesHeld", JUDGEMENT_TRUE, "NotAsked", "",
				 "nothing was to be held");
	for (size_t i = 0; i < facts->package_count; i++) {
		const struct dpkg_package *package = &facts->packages[i];

		if (package->version[0] && recipe_is_of_the_set(package->name) &&
		    package->state[0] != 'h')
			name_add(loose, package->name);
	}
	if (loose[0])
		return judgement("PackagesHeld", JUDGEMENT_FALSE, "HoldLost",
				 "phoenixctl apply holds them again",
				 "held no longer: %.180s; the next apt upgrade replaces them behind "
				 "Phoenix's back",
				 loose);
	return judgement("PackagesHeld", JUDGEMENT_TRUE, "Held", "", "as they were applied");
}

struct judgement docker_state_judge_users(const struct docker_facts *facts)
{
	if (facts->users_missing[0] || facts->users_unknown[0])
		return judgement("DockerUsers", JUDGEMENT_FALSE, "UsersMissing",
				 "phoenixctl apply puts users of the container into the group "
				 "docker",
				 "not in the group docker: %.120s%s%.120s", facts->users_missing,
				 facts->users_missing[0] && facts->users_unknown[0] ?
					 "; unknown here: " :
					 "",
				 facts->users_unknown);
	return judgement("DockerUsers", JUDGEMENT_TRUE, "InGroup", "", "everybody who is to be");
}

/* vfs and native are what dockerd falls back to when nothing else works; vfs may also be wanted. */
static bool fell_back(const char *driver, const char *wanted)
{
	return text_equal(driver, "native") ||
	       (text_equal(driver, "vfs") && !text_equal(wanted, "vfs"));
}

#define DRIVER "StorageDriverAsPlanned"

struct judgement docker_state_judge_driver(const struct docker_facts *facts, const char *wanted)
{
	if (facts->responding && fell_back(facts->driver, wanted))
		return judgement(DRIVER, JUDGEMENT_FALSE, "FellBack",
				 "phoenixctl apply puts the driver back; its images are there still",
				 "dockerd uses %s and not %s: every layer is a full copy, and the "
				 "images of the other driver do not show",
				 facts->driver, text_empty(wanted) ? "what was planned" : wanted);
	if (facts->responding && !text_empty(wanted) && !text_equal(facts->driver, wanted))
		return judgement(DRIVER, JUDGEMENT_FALSE, "OtherDriver",
				 "phoenixctl apply puts the driver back; its images are there still",
				 "dockerd uses %s, %s was chosen", facts->driver, wanted);
	/* -EEXIST: it can be merged, but says something else than we do. */
	if (error_is_set(&facts->config_refusal) && facts->config_refusal.code != -EEXIST)
		return judgement(DRIVER, JUDGEMENT_FALSE, "ConfigUnusable",
				 facts->config_refusal.remedy, "%.100s: %.200s",
				 facts->config_refusal.where, facts->config_refusal.why);
	if (error_is_set(&facts->config_refusal))
		return judgement(DRIVER, JUDGEMENT_FALSE, "ConfigChanged",
				 facts->config_refusal.remedy,
				 "dockerd takes something else at its next start: %.200s (%.80s)",
				 facts->config_refusal.why, facts->config_refusal.where);
	if (!facts->config_matches)
		return judgement(DRIVER, JUDGEMENT_FALSE, "ConfigChanged",
				 "phoenixctl apply merges it again",
				 "daemon.json is not what was applied: dockerd takes something else "
				 "at its next start");
	if (!facts->responding)
		return judgement(DRIVER, JUDGEMENT_UNKNOWN, "NoAnswer", "see DockerResponding",
				 "dockerd does not tell");
	return judgement(DRIVER, JUDGEMENT_TRUE, "AsConfigured", "", "%s", facts->driver);
}
