/*
 * Reading and writing until all is there, over interruptions by signals and short counts. For files, pipes and
 * memory files that block; loops have channels.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* Read until size bytes are there or it ends: how many came, or a negative errno. */
ssize_t io_read(int fd, void *bytes, size_t size);

/* Write all of it: 0, or a negative errno, and then nobody knows how much was written. */
int io_write(int fd, const void *bytes, size_t size);
