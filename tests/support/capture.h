/*
 * What a function prints on stdout, as a text. cmocka prints there too: nothing may fail within.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct capture {
	int saved;
	FILE *file;
};

/* Begin: stdout goes into a file of its own. */
static inline void capture_begin(struct capture *capture)
{
	fflush(stdout);
	capture->saved = dup(STDOUT_FILENO);
	capture->file = tmpfile();
	if (capture->saved < 0 || !capture->file || dup2(fileno(capture->file), STDOUT_FILENO) < 0)
		abort();
}

/* End: stdout is back; the text is the caller's. */
static inline char *capture_end(struct capture *capture)
{
	char *text;
	long length;

	fflush(stdout);
	if (dup2(capture->saved, STDOUT_FILENO) < 0)
		abort();
	close(capture->saved);
	fseek(capture->file, 0, SEEK_END);
	length = ftell(capture->file);
	rewind(capture->file);
	text = calloc(1, (size_t)length + 1);
	if (!text || fread(text, 1, (size_t)length, capture->file) != (size_t)length)
		abort();
	fclose(capture->file);
	return text;
}
