/*
 * Errors that a person reads: what was attempted, where, why, and what to do about it. Functions
 * return a negative errno and fill one of these (their last argument, may be NULL); callers prefix
 * what they were doing on the way up; it is logged once, at the top.
 *
 * Fixed buffers: an error can be made when memory or a peer misbehaves, and copied by assignment.
 * Texts that do not fit are cut with "…" at a character boundary.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct ph_error {
	int code; /* negative errno; 0: nothing failed */
	char what[200];
	char where[256];
	char why[320];
	char remedy[320];
	char step[48]; /* step of a flow, "" outside one */
};

/* Empty the error. */
void error_clear(struct ph_error *error);

/*
 * Fill the error. code is a negative errno and is returned; where and remedy may be NULL; why is a
 * printf format. Line breaks become spaces, other control bytes and what is not UTF-8 become
 * '?': texts may come from a container.
 */
int error_set(struct ph_error *error, int code, const char *where, const char *remedy,
	      const char *why, ...) __attribute__((format(printf, 5, 6)));

/* Like error_set(), with why = strerror(-code) behind a prefix: "open: permission denied". */
int error_errno(struct ph_error *error, int code, const char *where, const char *remedy,
		const char *call);

/* Put "what: " before what is there: the caller's attempt. Returns the code. */
int error_prefix(struct ph_error *error, const char *what, ...)
	__attribute__((format(printf, 2, 3)));

/* Name the step that failed, unless an inner one has been named already. */
void error_step(struct ph_error *error, const char *step);

/* Write "what: why (where)" into text; never more than size bytes. Returns text. */
char *error_format(const struct ph_error *error, char *text, size_t size);

/* Whether the error says that something failed. */
static inline bool error_is_set(const struct ph_error *error)
{
	return error->code != 0;
}
