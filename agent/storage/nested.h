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
	char layered[NESTED_VALUE];    /* "yes" when both layers of a built image show */
	char kept[NESTED_VALUE];       /* "yes" when an earlier start's file is there */
	char gateway[NESTED_VALUE];    /* of the default route */
	char reached[NESTED_VALUE];    /* "yes", or why the gateway was not reached */
	bool is_ready;
};

/* Take one line of its output; unknown and over-long ones are ignored. */
void nested_take_line(struct nested_words *words, const char *line);
