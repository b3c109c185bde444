#include "agent/storage/by_hand.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/storage/bench.h"
#include "agent/storage/choose.h"
#include "agent/storage/probe.h"
#include "agent/storage/scratch.h"
#include "agent/storage/storage_report.h"
#include "agent/storage/verify.h"
#include "common/cleanup.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"

#define EXIT_BROKEN 1
#define EXIT_USAGE 2
#define EXIT_FAILED 3

static const char verify_usage[] =
	"Usage: phoenix-agent verify [--data-root DIR] [--driver NAME] [--skip-docker] [--json]\n"
	"\n"
	"Prove that storage and Docker work here, by behaviour. Leaves nothing behind.\n"
	"\n"
	"  --data-root DIR  where Docker keeps its data (default /var/lib/docker)\n"
	"  --driver NAME    overlay2, fuse-overlayfs, vfs, or auto (default): the one that\n"
	"                   phoenix-agent choose would take\n"
	"  --skip-docker    only the storage battery\n"
	"  --json           print the report as JSON\n"
	"\n"
	"Exit status: 0 passed, 1 could not be run, 2 bad usage, 3 a check failed.\n";

static const char choose_usage[] =
	"Usage: phoenix-agent choose [--data-root DIR] [--driver NAME] [--accept WHAT]... [--json]\n"
	"\n"
	"Probe a data-root and tell which storage driver Docker should use on it, and why.\n"
	"Changes nothing.\n"
	"\n"
	"  --data-root DIR  where Docker keeps its data (default /var/lib/docker)\n"
	"  --driver NAME    auto (default), or judge overlay2, fuse-overlayfs or vfs\n"
	"  --accept WHAT    vfs: full copies of every layer; image-loss: images of another\n"
	"                   driver may vanish\n"
	"  --json           print facts, decision and reasons as JSON\n"
	"\n"
	"Exit status: 0 a driver was chosen, 1 could not be run, 2 bad usage, 3 refused.\n";

static const char storage_usage[] =
	"Usage: phoenix-agent storage [--data-root DIR] [--driver NAME] [--accept WHAT]... [--json]\n"
	"\n"
	"Tell what the storage drivers that work on a data-root cost there: at most two seconds\n"
	"of small files and one big one. Leaves nothing behind.\n"
	"\n"
	"  --data-root DIR  where Docker keeps its data (default /var/lib/docker)\n"
	"  --driver NAME    auto (default), overlay2, fuse-overlayfs or vfs: what is wanted\n"
	"  --accept WHAT    vfs, image-loss: as for phoenix-agent choose\n"
	"  --json           print the report as JSON\n"
	"\n"
	"Exit status: 0 a driver can be used, 1 could not be run, 2 bad usage, 3 refused.\n";

/* What a command line asked for. */
struct order {
	const char *data_root;
	struct storage_wanted wanted;
	bool skip_docker, json, help;
};

static int complain(const char *command, const struct ph_error *error)
{
	char text[1024];

	fprintf(stderr, "phoenix-agent: %s: %s\n", command,
		error_format(error, text, sizeof(text)));
	if (error->remedy[0])
		fprintf(stderr, "phoenix-agent: to do: %s\n", error->remedy);
	return EXIT_BROKEN;
}

static bool take_consent(struct order *order, const char *word)
{
	if (text_equal(word, "vfs"))
		order->wanted.accept_vfs = true;
	else if (text_equal(word, "image-loss"))
		order->wanted.accept_loss = true;
	else
		return false;
	return true;
}

static bool read_order(int argc, char **argv, const struct option *options, struct order *order)
{
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option == 'r')
			order->data_root = optarg;
		else if (option == 'd')
			order->wanted.driver = optarg;
		else if (option == 's')
			order->skip_docker = true;
		else if (option == 'j')
			order->json = true;
		else if (option == 'h')
			order->help = true;
		else if (option != 'a' || !take_consent(order, optarg))
			return false;
	}
	return optind == argc && storage_driver_is_known(order->wanted.driver) &&
	       order->data_root[0] == '/';
}

/* Probe and choose; a refusal is -ENOTSUP or -EPERM with the decision filled. */
static int decide(const struct order *order, struct storage_facts *facts,
		  struct storage_decision *decision, bool *ret_refused, struct ph_error *error)
{
	PH_AUTO_CLOSE int lock = scratch_lock(order->data_root, SCRATCH_PATIENCE_SHORT_MS, error);
	int r = lock < 0 ? lock : storage_probe(order->data_root, facts, error);

	*ret_refused = false;
	if (r < 0)
		return r;
	r = storage_choose(facts, &order->wanted, decision, error);
	*ret_refused = r < 0;
	return r;
}

/* ---- choose ---- */

static void put_fact(void *user, const char *key, const char *value)
{
	json_object_set_new(user, key, json_string(value));
}

static void print_fact(void *user, const char *key, const char *value)
{
	printf("  %-22s %s\n", key, value[0] ? value : "-");
}

