/*
 * One write(2) per record, so that records of several processes on one stderr do not mix. The level
 * is the only state: it is set once at start, before anything runs in parallel.
 */
#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/str.h"

#define RECORD_MAXIMUM 2048
#define VALUES_END (RECORD_MAXIMUM - 128) /* what remains holds the keys of the last fields */

static const char *const level_names[] = { "debug", "info", "warning", "error" };
static enum log_level minimum_level = LOG_LEVEL_INFO;

int log_level_parse(const char *name, enum log_level *ret_level)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (text_equal(name, level_names[i])) {
			*ret_level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

void log_set_level(enum log_level level)
{
	minimum_level = level;
}

/* Append one character of a value, escaped; returns how many bytes it was. */
static size_t append_character(struct str *record, const char *value)
{
	unsigned char byte = (unsigned char)*value;
	size_t length = text_character(value);

	if (byte == '"' || byte == '\\')
		str_appendf(record, "\\%c", byte);
	else if (length == 0 || byte < 0x20 || byte == 0x7f)
		str_appendf(record, "\\x%02x", byte);
	else
		str_append_bytes(record, value, length);
	return length ? length : 1;
}

/* Append ` key="value"`; nothing for "". A value that makes the record too long ends in "…". */
static void append_field(struct str *record, const char *key, const char *value)
{
	if (text_empty(value))
		return;
	str_appendf(record, " %s=\"", key);
	while (*value && record->length < VALUES_END)
		value += append_character(record, value);
	str_append(record, *value ? "…\"" : "\"");
}

static void append_head(struct str *record, enum log_level level, const char *area,
			const char *container)
{
	char time[25];

	str_appendf(record, "%s level=%s area=%s", clock_format(clock_wall_ms(), time),
		    level_names[level], area);
	if (!text_empty(container))
		str_appendf(record, " container=%s", container);
}

static void emit(struct str *record)
{
	ssize_t written;

	if (record->length > RECORD_MAXIMUM - 1)
		record->length = RECORD_MAXIMUM - 1;
	record->data[record->length++] = '\n';
	written = write(STDERR_FILENO, record->data, record->length);
	(void)written; /* a log that cannot be written has nowhere to complain */
}

void log_write(enum log_level level, const char *area, const char *container, const char *format,
	       ...)
{
	PH_AUTO_STR struct str record = STR_INIT;
	char message[1024];
	va_list arguments;

	if (level < minimum_level)
		return;
	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	append_head(&record, level, area, container);
	append_field(&record, "msg", message);
	emit(&record);
}

void log_error(enum log_level level, const char *area, const char *container,
	       const struct ph_error *error)
{
	PH_AUTO_STR struct str record = STR_INIT;

	if (level < minimum_level)
		return;
	append_head(&record, level, area, container);
	append_field(&record, "msg", error->what[0] ? error->what : error->why);
	if (error->what[0])
		append_field(&record, "why", error->why);
	append_field(&record, "where", error->where);
	append_field(&record, "step", error->step);
	append_field(&record, "remedy", error->remedy);
	emit(&record);
}
