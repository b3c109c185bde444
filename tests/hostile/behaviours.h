/* What a hostile agent does, by name: two tables, of strangers and of those who hold the key. */
#pragma once

#include <stddef.h>

#include "tests/hostile/session.h"

struct behaviour {
	const char *name;
	/* Do it; what came of it, in a few words, for the log. */
	const char *(*run)(const struct hostile *hostile);
};

/* Without the container's key, or before showing it; ended by a row without a name. */
extern const struct behaviour stranger_behaviours[];

/* Within a session. */
extern const struct behaviour insider_behaviours[];
