/*
 * Complements of fixed texts in AppArmor's glob language, which has no "everything but". Pure.
 *
 * Walking the tree of the texts letter by letter, whatever leaves the tree is outside: for "ab" that
 * is "[^a]**", "a", "a[^b]**" and, when the whole text is meant, "ab?**".
 */
#pragma once

#include <stddef.h>

#include "common/str.h"

enum confine_pattern_kind {
	CONFINE_PATTERN_EXACT,  /* everything that is none of the texts */
	CONFINE_PATTERN_PREFIX, /* everything that begins with none of the texts */
};

/*
 * Append "{alternative,...}" that matches every text of one byte or more that is outside. The texts
 * hold bytes of [A-Za-z0-9._/-] only, at most 64 of at most 255 bytes; -EINVAL otherwise and nothing
 * is appended.
 */
int confine_pattern_outside(const char *const *texts, size_t count,
			    enum confine_pattern_kind kind, struct str *pattern);
