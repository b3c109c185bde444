/*
 * Merges what Phoenix needs into a user's daemon.json. Pure: text in, text out. The user's keys and
 * their order are kept; what cannot be merged without changing the user's mind is refused.
 */
#pragma once

#include <stddef.h>

#include "common/error.h"

#define DAEMON_JSON_MAXIMUM (1024 * 1024) /* bytes of a file that is read */

/* Named outcomes. */
enum {
	DAEMON_JSON_CHANGED = 0,
	DAEMON_JSON_UNCHANGED = 1,
};

/*
 * Merge {"storage-driver": driver, "features": {"containerd-snapshotter": false}} into text (NULL:
 * there is no file; blank: an empty object). path is for error texts only. replaces is another driver
 * that may be there and is to go: the change has been consented to; NULL or "": none.
 *
 * DAEMON_JSON_CHANGED: ret_text is the new text, for the caller to free. DAEMON_JSON_UNCHANGED:
 * ret_text is untouched. -EINVAL, with path:line:column: not JSON, not an object, a key twice, a key
 * of the wrong type. -EEXIST, with its place: the user has set another driver, or the snapshotter.
 */
int daemon_json_merge(const char *path, const char *text, size_t length, const char *driver,
		      const char *replaces, char **ret_text, struct ph_error *error);

/* Copy the top-level text value of a key; "" when there is none or the text is not an object. */
void daemon_json_value(const char *text, size_t length, const char *key, char *buffer, size_t size);
