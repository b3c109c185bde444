/*
 * What we have loaded under each profile name, and what was loaded before it: the texts, and what the
 * kernel called the policy made of them. By this a policy that somebody else has put there is told
 * from ours, and one that does not do can be taken back. Knows no container.
 */
#pragma once

#include <stdbool.h>

#include "common/error.h"
#include "controller/host/confine/policy.h"

struct confine_kept {
	char text_hash[65];   /* SHA-256 of the text; "" when nothing is kept */
	char kernel_hash[65]; /* the kernel's own hash of the policy; "" where it keeps none */
};

/* How the kernel's policy stands to what we have loaded and would load. */
enum confine_currency {
	CONFINE_CURRENT = 0,
	CONFINE_OUTDATED, /* ours, and this version of Phoenix would load another text */
	CONFINE_FOREIGN,  /* enforced, but not what we have loaded */
	CONFINE_LAX,      /* loaded in another mode than enforce */
	CONFINE_ABSENT,   /* not in the kernel */
	CONFINE_UNKNOWN,  /* the kernel cannot be asked, or we have never loaded it */
};

/*
 * Judge: how the kernel holds the profile, the kernel's hash of it ("" when it keeps none), what is
 * kept, and the hash of the text that would be loaded now ("" when that cannot be told). Pure.
 */
enum confine_currency confine_currency_judge(enum confine_policy_state state,
					     const char *kernel_hash,
					     const struct confine_kept *kept,
					     const char *wanted_hash);

/* "current", "outdated", ...; a constant. */
const char *confine_currency_name(enum confine_currency currency);

/* What is wrong, for a person; "" for current. */
const char *confine_currency_reason(enum confine_currency currency);

/* What to do about it; "" for current. */
const char *confine_currency_remedy(enum confine_currency currency);

/* Read what is kept of a profile in directory; empty when nothing is. */
void confine_kept_read(const char *directory, const char *name, struct confine_kept *ret_kept);

/* Read the text that was loaded (or, previous, the one before it). The caller frees; -ENOENT. */
int confine_kept_text(const char *directory, const char *name, bool previous, char **ret_text);

/*
 * Keep a text that has been loaded; what was kept becomes the previous one, unless it is the same
 * text. Files are written beside and renamed. Errors are negative errnos.
 */
int confine_kept_write(const char *directory, const char *name, const char *text,
		       const char *kernel_hash);

/* Forget a profile that has been unloaded. */
void confine_kept_forget(const char *directory, const char *name);
