/*
 * A directory of its own for one test: made below $TMPDIR (or /tmp), removed with all it contains.
 */
#pragma once

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct scratch {
	char path[256];
	char file[320]; /* the last scratch_file() */
};

/* Make the directory; aborts when that is impossible: no test can go on then. */
static inline void scratch_init(struct scratch *scratch)
{
	const char *parent = getenv("TMPDIR");

	snprintf(scratch->path, sizeof(scratch->path), "%s/phoenix-test-XXXXXX",
		 parent && parent[0] ? parent : "/tmp");
	if (!mkdtemp(scratch->path)) {
		perror(scratch->path);
		abort();
	}
}

/* The path of a file in it; borrowed until the next call. */
static inline const char *scratch_file(struct scratch *scratch, const char *name)
{
	snprintf(scratch->file, sizeof(scratch->file), "%s/%s", scratch->path, name);
	return scratch->file;
}

/* Write a file in it and return its path; aborts when that is impossible. */
static inline const char *scratch_write(struct scratch *scratch, const char *name,
					const void *bytes, size_t length)
{
	FILE *file = fopen(scratch_file(scratch, name), "w");

	if (!file || fwrite(bytes, 1, length, file) != length || fclose(file) != 0) {
		perror(scratch->file);
		abort();
	}
	return scratch->file;
}

static inline int scratch_remove_one(const char *path, const struct stat *status, int type,
				     struct FTW *place)
{
	return remove(path);
}

/* Remove it with all it contains. */
static inline void scratch_fini(struct scratch *scratch)
{
	nftw(scratch->path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
