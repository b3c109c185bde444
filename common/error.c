/* Texts in here may come from a container: they are made printable on the way in, once. */
#include "common/error.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/str.h"

#define ELLIPSIS "…"

/* Whether a character may move a terminal's cursor or break a line: C0, DEL and C1 controls. */
static bool is_control(const unsigned char *byte)
{
	return byte[0] < 0x20 || byte[0] == 0x7f || (byte[0] == 0xc2 && byte[1] < 0xa0);
}

/*
 * Copy at most size - 1 bytes. Line breaks become spaces, other controls and what is not UTF-8 '?';
 * a text that does not fit ends in "…" behind a whole character.
 */
static void text_take(char *buffer, size_t size, const char *text)
{
	size_t used = 0, fits = 0; /* fits: where "…" still has room */

	while (text && *text) {
		size_t length = text_character(text);
		bool is_kept = length > 0 && !is_control((const unsigned char *)text);
		size_t written = is_kept ? length : 1;

		if (used + written >= size) {
			memcpy(buffer + fits, ELLIPSIS, sizeof(ELLIPSIS));
			return;
		}
		if (is_kept)
			memcpy(buffer + used, text, length);
		else
			buffer[used] = *text == '\n' ? ' ' : '?';
		used += written;
		if (used + sizeof(ELLIPSIS) <= size)
			fits = used;
		text += length ? length : 1;
	}
	buffer[used] = '\0';
}

void error_clear(struct ph_error *error)
{
	if (error)
		memset(error, 0, sizeof(*error));
}

int error_set(struct ph_error *error, int code, const char *where, const char *remedy,
	      const char *why, ...)
{
	struct ph_error made = { .code = code }; /* the texts may be error's own */
	char text[1024];
	va_list arguments;

	if (!error)
		return code;
	va_start(arguments, why);
	vsnprintf(text, sizeof(text), why, arguments);
	va_end(arguments);

	text_take(made.where, sizeof(made.where), where);
	text_take(made.remedy, sizeof(made.remedy), remedy);
	text_take(made.why, sizeof(made.why), text);
	*error = made;
	return code;
}

int error_errno(struct ph_error *error, int code, const char *where, const char *remedy,
		const char *call)
{
	return error_set(error, code, where, remedy, "%s: %s", call, strerror(-code));
}

int error_prefix(struct ph_error *error, const char *what, ...)
{
	char prefix[512];
	char joined[sizeof(prefix) + sizeof(error->what) + 4];
	va_list arguments;

	if (!error)
		return 0;
	va_start(arguments, what);
	vsnprintf(prefix, sizeof(prefix), what, arguments);
	va_end(arguments);

	if (error->what[0])
		snprintf(joined, sizeof(joined), "%s: %s", prefix, error->what);
	else
		snprintf(joined, sizeof(joined), "%s", prefix);
	text_take(error->what, sizeof(error->what), joined);
	return error->code;
}

void error_step(struct ph_error *error, const char *step)
{
	if (error && !error->step[0])
		text_take(error->step, sizeof(error->step), step);
}

char *error_format(const struct ph_error *error, char *text, size_t size)
{
	snprintf(text, size, "%s%s%s%s%s%s", error->what, error->what[0] ? ": " : "", error->why,
		 error->where[0] ? " (" : "", error->where, error->where[0] ? ")" : "");
	return text;
}
