#include "controller/cli/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "controller/cli/json.h"
#include "controller/cli/table.h"

void progress_clear(struct progress_view *view)
{
	if (view->has_status)
		fputs("\r\033[K", stdout);
	view->has_status = false;
}

static void print_duration(uint64_t milliseconds)
{
	if (milliseconds >= 1000)
		printf(" %.1f s", (double)milliseconds / 1000);
	else
		printf(" %llu ms", (unsigned long long)milliseconds);
}

static void print_head(const Phoenix__Progress *progress)
{
	print_clean(progress->container);
	if (progress->total)
		printf("  [%u/%u]  ", progress->index, progress->total);
	else
		fputs("  ", stdout);
	print_clean(progress->step);
}

/* What is going on: on a terminal only, and gone with the next line. */
static void show_status(struct progress_view *view, const Phoenix__Progress *progress)
{
	if (!isatty(STDOUT_FILENO))
		return;
	progress_clear(view);
	print_head(progress);
	fputs(" … ", stdout);
	if (progress->message[0]) {
		char *clean = text_clean(progress->message);

		printf("%.60s", clean);
		free(clean);
	}
	fflush(stdout);
	view->has_status = true;
}

void failure_print(const Phoenix__Failure *failure)
{
	const struct {
		const char *word, *text;
	} lines[] = {
		{ "what", failure->what }, { "where", failure->where },   { "why", failure->why },
		{ "step", failure->step }, { "to do", failure->remedy },
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (!lines[i].text[0])
			continue;
		printf("    %-6s ", lines[i].word);
		print_clean(lines[i].text);
		putchar('\n');
	}
}

static void show_ended(struct progress_view *view, const Phoenix__Progress *progress)
{
	progress_clear(view);
	print_head(progress);
	fputs(": ", stdout);
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
	default:
		print_colored("31", "FAILED");
		print_duration(progress->duration_ms);
		view->failed++;
	}
	putchar('\n');
	if (progress->failure)
		failure_print(progress->failure);
	fflush(stdout);
}

void progress_show(struct progress_view *view, const Phoenix__Progress *progress)
{
	if (view->json)
		json_print(&progress->base, true);
	else if (progress->state == PHOENIX__PROGRESS__STATE__STARTED ||
		 progress->state == PHOENIX__PROGRESS__STATE__RUNNING)
		show_status(view, progress);
	else
		show_ended(view, progress);
}
