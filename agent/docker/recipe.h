/*
 * What differs between distributions and between Docker versions, as data. Another distribution is
 * another row; docs/distributions.md says how a row is tried before it is added.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/system/os_release.h"
#include "common/error.h"

#define RECIPE_PACKAGES_MAXIMUM 8

struct recipe {
	const char *id;                                /* os-release ID */
	const char *codename;                          /* os-release VERSION_CODENAME */
	const char *title;                             /* "Debian 12" */
	const char *packages[RECIPE_PACKAGES_MAXIMUM]; /* to be installed; ends with NULL */
	uint32_t space_mib; /* for packages and their archives, with a margin */
	bool tried;         /* a test has installed it for real */
};

/* The recipe of a distribution; NULL when there is none. */
const struct recipe *recipe_find(const struct os_release *release);

/* Fill the error for a distribution without a recipe. Returns its code, -ENOTSUP. */
int recipe_unsupported(const struct os_release *release, struct ph_error *error);

/*
 * The packages of a source ("distribution", "bundle", "docker-ce") to be installed, the one with the
 * daemon first; ends with NULL.
 */
const char *const *recipe_packages(const struct recipe *recipe, const char *source);

/* Packages whose presence means that Docker is installed from another source; ends with NULL. */
const char *const *recipe_foreign_packages(const char *source);

/* Whether a package belongs to the set that is held together: daemon, client, containerd, runc ... */
bool recipe_is_of_the_set(const char *package);

/* Packages that come along and whose versions are worth knowing; ends with NULL. */
const char *const *recipe_observed_packages(void);

/*
 * Whether this version of Docker (a package's or the server's) can use this driver from
 * daemon.json: 0, or -ENOTSUP with the reason. A version that cannot be read is allowed.
 */
int recipe_version_check(const char *version, const char *driver, struct ph_error *error);
