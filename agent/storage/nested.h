/*
 * What the nested container's program says, one "key=value" line each, ended by NESTED_READY; then
 * it waits for the end of its input. The reader is the battery outside.
 */
#pragma once

#include <stdbool.h>

#define NESTED_READY "ready=yes"
#define NESTED_VALUE 128

struct nested_words {
	char nonce[NESTED_VALUE];
	char root_type[NESTED_VALUE];  /* file system type of "/" in mountinfo */
	char root_magic[NESTED_VALUE]; /* statfs type, hexadecimal */
	char changed[NESTED_VALUE];    /* "yes" when a lower file could be written and one deleted */
	char label[NESTED_VALUE];      /* AppArmor label as seen inside: a claim */
	bool is_ready;
};

/* Take one line of its output; unknown and over-long ones are ignored. */
void nested_take_line(struct nested_words *words, const char *line);
