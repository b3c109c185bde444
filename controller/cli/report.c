#include "controller/cli/report.h"

#include <stdio.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/str.h"
#include "controller/cli/table.h"

#define STATUSES 5

/* A check belongs to the first group that its id begins with; the last one takes what is left. */
static const struct {
	const char *prefix, *title;
} groups[] = {
	{ "storage.", "Storage, on the real data-root:" },
	{ "docker.", "Docker, with a nested container made on the spot:" },
	{ "confinement.", "Confinement, as the host sees it:" },
	{ "", "Others:" },
};

const char *report_check_word(const Phoenix__Check *check)
{
	static const char *const words[STATUSES] = { "?", "PASS", "FAIL", "SKIP", "KNOWN-LIMIT" };

	return (size_t)check->status < STATUSES ? words[check->status] : words[0];
}

static const char *check_color(const Phoenix__Check *check)
{
	switch (check->status) {
	case PHOENIX__CHECK__STATUS__PASS:
		return "32";
	case PHOENIX__CHECK__STATUS__FAIL:
		return "31";
	default:
		return "33";
	}
}

static void print_failed(const Phoenix__Check *check)
{
	fputs("              expected: ", stdout);
	print_clean(check->expected);
	if (check->error_number)
		printf(" (errno %d)", check->error_number);
	putchar('\n');
	if (!check->remedy[0])
		return;
	fputs("              to do: ", stdout);
	print_clean(check->remedy);
	putchar('\n');
}

static void print_check(const Phoenix__Check *check)
{
	char word[16];

	snprintf(word, sizeof(word), "%-11s", report_check_word(check));
	fputs("  ", stdout);
	print_colored(check_color(check), word);
	putchar(' ');
	print_padded(check->id, 28);
	printf(" %7.1f ms  ", (double)check->duration_us / 1000);
	print_clean(check->got);
	puts(check->observed ? "  [seen from the host]" : "");
	if (check->status == PHOENIX__CHECK__STATUS__FAIL ||
	    check->status == PHOENIX__CHECK__STATUS__UNSET)
		print_failed(check);
}

static size_t group_of(const Phoenix__Check *check)
{
	size_t group = 0;

	while (!text_has_prefix(check->id, groups[group].prefix))
		group++;
	return group;
}

static void print_group(const Phoenix__VerifyReport *report, size_t group)
{
	bool has_title = false;

	for (size_t i = 0; i < report->n_checks; i++) {
		if (group_of(report->checks[i]) != group)
			continue;
		if (!has_title)
			puts(groups[group].title);
		has_title = true;
		print_check(report->checks[i]);
	}
}

static void print_verdict(const Phoenix__VerifyReport *report)
{
	size_t counts[STATUSES] = { 0 };

	for (size_t i = 0; i < report->n_checks; i++)
		if ((size_t)report->checks[i]->status < STATUSES)
			counts[report->checks[i]->status]++;
	if (report->passed)
		print_colored("32", "PASSED");
	else
		print_colored("31", "FAILED");
	printf(": %zu passed, %zu failed, %zu known limits, %zu skipped in %.1f s.\n",
	       counts[PHOENIX__CHECK__STATUS__PASS], counts[PHOENIX__CHECK__STATUS__FAIL],
	       counts[PHOENIX__CHECK__STATUS__KNOWN_LIMIT], counts[PHOENIX__CHECK__STATUS__SKIP],
	       (double)report->duration_ms / 1000);
	puts(report->passed ?
		     "Docker works in this container: storage and a nested container were tried." :
		     "Something that Docker needs does not work; each FAIL above says what to do.");
}

void report_print(const Phoenix__VerifyReport *report)
{
	char time[25];

	fputs("Verify report of ", stdout);
	print_clean(report->container);
	fputs(", driver ", stdout);
	print_clean(report->driver);
	printf(", %s\n\n", clock_format(report->wall_ms, time));
	for (size_t group = 0; group < ARRAY_LENGTH(groups); group++)
		print_group(report, group);
	putchar('\n');
	print_verdict(report);
}
