#include "controller/host/tree/rename.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/memory.h"

int rename_new(int from, const char *name, int to, const char *new_name)
{
	struct stat status;

	if (renameat2(from, name, to, new_name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL)
		return -errno;
	if (fstatat(to, new_name, &status, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST;
	if (errno != ENOENT)
		return -errno;
	return renameat(from, name, to, new_name) < 0 ? -errno : 0;
}

static int exchange_in_turn(int dir, const char *work, const char *name)
{
	PH_AUTO_FREE char *old = ph_format("%s.old", work);
	int result = rename_new(dir, name, dir, old);

	if (result < 0)
		return result;
	if (renameat(dir, work, dir, name) < 0) {
		result = -errno;
		renameat(dir, old, dir, name);
		return result;
	}
	result = rename_new(dir, old, dir, work);
	return result == -ENOENT ? 0 : result; /* cleared away as a leftover meanwhile */
}

int rename_publish(int dir, const char *work, const char *name)
{
	int result = rename_new(dir, work, dir, name);

	if (result != -EEXIST)
		return result;
	if (renameat2(dir, work, dir, name, RENAME_EXCHANGE) == 0)
		return 0;
	return errno == EINVAL ? exchange_in_turn(dir, work, name) : -errno;
}
