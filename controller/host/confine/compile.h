/*
 * Profile text to the kernel's binary form, by apparmor_parser in a process of its own, with a cache
 * of results. Never loads anything. The text is data: it goes to the parser's standard input.
 */
#pragma once

#include <stdbool.h>

#include "common/error.h"
#include "common/str.h"

#define CONFINE_BINARY_MAXIMUM (1024 * 1024)

struct confine_compile {
	const char *text;          /* borrowed */
	const char *cache_dir;     /* borrowed; root's own directory, made by the caller; NULL: none */
	const char *features_id;   /* borrowed; of the kernel, part of the cache's key */
	const char *parser_version; /* borrowed; likewise */
	const char *features_file; /* borrowed; compile for these features instead of the kernel's */
};

/*
 * Compile into ret_binary, which the caller frees; ret_cached may be NULL. -EINVAL with the parser's
 * line as the reason when the text is wrong, -ENOENT without a parser, -ETIMEDOUT after 30 s. A cache
 * that cannot be read or written costs time and is no error.
 */
int confine_compile(const struct confine_compile *compile, struct str *ret_binary, bool *ret_cached,
		    struct ph_error *error);

/* The line of the parser's messages that says what is wrong; the caller frees it. Pure. */
char *confine_compile_reason(const char *messages);