static json_t *decision_json(const struct storage_decision *decision, const struct ph_error *error)
{
	json_t *reasons = json_array(), *findings = json_array(), *root;

	for (size_t i = 0; i < decision->reason_count; i++)
		json_array_append_new(reasons, json_string(decision->reasons[i]));
	for (size_t i = 0; i < decision->finding_count; i++)
		json_array_append_new(findings,
				      json_pack("{s:s, s:s, s:s}", "id", decision->findings[i].id,
						"message", decision->findings[i].message, "remedy",
						decision->findings[i].remedy));
	root = json_pack("{s:s, s:s, s:b, s:o, s:o}", "driver", decision->driver, "alternative",
			 decision->alternative, "loses_images", decision->loses_images, "reasons",
			 reasons, "findings", findings);
	if (!decision->driver[0])
		json_object_set_new(root, "refusal",
				    json_pack("{s:s, s:s}", "why", error->why, "remedy",
					      error->remedy));
	return root;
}

static void print_choice_json(const struct storage_facts *facts,
			      const struct storage_decision *decision, const struct ph_error *error)
{
	json_t *known = json_object(), *images = json_array(), *root;

	storage_facts_tell(facts, put_fact, known);
	for (size_t i = 0; i < facts->image_named; i++)
		json_array_append_new(images, json_string(facts->images[i]));
	root = json_pack("{s:o, s:o, s:o}", "facts", known, "images", images, "decision",
			 decision_json(decision, error));
	json_dumpf(root, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(root);
}

static void print_choice(const struct storage_facts *facts, const struct storage_decision *decision,
			 const struct ph_error *error)
{
	puts("Facts:");
	storage_facts_tell(facts, print_fact, NULL);
	printf("Driver: %s\n", decision->driver[0] ? decision->driver : "none");
	for (size_t i = 0; i < decision->reason_count; i++)
		printf("  because: %s\n", decision->reasons[i]);
	for (size_t i = 0; i < decision->finding_count; i++)
		printf("  %s: %s\n    to do: %s\n", decision->findings[i].id,
		       decision->findings[i].message, decision->findings[i].remedy);
	if (!decision->driver[0])
		printf("Refused: %s\n  to do: %s\n", error->why, error->remedy);
}

/* Of choose and storage. */
static const struct option choice_options[] = { { "data-root", required_argument, NULL, 'r' },
						{ "driver", required_argument, NULL, 'd' },
						{ "accept", required_argument, NULL, 'a' },
						{ "json", no_argument, NULL, 'j' },
						{ "help", no_argument, NULL, 'h' },
						{ 0 } };

int choose_main(int argc, char **argv)
{
	struct order order = { .data_root = "/var/lib/docker", .wanted = { .driver = "auto" } };
	PH_AUTO_FREE struct storage_facts *facts = ph_alloc(sizeof(*facts));
	PH_AUTO_FREE struct storage_decision *decision = ph_alloc(sizeof(*decision));
	struct ph_error error = { 0 };
	bool is_refused;

	if (!read_order(argc, argv, choice_options, &order) || order.help) {
		fputs(choose_usage, order.help ? stdout : stderr);
		return order.help ? 0 : EXIT_USAGE;
	}
	if (decide(&order, facts, decision, &is_refused, &error) < 0 && !is_refused)
		return complain("choose", &error);
	if (order.json)
		print_choice_json(facts, decision, &error);
	else
		print_choice(facts, decision, &error);
	return is_refused ? EXIT_FAILED : 0;
}

/* ---- storage ---- */

static json_t *cost_json(const Phoenix__StorageCost *cost)
{
	json_t *figures = json_object();

	for (size_t i = 0; i < cost->n_figures; i++)
		json_object_set_new(figures, cost->figures[i]->name,
				    json_pack("{s:I, s:I}", "count",
					      (json_int_t)cost->figures[i]->count, "duration_us",
					      (json_int_t)cost->figures[i]->duration_us));
	return json_pack("{s:s, s:b, s:s, s:o}", "driver", cost->driver, "usable", cost->usable,
			 "problem", cost->problem, "figures", figures);
}

static void print_costs_json(const Phoenix__StorageReport *report)
{
	json_t *costs = json_array(), *facts = json_object(), *root;

	for (size_t i = 0; i < report->n_costs; i++)
		json_array_append_new(costs, cost_json(report->costs[i]));
	for (size_t i = 0; i < report->n_facts; i++)
		json_object_set_new(facts, report->facts[i]->key,
				    json_string(report->facts[i]->value));
	root = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:I}", "wanted", report->wanted, "driver",
			 report->driver, "driver_now", report->driver_now, "summary",
			 report->summary, "costs", costs, "facts", facts, "duration_ms",
			 (json_int_t)report->duration_ms);
	json_dumpf(root, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(root);
}

