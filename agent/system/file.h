/*
 * Whole small files: bounded reads, and writes that a crash leaves either undone or complete
 * (temporary file beside it, fsync, rename, fsync of the directory).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/error.h"

/*
 * Read a whole regular file of at most maximum bytes into a terminated text that the caller frees.
 * -EFBIG when it is longer, -ENOENT when there is none (no error text: often not a failure),
 * -EINVAL when it is not a regular file. ret_length may be NULL.
 */
int file_read(const char *path, size_t maximum, char **ret_text, size_t *ret_length,
	      struct ph_error *error);

/* Like file_read() for files of /proc and /sys, whose size and type say nothing. */
int file_read_virtual(const char *path, size_t maximum, char **ret_text, struct ph_error *error);

struct file_write {
	mode_t mode;        /* of a new file; an existing one keeps its mode and owner */
	const char *backup; /* suffix; an existing file's bytes are kept under it; NULL: no backup */
};

/*
 * Replace a file's content at once. A symbolic link is followed, its target is replaced. Nothing is
 * left beside the file on failure. options may be NULL: mode 0644, no backup.
 */
int file_write(const char *path, const void *bytes, size_t length, const struct file_write *options,
	       struct ph_error *error);

/* Write to an existing file of /proc or /sys in one write(2). Negative errno. */
int file_write_virtual(const char *path, const char *text);

/* Make a directory and its missing parents. */
int directory_make(const char *path, mode_t mode, struct ph_error *error);

/* Remove a file; that there is none is not an error. Returns 1 when it was there, or -errno. */
int file_remove(const char *path, struct ph_error *error);
