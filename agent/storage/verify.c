#include "agent/storage/verify.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/health/health.h"
#include "agent/storage/docker_checks.h"
#include "agent/storage/report.h"
#include "agent/storage/scratch.h"
#include "agent/storage/storage_checks.h"
#include "common/cleanup.h"
#include "common/message.h"
#include "common/str.h"

static int storage_battery(const struct verify_wanted *wanted, struct report *report,
			   struct ph_error *error)
{
	struct scratch scratch = SCRATCH_INIT;
	int r = scratch_make(&scratch, wanted->data_root, error);

	if (r == 0)
		storage_checks(&scratch, wanted->driver, report);
	scratch_fini(&scratch);
	return r;
}

int verify_battery(const struct verify_wanted *wanted, verify_check_fn check, void *user,
		   Phoenix__VerifyReport **ret_report, struct ph_error *error)
{
	struct report report;
	int r;

	report_init(&report, wanted->driver, check, user);
	r = storage_battery(wanted, &report, error);
	if (r == 0 && !wanted->skip_docker) {
		docker_checks(wanted, &report);
		r = health_inputs(&report.message->facts, &report.message->n_facts, error);
	}
	if (r < 0) {
		report_fini(&report);
		return r;
	}
	*ret_report = report_take(&report);
	return 0;
}

/* ---- by hand ---- */

static const char usage[] =
	"Usage: phoenix-agent verify [--data-root DIR] [--driver NAME] [--skip-docker] [--json]\n"
	"\n"
	"Prove that storage and Docker work here, by behaviour. Leaves nothing behind.\n"
	"\n"
	"  --data-root DIR  where Docker keeps its data (default /var/lib/docker)\n"
	"  --driver NAME    fuse-overlayfs (default) or overlay2\n"
	"  --skip-docker    only the storage battery\n"
	"  --json           print the report as JSON\n"
	"\n"
	"Exit status: 0 passed, 1 could not be run, 2 bad usage, 3 a check failed.\n";

static const char *const words[] = { "?", "PASS", "FAIL", "SKIP", "KNOWN-LIMIT" };

static const char *word_of(const Phoenix__Check *check)
{
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

static void print_json(const Phoenix__VerifyReport *report)
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

static int run_by_hand(const struct verify_wanted *wanted, bool with_json)
{
	Phoenix__VerifyReport *report = NULL;
	struct ph_error error = { 0 };
	char text[1024];
	bool passed;

	if (verify_battery(wanted, with_json ? NULL : print_check, NULL, &report, &error) < 0) {
		fprintf(stderr, "phoenix-agent: verify: %s\n",
			error_format(&error, text, sizeof(text)));
		if (error.remedy[0])
			fprintf(stderr, "phoenix-agent: to do: %s\n", error.remedy);
		return 1;
	}
	passed = report->passed;
	if (with_json)
		print_json(report);
	else
		printf("%s: %zu checks in %llu ms\n", passed ? "PASSED" : "FAILED",
		       report->n_checks, (unsigned long long)report->duration_ms);
	message_free(report);
	return passed ? 0 : 3;
}

int verify_main(int argc, char **argv)
{
	static const struct option options[] = { { "data-root", required_argument, NULL, 'r' },
						 { "driver", required_argument, NULL, 'd' },
						 { "skip-docker", no_argument, NULL, 's' },
						 { "json", no_argument, NULL, 'j' },
						 { "help", no_argument, NULL, 'h' },
						 { 0 } };
	struct verify_wanted wanted = { .driver = "fuse-overlayfs",
					.data_root = "/var/lib/docker",
					.hold_fd = -1 };
	bool with_json = false;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (option) {
		case 'r':
			wanted.data_root = optarg;
			break;
		case 'd':
			wanted.driver = optarg;
			break;
		case 's':
			wanted.skip_docker = true;
			break;
		case 'j':
			with_json = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind != argc) {
		fputs(usage, stderr);
		return 2;
	}
	return run_by_hand(&wanted, with_json);
}
