/*
 * Reads os-release(5). Pure: bytes in, the few fields that recipes are chosen by out.
 */
#pragma once

#include <stddef.h>

#include "common/error.h"

struct os_release {
	char id[32];         /* "debian" */
	char id_like[64];    /* "" when absent */
	char version_id[32]; /* "12"; "" for testing and unstable */
	char codename[32];   /* "bookworm" */
	char pretty_name[96];
};

/*
 * Parse the file's text. Unknown keys are ignored, values may be quoted; -EINVAL with place
 * (path:line) when a line is no assignment, or without any ID.
 */
int os_release_parse(const char *path, const char *text, struct os_release *ret_release,
		     struct ph_error *error);
