/*
 * Merges what Phoenix needs into a user's daemon.json. Pure: text in, text out. The user's keys and
 * their order are kept; what cannot be merged without changing the user's mind is refused.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

#define DAEMON_JSON_MAXIMUM (1024 * 1024) /* bytes of a file that is read */

/* Named outcomes. */
enum {
	DAEMON_JSON_CHANGED = 0,
	DAEMON_JSON_UNCHANGED = 1,
};

struct daemon_json_wanted {
	const char *driver;   /* storage driver */
	const char *replaces; /* another one that may be there and is to go: the change has been
			       * consented to; NULL or "": none */
	const char *fragment; /* JSON object with further keys; NULL or "": none */
	const char *ours;     /* the fragment that was merged before: what is still as it says may be
			       * changed and removed; NULL or "": none */
	bool override;        /* the fragment wins over the user's keys */
};

/*
 * Merge the driver, {"features": {"containerd-snapshotter": false}} and the fragment into text (NULL:
 * there is no file; blank: an empty object). path is for error texts only.
 *
 * DAEMON_JSON_CHANGED: ret_text is the new text, for the caller to free. DAEMON_JSON_UNCHANGED:
 * ret_text is untouched. -EINVAL, with path:line:column: not JSON, not an object, a key twice, a key
 * of the wrong type; at "docker.daemon": the fragment is no object, or sets what Phoenix sets itself.
 * -EEXIST, with its place: the user has set another driver, the snapshotter, or a key of the
 * fragment to something else.
 */
int daemon_json_merge(const char *path, const char *text, size_t length,
		      const struct daemon_json_wanted *wanted, char **ret_text,
		      struct ph_error *error);

/* Copy the top-level text value of a key; "" when there is none or the text is not an object. */
void daemon_json_value(const char *text, size_t length, const char *key, char *buffer, size_t size);
