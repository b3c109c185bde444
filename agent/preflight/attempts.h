/*
 * Things that Docker and runc will do, tried with the same calls by a child that ends at once: what
 * stands in their way, an AppArmor rule or a quota, shows before Docker is installed. Nothing is left
 * and nothing is written.
 */
#pragma once

#include "common/error.h"

struct attempt {
	const char *step; /* constant: the call that failed; "" when all worked */
	int number;       /* its errno, positive; 0 */
};

/*
 * Open a sysctl through a procfs that is mounted nowhere and open it again for writing, as runc 1.2.8
 * and later do. steps "fsopen", "fsmount", "open_tree", "open" mean that no such procfs can be had here,
 * so that runc goes another way; "reopen" is where a rule for /sys hits it.
 */
int attempt_reopen_sysctl(struct attempt *ret_attempt, struct ph_error *error);

/* Join a new session keyring: step "keyctl". */
int attempt_session_keyring(struct attempt *ret_attempt, struct ph_error *error);

/* Make a user namespace inside this one: step "unshare". */
int attempt_user_namespace(struct attempt *ret_attempt, struct ph_error *error);

/* Open /dev/fuse as libfuse does: step "open". */
int attempt_fuse(struct attempt *ret_attempt, struct ph_error *error);
