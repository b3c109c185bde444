/*
 * A program as a sealed memfd: nobody can change what will be executed, neither its file on disk nor
 * a container that gets hold of /proc/PID/exe (threats R7). Knows nothing of containers.
 */
#pragma once

#include "common/error.h"

#define SEALED_NAME "phoenix-agent"

struct sealed {
	int fd;          /* owned; read-only, close-on-exec */
	char digest[65]; /* sha256 of the contents as hex */
};

/*
 * Copy a program of root's into a memfd, seal it and open it read-only. -EPERM when others than root
 * can write to the file, -ENOEXEC when it is no static program of at most 64 MiB. Free it with
 * sealed_fini().
 */
int sealed_load(const char *path, struct sealed *ret_sealed, struct ph_error *error);

/* Close the descriptor. */
void sealed_fini(struct sealed *sealed);
