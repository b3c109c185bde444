/*
 * A container as liblxc runs it: its configuration file, start, stop, first process. The only file
 * pair beside push.c that includes liblxc. Blocking; to be called in a verb's own child. Knows
 * neither images nor networks: what a start needs has been made before.
 */
#pragma once

#include <sys/types.h>

#include "common/config.h"
#include "common/error.h"
#include "controller/host/lxc/settings.h"

enum instance_outcome {
	INSTANCE_CHANGED = 0,
	INSTANCE_UNCHANGED = 1,
};

/*
 * Write STATE/containers/NAME/config from the settings. The text is first read by liblxc and every
 * value compared with what was meant: -EBADMSG when they differ, -EINVAL from the strict writer.
 * INSTANCE_UNCHANGED when the file said so already. The directory has to exist.
 */
int instance_configure(const struct config *config, const struct settings *settings,
		       struct ph_error *error);

/*
 * Have liblxc read a text as the configuration of a container in an LXC path and see that what it
 * gives back for each key contains the expected value. -EBADMSG when not.
 */
int instance_accepts(const char *lxc_path, const char *name, const char *text, size_t length,
		     const char *const (*expected)[2], size_t count, struct ph_error *error);

/* The host pid of the container's first process; 0 when it does not run. */
pid_t instance_init(const struct config *config, const char *name);

/*
 * Start the container in the background and wait until its first process (NULL-terminated arguments,
 * program first; NULL: the one that an adopted container's configuration names) runs. What liblxc logged becomes the reason when that fails. INSTANCE_UNCHANGED
 * when it runs already.
 */
int instance_start(const struct config *config, const char *name, const char *const *init,
		   struct ph_error *error);

/*
 * Stop the container: ask its init and wait grace_ms (0: not at all), then kill. Returns when its
 * processes and its monitor have ended. INSTANCE_UNCHANGED when it did not run.
 */
int instance_stop(const struct config *config, const char *name, unsigned int grace_ms,
		  struct ph_error *error);

/* Write the path of the container's liblxc log into path. */
int instance_log_path(const struct config *config, const char *name, char *path, size_t size,
		      struct ph_error *error);

/* The last lines of that log, at most size bytes, for a person; "" when there is none. */
void instance_log_tail(const struct config *config, const char *name, char *text, size_t size);

/* Remove what liblxc leaves behind for a container that was destroyed: log, lock, groups. */
void instance_forget(const struct config *config, const char *name);

/* liblxc's version. */
const char *instance_lxc_version(void);