static void print_costs(const Phoenix__StorageReport *report)
{
	for (size_t i = 0; i < report->n_costs; i++) {
		const Phoenix__StorageCost *cost = report->costs[i];

		printf("%s%s%s\n", cost->driver, cost->usable ? "" : ": ", cost->problem);
		for (size_t j = 0; j < cost->n_figures; j++)
			printf("  %-10s %12.0f %s a second\n", cost->figures[j]->name,
			       bench_rate(cost, cost->figures[j]->name),
			       strstr(cost->figures[j]->name, "big") ? "bytes" : "files");
	}
	if (report->refusal)
		printf("Refused: %s\n  to do: %s\n", report->refusal->why,
		       report->refusal->remedy);
	printf("%s (%llu ms)\n", report->summary, (unsigned long long)report->duration_ms);
}

int storage_main(int argc, char **argv)
{
	struct order order = { .data_root = "/var/lib/docker", .wanted = { .driver = "auto" } };
	Phoenix__StorageReport *report = NULL;
	struct ph_error error = { 0 };
	bool is_refused;

	if (!read_order(argc, argv, choice_options, &order) || order.help) {
		fputs(storage_usage, order.help ? stdout : stderr);
		return order.help ? 0 : EXIT_USAGE;
	}
	if (storage_report_make(order.data_root, &order.wanted, &report, &error) < 0)
		return complain("storage", &error);
	if (order.json)
		print_costs_json(report);
	else
		print_costs(report);
	is_refused = report->refusal != NULL;
	message_free(report);
	return is_refused ? EXIT_FAILED : 0;
}

/* ---- verify ---- */

static const char *word_of(const Phoenix__Check *check)
{
	static const char *const words[] = { "?", "PASS", "FAIL", "SKIP", "KNOWN-LIMIT" };

	return check->status < ARRAY_LENGTH(words) ? words[check->status] : words[0];
}

static void print_check(void *user, const Phoenix__Check *check)
{
	fprintf(stderr, "%-11s %-24s %6.1f ms  %s\n", word_of(check), check->id,
		(double)check->duration_us / 1000, check->got);
	if (check->remedy[0])
		fprintf(stderr, "            expected: %s\n            to do: %s\n", check->expected,
			check->remedy);
}

static void print_report_json(const Phoenix__VerifyReport *report)
{
	json_t *checks = json_array(), *root;
	json_t *facts = json_object();

	for (size_t i = 0; i < report->n_checks; i++) {
		const Phoenix__Check *check = report->checks[i];

		json_array_append_new(checks,
				      json_pack("{s:s, s:s, s:s, s:s, s:i, s:I, s:s}", "id",
						check->id, "status", word_of(check), "expected",
						check->expected, "got", check->got, "errno",
						check->error_number, "duration_us",
						(json_int_t)check->duration_us, "remedy",
						check->remedy));
	}
	for (size_t i = 0; i < report->n_facts; i++)
		json_object_set_new(facts, report->facts[i]->key,
				    json_string(report->facts[i]->value));
	root = json_pack("{s:s, s:b, s:I, s:o, s:o}", "driver", report->driver, "passed",
			 report->passed, "duration_ms", (json_int_t)report->duration_ms, "checks",
			 checks, "facts", facts);
	json_dumpf(root, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(root);
}

static int verify_driver(const struct order *order, const char *driver)
{
	const struct verify_wanted wanted = { .driver = driver,
					      .data_root = order->data_root,
					      .skip_docker = order->skip_docker,
					      .hold_fd = -1 };
	Phoenix__VerifyReport *report = NULL;
	struct ph_error error = { 0 };
	bool passed;

	if (verify_battery(&wanted, order->json ? NULL : print_check, NULL, &report, &error) < 0)
		return complain("verify", &error);
	passed = report->passed;
	if (order->json)
		print_report_json(report);
	else
		printf("%s: %s, %zu checks in %llu ms\n", passed ? "PASSED" : "FAILED", driver,
		       report->n_checks, (unsigned long long)report->duration_ms);
	message_free(report);
	return passed ? 0 : EXIT_FAILED;
}

int verify_main(int argc, char **argv)
{
	static const struct option options[] = { { "data-root", required_argument, NULL, 'r' },
						 { "driver", required_argument, NULL, 'd' },
						 { "skip-docker", no_argument, NULL, 's' },
						 { "json", no_argument, NULL, 'j' },
						 { "help", no_argument, NULL, 'h' },
						 { 0 } };
	struct order order = { .data_root = "/var/lib/docker", .wanted = { .driver = "auto" } };
	PH_AUTO_FREE struct storage_facts *facts = ph_alloc(sizeof(*facts));
	PH_AUTO_FREE struct storage_decision *decision = ph_alloc(sizeof(*decision));
	struct ph_error error = { 0 };
	bool is_refused;

	if (!read_order(argc, argv, options, &order) || order.help) {
		fputs(verify_usage, order.help ? stdout : stderr);
		return order.help ? 0 : EXIT_USAGE;
	}
	if (!text_equal(order.wanted.driver, "auto"))
		return verify_driver(&order, order.wanted.driver);
	if (decide(&order, facts, decision, &is_refused, &error) < 0) {
		complain("verify", &error);
		return is_refused ? EXIT_FAILED : EXIT_BROKEN;
	}
	return verify_driver(&order, decision->driver);
}
