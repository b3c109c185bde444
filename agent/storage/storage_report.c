#include "agent/storage/storage_report.h"

#include <stdio.h>
#include <string.h>

#include "agent/storage/bench.h"
#include "agent/storage/probe.h"
#include "agent/storage/scratch.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/rpc.h"
#include "common/str.h"

#define MEASURE_US 1300000 /* for all drivers; probing and cleaning up make it two seconds */
#define ALIKE 1.25 /* less than this is noise */

/* ---- in words ---- */

/* How much faster one does something than the other: "13x faster", "about as fast". */
static void write_factor(const Phoenix__StorageCost *one, const Phoenix__StorageCost *two,
			 const char *figure, char text[32])
{
	double factor = bench_rate(one, figure) / bench_rate(two, figure);

	if (factor >= 10)
		snprintf(text, 32, "%.0fx faster", factor);
	else if (factor > ALIKE)
		snprintf(text, 32, "%.1fx faster", factor);
	else if (factor > 1 / ALIKE)
		snprintf(text, 32, "about as fast");
	else
		snprintf(text, 32, "%.1fx slower", 1 / factor);
}

void storage_compare(const Phoenix__StorageCost *used, const Phoenix__StorageCost *other,
		     char *text, size_t size)
{
	char create[32], read[32];

	text[0] = '\0';
	if (bench_rate(used, "create") <= 0 || bench_rate(other, "create") <= 0 ||
	    bench_rate(used, "read") <= 0 || bench_rate(other, "read") <= 0)
		return;
	write_factor(other, used, "create", create);
	write_factor(other, used, "read", read);
	snprintf(text, size, "%s passes here and creates files %s %s %s, reads small ones %s",
		 other->driver, create, strstr(create, " as ") ? "as" : "than", used->driver, read);
}

static void write_summary(Phoenix__StorageReport *report)
{
	char text[256] = "";

	if (report->n_costs >= 2)
		storage_compare(report->costs[0], report->costs[1], text, sizeof(text));
	if (!text[0] && report->n_costs >= 2)
		snprintf(text, sizeof(text), "%s and %s pass here; they could not be compared",
			 report->costs[0]->driver, report->costs[1]->driver);
	if (!text[0] && report->n_costs)
		snprintf(text, sizeof(text), "only %s passes here", report->costs[0]->driver);
	if (!report->n_costs)
		snprintf(text, sizeof(text), "no driver can be used here");
	message_set_text(&report->summary, text);
}

/* ---- parts ---- */

static void add_fact(void *user, const char *key, const char *value)
{
	Phoenix__StorageReport *report = user;
	Phoenix__Pair *pair = ph_alloc(sizeof(*pair));

	phoenix__pair__init(pair);
	message_set_text(&pair->key, key);
	message_set_text(&pair->value, value);
	report->facts = ph_realloc(report->facts, (report->n_facts + 1) * sizeof(*report->facts));
	report->facts[report->n_facts++] = pair;
}

static void add_text(char ***texts, size_t *count, const char *text)
{
	*texts = ph_realloc(*texts, (*count + 1) * sizeof(**texts));
	(*texts)[(*count)++] = ph_strdup(text);
}

static void add_finding(Phoenix__StorageReport *report, const struct storage_finding *finding)
{
	Phoenix__StorageFinding *message = ph_alloc(sizeof(*message));

	phoenix__storage_finding__init(message);
	message_set_text(&message->id, finding->id);
	message_set_text(&message->message, finding->message);
	message_set_text(&message->remedy, finding->remedy);
	report->findings = ph_realloc(report->findings,
				      (report->n_findings + 1) * sizeof(*report->findings));
	report->findings[report->n_findings++] = message;
}

static void add_decision(Phoenix__StorageReport *report, const struct storage_decision *decision,
			 const struct ph_error *refusal)
{
	Phoenix__Failure failure = PHOENIX__FAILURE__INIT;

	message_set_text(&report->driver, decision->driver);
	for (size_t i = 0; i < decision->reason_count; i++)
		add_text(&report->reasons, &report->n_reasons, decision->reasons[i]);
	for (size_t i = 0; i < decision->finding_count; i++)
		add_finding(report, &decision->findings[i]);
	if (decision->driver[0])
		return;
	rpc_failure_from_error(&failure, refusal);
	report->refusal = MESSAGE_COPY(&failure);
}

/* ---- costs ---- */

static void add_cost(Phoenix__StorageReport *report, const char *data_root, const char *driver,
		     uint64_t end_us)
{
	for (size_t i = 0; i < report->n_costs; i++)
		if (text_equal(report->costs[i]->driver, driver))
			return;
	report->costs = ph_realloc(report->costs, (report->n_costs + 1) * sizeof(*report->costs));
	report->costs[report->n_costs++] =
		bench_driver(data_root, driver, end_us);
}

/* The driver in use comes first, then whatever passes beside it. */
static void add_costs(Phoenix__StorageReport *report, const struct storage_facts *facts,
		      const struct storage_decision *decision)
{
	uint64_t begin = clock_monotonic_us();
	const char *used = facts->driver_now[0] ? facts->driver_now : decision->driver;
	const struct {
		const char *driver;
		bool passed;
	} candidates[] = {
		{ "overlay2", facts->overlay.passed == STORAGE_YES &&
				      !storage_stacking_problem("overlay2", facts->filesystem) },
		{ "fuse-overlayfs", facts->fuse.passed == STORAGE_YES },
		{ "vfs", text_equal(used, "vfs") },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(candidates); i++)
		if (candidates[i].passed && text_equal(candidates[i].driver, used))
			add_cost(report, facts->data_root, used, begin + MEASURE_US / 2);
	for (size_t i = 0; i < ARRAY_LENGTH(candidates); i++)
		if (candidates[i].passed)
			add_cost(report, facts->data_root, candidates[i].driver,
				 begin + MEASURE_US);
}

int storage_report_make(const char *data_root, const struct storage_wanted *wanted,
			Phoenix__StorageReport **ret_report, struct ph_error *error)
{
	PH_AUTO_CLOSE int lock = scratch_lock(data_root, SCRATCH_PATIENCE_SHORT_MS, error);
	PH_AUTO_FREE struct storage_facts *facts = ph_alloc(sizeof(*facts));
	PH_AUTO_FREE struct storage_decision *decision = ph_alloc(sizeof(*decision));
	uint64_t begin = clock_monotonic_ms();
	struct ph_error refusal = { 0 };
	Phoenix__StorageReport *report;
	int r = lock < 0 ? lock : storage_probe(data_root, facts, error);

	if (r < 0)
		return r;
	storage_choose(facts, wanted, decision, &refusal);
	report = ph_alloc(sizeof(*report));
	phoenix__storage_report__init(report);
	message_set_text(&report->wanted, wanted->driver);
	message_set_text(&report->driver_now, facts->driver_now);
	storage_facts_tell(facts, add_fact, report);
	for (size_t i = 0; i < facts->image_named; i++)
		add_text(&report->images, &report->n_images, facts->images[i]);
	add_decision(report, decision, &refusal);
	add_costs(report, facts, decision);
	write_summary(report);
	report->wall_ms = clock_wall_ms();
	report->duration_ms = clock_monotonic_ms() - begin;
	*ret_report = report;
	return 0;
}
