/* A table of candidates, best first. */
#include "controller/host/lxc/rootfs_init.h"

#include <errno.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "controller/host/tree/tree.h"

int rootfs_init_choose(int root, enum settings_init *ret_init, struct ph_error *error)
{
	static const struct {
		const char *path;
		enum settings_init init;
	} candidates[] = {
		{ "sbin/init", SETTINGS_INIT_SYSTEM },
		{ "bin/sh", SETTINGS_INIT_SHELL },
		{ "bin/sleep", SETTINGS_INIT_SLEEP },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(candidates); i++) {
		PH_AUTO_CLOSE int fd = -1;

		if (tree_open_read(root, candidates[i].path, &fd, NULL) < 0)
			continue;
		*ret_init = candidates[i].init;
		return 0;
	}
	return error_set(error, -ENOEXEC, "/sbin/init",
			 "import an image of a whole distribution",
			 "the image has no /sbin/init, no /bin/sh and no /bin/sleep");
}
