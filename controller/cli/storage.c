/*
 * phoenixctl storage: the report of one container, or of all, one after another: measured together they
 * would measure each other.
 */
#include <errno.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/cli/commands.h"
#include "controller/cli/listing.h"
#include "controller/cli/json.h"
#include "controller/cli/output.h"
#include "controller/cli/table.h"

/* ---- figures ---- */

static const Phoenix__StorageFigure *find_figure(const Phoenix__StorageCost *cost, const char *name)
{
	for (size_t i = 0; i < cost->n_figures; i++)
		if (text_equal(cost->figures[i]->name, name))
			return cost->figures[i];
	return NULL;
}

/* Files or MiB a second; "-" when it was not measured. */
static void write_rate(const Phoenix__StorageCost *cost, const char *name, double unit,
		       char text[32])
{
	const Phoenix__StorageFigure *figure = find_figure(cost, name);

	if (!figure || !figure->duration_us)
		snprintf(text, 32, "-");
	else
		snprintf(text, 32, "%.0f",
			 (double)figure->count / unit * 1e6 / (double)figure->duration_us);
}

static void print_costs(const Phoenix__StorageReport *report)
{
	static const char *const head[] = { "DRIVER", "CREATE/S", "READ/S",    "STAT/S",
					    "REMOVE/S", "WRITE MIB/S", "READ MIB/S" };
	static const struct {
		const char *name;
		double unit;
	} columns[] = { { "create", 1 }, { "read", 1 },		 { "stat", 1 },
			{ "remove", 1 }, { "write-big", 1 << 20 }, { "read-big", 1 << 20 } };
	char rates[ARRAY_LENGTH(columns)][32];
	const char *cells[ARRAY_LENGTH(head)];
	struct table table;

	table_init(&table, ARRAY_LENGTH(head), head);
	for (size_t i = 0; i < report->n_costs; i++) {
		cells[0] = report->costs[i]->driver;
		for (size_t j = 0; j < ARRAY_LENGTH(columns); j++) {
			write_rate(report->costs[i], columns[j].name, columns[j].unit, rates[j]);
			cells[1 + j] = rates[j];
		}
		table_add(&table, cells);
	}
	if (report->n_costs)
		table_print(&table);
	table_fini(&table);
}

/* ---- words ---- */

static void print_line(const char *before, const char *text)
{
	fputs(before, stdout);
	print_clean(text);
	putchar('\n');
}

static void print_notes(const Phoenix__StorageReport *report)
{
	for (size_t i = 0; i < report->n_reasons; i++)
		print_line("  because ", report->reasons[i]);
	for (size_t i = 0; i < report->n_findings; i++) {
		print_line("  ", report->findings[i]->id);
		print_line("    ", report->findings[i]->message);
		print_line("    to do: ", report->findings[i]->remedy);
	}
	if (!report->refusal)
		return;
	print_line("  refused: ", report->refusal->why);
	print_line("  to do: ", report->refusal->remedy);
}

static void print_facts(const Phoenix__StorageReport *report)
{
	for (size_t i = 0; i < report->n_facts; i++) {
		fputs("  ", stdout);
		print_padded(report->facts[i]->key, 24);
		print_line("", report->facts[i]->value[0] ? report->facts[i]->value : "-");
	}
	for (size_t i = 0; i < report->n_images; i++)
		print_line(i ? "                          " : "  images by name          ",
			   report->images[i]);
}

static void print_report(const Phoenix__StorageReport *report)
{
	print_line("Storage of ", report->container);
	fputs("Wanted ", stdout);
	print_clean(report->wanted);
	fputs(", in use ", stdout);
	print_clean(report->driver_now[0] ? report->driver_now : "none yet");
	print_line(", chosen by probing now: ", report->driver[0] ? report->driver : "none");
	print_notes(report);
	puts("Facts, as the agent claims them:");
	print_facts(report);
	printf("Cost, measured on the data-root in %.1f s:\n", (double)report->duration_ms / 1000);
	print_costs(report);
	print_line("", report->summary);
}

/* ---- asking ---- */

static int report_one(struct invocation *invocation, const char *name, bool as_line,
		      bool *ret_refused, struct ph_error *error)
{
	Phoenix__NameRequest request = PHOENIX__NAME_REQUEST__INIT;
	Phoenix__StorageReport *report = NULL;
	int r;

	request.name = (char *)name;
	r = client_call(invocation->client, "Storage", &request.base, &report, error);
	if (r < 0)
		return r;
	if (invocation->json)
		json_print(&report->base, as_line);
	else
		print_report(report);
	if (report->refusal)
		*ret_refused = true;
	message_free(report);
	return output_check(error);
}

/* Every container is tried; the exit code is the first failure's. */
static int report_all(struct invocation *invocation, bool *ret_refused, struct ph_error *error)
{
	Phoenix__ListReply *list = NULL;
	struct ph_error first = { 0 };
	int r = listing_get(invocation->client, "List", "", &list, error);

	if (r < 0)
		return r;
	for (size_t i = 0; i < list->n_containers; i++) {
		struct ph_error one = { 0 };

		if (!list->containers[i]->spec ||
		    !name_is_valid(list->containers[i]->spec->name) ||
		    text_equal(list->containers[i]->spec->docker_source, "none"))
			continue;
		r = report_one(invocation, list->containers[i]->spec->name, true, ret_refused, &one);
		if (r < 0 && !error_is_set(&first))
			first = one;
		else if (r < 0)
			output_error(&one);
		if (r == CLIENT_UNREACHABLE || r == -EPIPE)
			break;
		if (!invocation->json && r >= 0 && i + 1 < list->n_containers)
			putchar('\n');
	}
	message_free(list);
	*error = first;
	return first.code;
}

int command_storage(struct invocation *invocation, struct ph_error *error)
{
	bool is_refused = false;
	int r = invocation_connect(invocation, error);

	if (r < 0)
		return r;
	if (invocation->argument_count)
		r = report_one(invocation, invocation->arguments[0], false, &is_refused, error);
	else
		r = report_all(invocation, &is_refused, error);
	return r == 0 && is_refused ? EXIT_UNHEALTHY : r;
}
