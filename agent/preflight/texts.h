/* What texts of the kernel and of dockerd say that preflight wants to know. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEXTS_LINE_SIZE 512

/*
 * Count the ids from 0 on that an id map ("0 100000 65536" per line) has without a hole; lines may be in
 * any order. 0 when id 0 is not mapped.
 */
uint64_t texts_map_count(const char *map);

/* The version in the output of "runc --version": "1.1.5+ds1"; "" when there is none. */
void texts_runc_version(const char *output, char version[32]);

/* Whether a line of dockerd is about ids that could not be given to a file. */
bool texts_is_complaint(const char *line);

/*
 * Copy the last lines of a log that are complaints, each once and cut, the newest first; at most
 * maximum. Returns how many.
 */
size_t texts_complaints(const char *log, char (*lines)[TEXTS_LINE_SIZE], size_t maximum);

/*
 * What is mounted at /sys/fs/cgroup, from a mountinfo text: "v2", "v1" (also a tmpfs with hierarchies
 * below it) or "none".
 */
const char *texts_cgroup(const char *mountinfo);
