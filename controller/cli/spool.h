/*
 * A file in the controller's spool: phoenixctl fills it with the operator's own authority, and
 * phoenix-host sees nothing but its name. It is removed on every way out, SIGINT, SIGTERM and SIGHUP
 * included. One at a time.
 */
#pragma once

#include "common/error.h"

struct spool {
	char path[512];
	const char *name; /* its last part */
	int fd;           /* owned; writable */
};

/* Make an empty file of a random name in a directory; NULL: the configured default. */
int spool_open(const char *directory, struct spool *ret_spool, struct ph_error *error);

/* Fill it with a file's bytes; sharing them where the file system can. */
int spool_copy(struct spool *spool, const char *path, struct ph_error *error);

/*
 * Fill it with what a program prints, whose messages go to our stderr; it ends with us. argv ends
 * with NULL; install says how to get the program.
 */
int spool_fill(struct spool *spool, const char *const *argv, const char *install,
	       struct ph_error *error);

/* Remove and close it. Nothing when it was not opened. */
void spool_remove(struct spool *spool);
