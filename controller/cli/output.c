#include "controller/cli/output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "controller/cli/table.h"

int output_check(struct ph_error *error)
{
	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	return error_errno(error, errno ? -errno : -EIO, OUTPUT_NAME, NULL, "write");
}

static void print_line(FILE *stream, const char *head, const char *text)
{
	char *clean = text_clean(text);

	if (clean[0])
		fprintf(stream, "%s%s\n", head, clean);
	free(clean);
}

void output_error(const struct ph_error *error)
{
	char text[1200];

	print_line(stderr, "phoenixctl: ", error_format(error, text, sizeof(text)));
	print_line(stderr, "  at step: ", error->step);
	print_line(stderr, "  to do: ", error->remedy);
}

void output_failure(const Phoenix__Failure *failure)
{
	print_line(stdout, "    what   ", failure->what);
	print_line(stdout, "    where  ", failure->where);
	print_line(stdout, "    why    ", failure->why);
	print_line(stdout, "    step   ", failure->step);
	print_line(stdout, "    to do  ", failure->remedy);
}
