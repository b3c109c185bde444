/*
 * Where packages come from and which versions may: apt's source of docker-ce, apt's private view of a
 * bundle, and the pin. Each is one file whose text follows from what is wanted; a file that differs
 * is written anew, one that is not wanted any more is removed. Never touches files that are not ours.
 */
#pragma once

#include <stdbool.h>

#include "agent/docker/docker.h"
#include "agent/docker/recipe.h"
#include "agent/system/os_release.h"

/* Whether a version is wanted that not every one is. */
bool source_is_pinned(const struct docker_wanted *wanted);

/*
 * Whether a version of a package matches the pattern that is wanted, with or without its epoch
 * ("5:28.5.2-1" matches "28.5.*"). Pure.
 */
bool source_version_matches(const struct docker_wanted *wanted, const char *version);

/* apt's pin for the packages that carry Docker's version; "" without one; for the caller. Pure. */
char *source_pin_text(const struct docker_wanted *wanted, const char *package);

/* The deb822 source; "" when the source is not docker-ce; for the caller to free. Pure. */
char *source_list_text(const struct docker_wanted *wanted, const struct os_release *os);

/* What of these files is not as wanted: "" or a reason for a person, at most size bytes. */
void source_observe(const struct docker_wanted *wanted, const struct recipe *recipe,
		    const struct os_release *os, char *ret_reason, size_t size);

/* Write and remove these files as wanted. */
int source_place(const struct docker_wanted *wanted, const struct recipe *recipe,
		 const struct os_release *os, struct ph_error *error);

/*
 * For a bundle: check its files against its manifest, and prepare apt's view of it in our runtime
 * directory. -EBADMSG names the file that differs, -ENOENT says that the bundle is not there.
 */
int source_bundle_prepare(const struct docker_wanted *wanted, struct ph_error *error);
