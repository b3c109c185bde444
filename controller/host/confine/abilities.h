/*
 * What a rendered profile may say here: words that the parser takes, found out by asking it to take them,
 * and what the kernel mediates, read from its directory of features. Knows no libapparmor, loads nothing.
 */
#pragma once

#include <stdint.h>

/* Where to look; every member NULL: the host's own places. */
struct confine_abilities {
	const char *policy;   /* /etc/apparmor.d */
	const char *features; /* /sys/kernel/security/apparmor/features; or a copy of another kernel's */
	const char *cgroup;   /* /sys/fs/cgroup */
};

/*
 * Ask the parser which optional words it takes (NULL: "apparmor_parser" of the system's directories): one short
 * run, some milliseconds, for each; nothing is loaded. Returns enum confine_feature; none when it cannot be
 * asked. The answer depends on the program alone.
 */
uint32_t confine_abilities_words(const char *parser);

/*
 * Choose what a text may use: of the words that the parser takes those that mean something on this host, and
 * what depends on files alone.
 */
uint32_t confine_abilities_choose(const struct confine_abilities *places, uint32_t words);
