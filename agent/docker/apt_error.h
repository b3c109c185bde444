/*
 * What apt's and dpkg's words mean: the kind of failure, the line that says so, and what to do.
 * Pure. Their exit codes say nothing (100 for everything).
 */
#pragma once

#include "common/error.h"

enum apt_failure {
	APT_UNKNOWN,
	APT_LOCKED, /* another package manager is at work */
	APT_DISK_FULL,
	APT_READ_ONLY,
	APT_INTERRUPTED, /* dpkg --configure -a is needed first */
	APT_REINSTALL,   /* a package must be unpacked again */
	APT_CLOCK,       /* our clock is behind the mirror's signature */
	APT_EXPIRED,     /* the mirror's index is past its date (or our clock is ahead) */
	APT_SIGNATURE,
	APT_HASH, /* a file differs from the signed index */
	APT_NETWORK,
	APT_MIRROR, /* the mirror answers, but does not have it */
	APT_NO_CANDIDATE,
	APT_HELD,
	APT_DEPENDENCIES,
	APT_SCRIPT, /* a package's maintainer script failed */
	APT_DPKG,   /* dpkg failed otherwise */
};

/*
 * Classify what a failed run wrote. ret_cause (size bytes) gets the telling line, without apt's
 * "E: "; of unmet dependencies all that apt names, as far as they fit. It is "" only when the text was
 * empty.
 */
enum apt_failure apt_failure_classify(const char *errors, const char *output, char *ret_cause,
				      size_t size);

/* What a person can do about it. */
const char *apt_failure_remedy(enum apt_failure failure);

/* The negative errno that fits it. */
int apt_failure_code(enum apt_failure failure);

/* "no network", "locked" ...: for progress and reports. */
const char *apt_failure_name(enum apt_failure failure);

/* Fill the error from what a failed run wrote. Returns its code. */
int apt_failure_error(const char *errors, const char *output, struct ph_error *error);
