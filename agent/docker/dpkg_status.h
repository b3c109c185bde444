/*
 * Reads the package states that dpkg-query prints in DPKG_STATUS_FORMAT, for all packages at once.
 * Pure. "command -v docker" is not "installed": dpkg's own state is.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DPKG_STATUS_FORMAT "${db:Status-Abbrev}\t${Package}\t${Version}\t${Installed-Size}\n"
#define DPKG_BROKEN_MAXIMUM 32 /* that are named; more are counted */

struct dpkg_package {
	const char *name; /* asked for; borrowed */
	char state[4]; /* as dpkg abbreviates: want, state, error: "ii ", "iHR"; "" unknown to it */
	char version[64];  /* "" when not installed */
	uint32_t size_kib; /* of its unpacked files; 0: not unpacked, or nobody knows */
};

struct dpkg_broken {
	size_t count; /* packages that dpkg has left half-way */
	char names[DPKG_BROKEN_MAXIMUM][128];
	bool reinstall[DPKG_BROKEN_MAXIMUM]; /* reinst-required: --configure will not do */
};

/* Whether the package is properly installed ("ii ", or held: "hi "). */
bool dpkg_package_is_installed(const struct dpkg_package *package);

/*
 * Fill state, version and size of the packages by their names, and what is half-way installed among all.
 * ret_broken may be NULL. -EBADMSG when a line is not of the format.
 */
int dpkg_status_parse(const char *text, struct dpkg_package *packages, size_t count,
		      struct dpkg_broken *ret_broken);

/* Whether its files are all there, configured or not. */
bool dpkg_package_is_unpacked(const struct dpkg_package *package);

/* Find a package by name; NULL when it was not asked for. */
const struct dpkg_package *dpkg_package_find(const struct dpkg_package *packages, size_t count,
					     const char *name);
