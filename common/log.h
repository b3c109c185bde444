/*
 * Structured log lines on stderr, one per record, for programs and journals:
 * 2026-11-23T21:00:00.123Z level=info area=link container=web1 msg="agent connected"
 * Library code does not log: it returns errors; the rooms' top level logs them once.
 */
#pragma once

#include "common/error.h"

enum log_level {
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_INFO,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_ERROR,
};

/* Read a level's name; -EINVAL when there is no such level. */
int log_level_parse(const char *name, enum log_level *ret_level);

/* Drop records below this level from now on (process-wide; default info). */
void log_set_level(enum log_level level);

/*
 * Write one record. container may be NULL. Control bytes and quotes in the message are escaped, a
 * record is one write(2) of at most 2 kB.
 */
void log_write(enum log_level level, const char *area, const char *container, const char *format,
	       ...) __attribute__((format(printf, 4, 5)));

/* Write an error with its where, why, step and remedy as fields. */
void log_error(enum log_level level, const char *area, const char *container,
	       const struct ph_error *error);
