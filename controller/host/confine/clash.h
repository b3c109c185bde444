/*
 * Whether a profile's text would break runc's sysctl reopen. runc 1.2.8 and later write sysctls through
 * a procfs that is mounted nowhere; AppArmor sees /proc/sys/net/... there as "/sys/net/...", so a rule
 * meant for sysfs ("deny /sys/[^f]** w") refuses it and every "docker run" fails. Text in, answer out;
 * knows globs, alternations, classes and variables, not includes: what is included is not seen.
 */
#pragma once

#include "common/error.h"

struct confine_clash {
	unsigned int line;  /* where the rule begins, from 1 */
	char rule[160];     /* its text, cut when longer */
	const char *sysctl; /* constant; a path it hits, as AppArmor sees it */
};

/*
 * Find the first deny rule for writing that hits a sysctl which containers write, or any name in one
 * of /proc/sys's directories. 1 when there is one, 0 when there is none, -E2BIG when the text has a
 * pattern too involved to be judged (clash names it then, without a sysctl).
 */
int confine_clash_find(const char *text, struct confine_clash *ret_clash);

/* Refuse a text with what was found in it, at a place ("file:line"): -EINVAL with the rule and what it hits. */
int confine_clash_refuse(const char *place, const struct confine_clash *clash,
			 struct ph_error *error);
