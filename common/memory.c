/* Out of memory is the end of a crash-only process: state is on disk, peers come back. */
#include "common/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ph_out_of_memory(void)
{
	fputs("phoenix: out of memory\n", stderr);
	abort();
}

static void *must(void *pointer)
{
	if (!pointer)
		ph_out_of_memory();
	return pointer;
}

void *ph_alloc(size_t size)
{
	return must(calloc(1, size ? size : 1));
}

void *ph_alloc_array(size_t count, size_t size)
{
	return must(calloc(count ? count : 1, size ? size : 1));
}

void *ph_realloc(void *pointer, size_t size)
{
	return must(realloc(pointer, size ? size : 1));
}

char *ph_strdup(const char *text)
{
	return text ? must(strdup(text)) : NULL;
}

char *ph_strndup(const char *text, size_t length)
{
	return must(strndup(text, length));
}

void *ph_memdup(const void *data, size_t size)
{
	void *copy = ph_alloc(size);

	if (size)
		memcpy(copy, data, size);
	return copy;
}

char *ph_format(const char *format, ...)
{
	va_list arguments;
	char *text = NULL;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		text = NULL;
	va_end(arguments);
	return must(text);
}
