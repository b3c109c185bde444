/*
 * The programs that Docker consists of, as they are found when somebody calls them by name: whether
 * they are there, whether another one is found before the package's, and what tells one from
 * another. What a program does is for verify to find out.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/health/judgement.h"

#define PROGRAMS_MAXIMUM 8

struct program {
	const char *name;   /* static */
	char path[128];     /* the first that is found, "" when none is */
	uint64_t bytes;
	int64_t changed_s;  /* modification time */
	bool is_shadow;     /* a package's own one, below /usr/bin or /usr/sbin, comes behind it */
};

struct programs {
	struct program items[PROGRAMS_MAXIMUM];
	size_t count;
};

/* Look for them in the directories of a search path; fuse-overlayfs only when the driver needs it. */
void programs_read(const char *search_path, const char *driver, struct programs *ret_programs);

/* Judge ProgramsInPlace. */
struct judgement programs_judge(const struct programs *programs);

/* What tells this one from another, as a text: its path, size and time. */
void program_stamp(const struct program *program, char *text, size_t size);
