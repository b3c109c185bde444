/*
 * Shows what an operation does while it runs: one line per step that ended, in a pipe as well as on
 * a terminal, and on a terminal what is going on right now below them.
 */
#pragma once

#include <stdbool.h>

#include "proto/control.pb-c.h"

struct progress_view {
	bool json;       /* one object per line instead */
	bool has_status; /* a transient line is on the terminal */
};

/* Show one progress message. */
void progress_show(struct progress_view *view, const Phoenix__Progress *progress);

/* Show what is going on, on a terminal only: gone with the next line. Texts are cleaned here. */
void progress_status(struct progress_view *view, const char *head, const char *message);

/* Take the transient line away: before anything else is printed. */
void progress_clear(struct progress_view *view);
