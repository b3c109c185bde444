/* Texts in here may come from a container: they are made printable on the way in, once. */
#include "common/error.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define ELLIPSIS "…"

/* Copy with control bytes replaced; what does not fit ends in "…" at a UTF-8 boundary. */
static void text_take(char *buffer, size_t size, const char *text)
{
	size_t length = text ? strlen(text) : 0;
	size_t kept = length;

	if (length >= size) {
		kept = size - sizeof(ELLIPSIS);
		while (kept > 0 && ((unsigned char)text[kept] & 0xc0) == 0x80)
			kept--;
	}
	for (size_t i = 0; i < kept; i++) {
		unsigned char byte = (unsigned char)text[i];

		buffer[i] = byte < 0x20 || byte == 0x7f ? (byte == '\n' ? ' ' : '?') : (char)byte;
	}
	if (kept < length)
		memcpy(buffer + kept, ELLIPSIS, sizeof(ELLIPSIS));
	else
		buffer[kept] = '\0';
}

void error_clear(struct ph_error *error)
{
	if (error)
		memset(error, 0, sizeof(*error));
}

int error_set(struct ph_error *error, int code, const char *where, const char *remedy,
	      const char *why, ...)
{
	char text[1024];
	va_list arguments;

	if (!error)
		return code;
	va_start(arguments, why);
	vsnprintf(text, sizeof(text), why, arguments);
	va_end(arguments);

	error_clear(error);
	error->code = code;
	text_take(error->where, sizeof(error->where), where);
	text_take(error->remedy, sizeof(error->remedy), remedy);
	text_take(error->why, sizeof(error->why), text);
	return code;
}

int error_errno(struct ph_error *error, int code, const char *where, const char *remedy,
		const char *call)
{
	return error_set(error, code, where, remedy, "%s: %s", call, strerror(-code));
}

int error_prefix(struct ph_error *error, const char *what, ...)
{
	char prefix[sizeof(error->what)];
	char joined[2 * sizeof(error->what) + 4];
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
