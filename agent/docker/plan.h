/*
 * What is known about Docker in this container, and what follows from it. Pure: facts in, list of
 * actions with reasons out.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/docker/dpkg_status.h"
#include "agent/system/init.h"
#include "agent/system/os_release.h"
#include "common/error.h"

#define DOCKER_PACKAGES_MAXIMUM 16
#define PLAN_ACTIONS_MAXIMUM 16

struct recipe;
struct docker_wanted;

struct docker_facts {
	struct os_release os;
	const struct recipe *recipe; /* static; NULL: distribution unknown to us */
	enum init_system init;

	/* The recipe's packages first, then those that are only looked at. */
	struct dpkg_package packages[DOCKER_PACKAGES_MAXIMUM];
	size_t package_count;
	size_t wanted_count; /* of them are to be installed */
	struct dpkg_broken broken;
	bool dpkg_interrupted; /* its journal holds unfinished work */

	bool config_matches; /* daemon.json needs no change */
	bool config_present;
	struct ph_error config_refusal; /* why it cannot be merged; code 0: it can */
	uint64_t config_fingerprint; /* FNV-1a of its bytes, 0 without a file: for drift, not trust */
	char config_data_root[256]; /* its data-root, "" when it names none */

	char source_reason[160]; /* what of apt's sources and pins is not as wanted; "": nothing */
	char users_missing[256]; /* wanted users that are not in the group docker, by commas */
	char users_unknown[256]; /* of them those that are no users here */
	bool held_by_us;         /* we have held the set before */

	bool guard_present;   /* our policy-rc.d was left behind */
	bool restart_pending; /* dockerd has not read what we wrote */
	bool cgroups_mounted;
	bool service_active;
	bool responding; /* docker info answered */
	char server_version[64];
	char driver[64];
	char cgroup_driver[32];
	char cgroup_version[8];
	char data_root[256];
	char responding_problem[256]; /* why it did not answer, "" when it did or was not asked */
};

enum plan_kind {
	PLAN_HEAL,
	PLAN_SOURCE, /* apt's sources and pins */
	PLAN_INSTALL,
	PLAN_HOLD, /* or release */
	PLAN_USERS,
	PLAN_CONFIGURE,
	PLAN_MOUNT_CGROUPS,
	PLAN_REMOVE_GUARD,
	PLAN_RESTART,
	PLAN_START,
	PLAN_AWAIT, /* it runs, but does not answer yet */
};

struct plan_action {
	enum plan_kind kind;
	char reason[160]; /* for a person */
};

struct docker_plan {
	struct plan_action actions[PLAN_ACTIONS_MAXIMUM];
	size_t count;
};

/*
 * Decide what has to be done so that the facts become what is wanted (complete, see site_wanted()).
 * An error (with remedy) when it must not be tried: unsupported distribution, foreign Docker
 * packages, a refused daemon.json, a user that does not exist, a Docker version that cannot do the
 * driver.
 */
int docker_plan(const struct docker_facts *facts, const struct docker_wanted *wanted,
		struct docker_plan *ret_plan, struct ph_error *error);

/*
 * Packages to be installed or brought to the wanted version; list needs DOCKER_PACKAGES_MAXIMUM + 1
 * places and ends with NULL. Returns how many.
 */
size_t docker_plan_packages(const struct docker_facts *facts, const struct docker_wanted *wanted,
			    const char **list);

/*
 * Free space in MiB that what is still to be done needs: the recipe's, less what is unpacked already,
 * and a small amount for dpkg's own work when nothing is left to be unpacked.
 */
uint32_t docker_plan_space(const struct docker_facts *facts, const struct docker_wanted *wanted);

/* The action of this kind, NULL when it is not needed. */
const struct plan_action *docker_plan_find(const struct docker_plan *plan, enum plan_kind kind);

/* "install packages", "merge daemon.json" ... */
const char *plan_kind_name(enum plan_kind kind);

/* A package among the facts; NULL when it is not one of them. */
const struct dpkg_package *docker_facts_package(const struct docker_facts *facts, const char *name);
