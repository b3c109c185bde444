#include "controller/cli/progress.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "controller/cli/json.h"
#include "controller/cli/output.h"
#include "controller/cli/table.h"

void progress_clear(struct progress_view *view)
{
	if (view->has_status)
		fputs("\r\033[K", stdout);
	view->has_status = false;
}

void progress_status(struct progress_view *view, const char *head, const char *message)
{
	size_t columns = terminal_columns();
	PH_AUTO_FREE char *text = NULL;
	char *line;

	if (columns == 0 || view->json)
		return;
	text = ph_format("%s … %s", head, message);
	line = text_clean(text);
	text_cut(line, columns - 1); /* a line that wraps could not be taken away */
	progress_clear(view);
	fputs(line, stdout);
	free(line);
	view->has_status = true;
}

static char *head_of(const Phoenix__Progress *progress)
{
	if (progress->total)
		return ph_format("%s  [%u/%u]  %s", progress->container, progress->index,
				 progress->total, progress->step);
	return ph_format("%s  %s", progress->container, progress->step);
}

static void print_duration(uint64_t milliseconds)
{
	if (milliseconds >= 1000)
		printf(" %.1f s", (double)milliseconds / 1000);
	else
		printf(" %llu ms", (unsigned long long)milliseconds);
}

static void print_state(const Phoenix__Progress *progress)
{
	switch (progress->state) {
	case PHOENIX__PROGRESS__STATE__DONE:
		print_colored("32", "done");
		print_duration(progress->duration_ms);
		break;
	case PHOENIX__PROGRESS__STATE__UNCHANGED:
		fputs("unchanged", stdout);
		break;
	case PHOENIX__PROGRESS__STATE__UNDONE:
		print_colored("33", "undone");
		break;
	case PHOENIX__PROGRESS__STATE__FAILED:
		print_colored("31", "FAILED");
		print_duration(progress->duration_ms);
		break;
	default:
		putchar('?');
	}
	putchar('\n');
}

void progress_show(struct progress_view *view, const Phoenix__Progress *progress)
{
	PH_AUTO_FREE char *head = head_of(progress);

	if (view->json) {
		json_print(&progress->base, true);
		return;
	}
	if (progress->state == PHOENIX__PROGRESS__STATE__STARTED ||
	    progress->state == PHOENIX__PROGRESS__STATE__RUNNING) {
		progress_status(view, head, progress->message);
		return;
	}
	progress_clear(view);
	print_clean(head);
	fputs(": ", stdout);
	print_state(progress);
	if (progress->failure)
		output_failure(progress->failure);
}
