/*
 * apt-get and dpkg, run the way an unattended install has to: no questions, no recommendations, the
 * administrator's configuration files kept, locks waited for, failures classified, progress told.
 */
#pragma once

#include <stddef.h>

#include "agent/docker/docker.h"

struct apt {
	const struct docker_wanted *wanted;           /* borrowed */
	void (*say)(void *user, const char *message); /* progress; may be NULL */
	void *user;
	uint64_t said_ms; /* when say was called last */
};

enum apt_mode {
	APT_DOWNLOAD, /* fetch archives only */
	APT_INSTALL,
	APT_REPAIR, /* unpack again what dpkg calls reinst-required */
};

/* Refresh the package lists. A source that fails is an error, although others may have been read. */
int apt_update(struct apt *apt, struct ph_error *error);

/* Install packages (a list that ends with NULL) in one of the modes. */
int apt_install(struct apt *apt, enum apt_mode mode, const char *const *packages,
		struct ph_error *error);

/* apt-mark with a verb ("hold", "unhold") and packages (a list that ends with NULL). */
int apt_mark(struct apt *apt, const char *verb, const char *const *packages,
	     struct ph_error *error);

/* apt-get --fix-broken install: complete or withdraw what is half-way. */
int apt_fix_broken(struct apt *apt, struct ph_error *error);

/* dpkg --configure -a under dpkg's own lock. */
int dpkg_configure(struct apt *apt, struct ph_error *error);

/*
 * How many of the packages the lists offer no version of; or a negative errno: -ENOTSUP when the
 * daemon's candidate cannot do the driver, -ENODATA when it is not of the version that is wanted (the
 * first of the packages counts as the daemon when it is one).
 */
int apt_missing(struct apt *apt, const char *const *packages, struct ph_error *error);

/*
 * The candidate version of a package in apt-cache policy's output: 1, or 0 when it has none. Pure.
 */
int apt_policy_candidate(const char *text, const char *package, char *ret_version, size_t size);
