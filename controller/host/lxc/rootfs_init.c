/* A table of candidates, best first. */
#include "controller/host/lxc/rootfs_init.h"

#include <errno.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "controller/host/tree/tree.h"

const char *const *rootfs_init_arguments(enum rootfs_init init)
{
	static const char *const system[] = { "/sbin/init", NULL };
	static const char *const sleep[] = { "/bin/sleep", "infinity", NULL };
	/* wait reaps every child, also those that lost their parent. */
	static const char *const shell[] = {
		"/bin/sh", "-c",
		"trap exit TERM PWR INT; while :; do sleep 3600 & wait; done", NULL,
	};

	if (init == ROOTFS_INIT_SHELL)
		return shell;
	return init == ROOTFS_INIT_SLEEP ? sleep : system;
}

int rootfs_init_choose(int root, enum rootfs_init *ret_init, struct ph_error *error)
{
	static const struct {
		const char *path;
		enum rootfs_init init;
	} candidates[] = {
		{ "sbin/init", ROOTFS_INIT_SYSTEM },
		{ "bin/sh", ROOTFS_INIT_SHELL },
		{ "bin/sleep", ROOTFS_INIT_SLEEP },
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
