/* The files stay: removing a locked file would let two holders have a lock each. */
#include "controller/host/verbs/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "controller/host/tree/paths.h"
#include "controller/host/tree/tree.h"

int lock_take(const struct config *config, const char *key, int *ret_lock, struct ph_error *error)
{
	PH_AUTO_CLOSE int run = -1;
	PH_AUTO_CLOSE int locks = -1;
	PH_AUTO_CLOSE int lock = -1;
	int code = paths_make(config, PATHS_RUN, "lock", 0, 0, 0700, error);

	if (code >= 0)
		code = paths_open(config, PATHS_RUN, &run, error);
	if (code >= 0)
		code = tree_open_dir(run, "lock", &locks, error);
	if (code < 0)
		return code;
	lock = openat(locks, key, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (lock < 0)
		return error_errno(error, -errno, key, NULL, "open the lock");
	while (flock(lock, LOCK_EX) < 0)
		if (errno != EINTR)
			return error_errno(error, -errno, key, NULL, "lock");
	*ret_lock = take_fd(&lock);
	return 0;
}
