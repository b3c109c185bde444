/*
 * phoenixctl apparmor check and repair: the doctor, without phoenixd and without AppArmor in the kernel. What a
 * person sees first is the guilty file and line; what the parser said comes after, because it is often wrong
 * about the file.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/cli/commands.h"
#include "controller/cli/consent.h"
#include "controller/cli/table.h"
#include "controller/doctor/repair.h"
#include "controller/host/exec/exec.h"

#define POLICY "/etc/apparmor.d"
#define LOADED "/sys/kernel/security/apparmor/profiles"

static const char *const verdicts[] = {
	[DOCTOR_HEALTHY] = "healthy",	      [DOCTOR_NOTED] = "noted",
	[DOCTOR_REPAIRABLE] = "repairable",   [DOCTOR_REFUSED] = "refused",
	[DOCTOR_UNCONFIRMED] = "unconfirmed",
};

/* ---- for people ---- */

static void print_guilty(const struct doctor_guilty *guilty)
{
	for (size_t i = 0; i < guilty->scan.count; i++) {
		const struct doctor_finding *finding = &guilty->scan.findings[i];

		print_clean(guilty->text->path);
		printf(":%zu:%zu: %s", finding->line, finding->column,
		       doctor_explain(finding->kind));
		if (finding->variable[0])
			printf(" (%s)", finding->variable);
		printf("\n    to do: %s\n", doctor_remedy(finding->kind));
	}
	if (guilty->refusal) {
		print_clean(guilty->text->path);
		printf(": not repaired: %s\n", guilty->refusal);
	}
}

static void print_diagnosis(const struct doctor_diagnosis *diagnosis)
{
	for (size_t i = 0; i < diagnosis->guilty_count; i++)
		print_guilty(&diagnosis->guilty[i]);
	for (size_t i = 0; i < diagnosis->failure_count; i++) {
		fputs(diagnosis->failures[i].text->path, stdout);
		fputs(" does not load; the parser says: ", stdout);
		print_clean(diagnosis->failures[i].message);
		putchar('\n');
	}
	if (diagnosis->verdict == DOCTOR_HEALTHY)
		printf("%s: %zu files, everything loads\n", diagnosis->tree.directory,
		       diagnosis->tree.count);
	else if (diagnosis->verdict == DOCTOR_UNCONFIRMED)
		puts("apparmor_parser is not installed, so these are suspicions: install the "
		     "package apparmor");
	else if (diagnosis->verdict == DOCTOR_REPAIRABLE)
		puts("phoenixctl apparmor repair can repair this");
}

/* ---- for programs ---- */

static json_t *json_of_finding(const struct doctor_guilty *guilty, size_t at)
{
	const struct doctor_finding *finding = &guilty->scan.findings[at];

	return json_pack("{s:s, s:I, s:I, s:s, s:s, s:s, s:s, s:b}", "file", guilty->text->path,
			 "line", (json_int_t)finding->line, "column", (json_int_t)finding->column,
			 "kind", doctor_kind_name(finding->kind), "explanation",
			 doctor_explain(finding->kind), "remedy", doctor_remedy(finding->kind),
			 "variable", finding->variable, "repairable",
			 finding->replacement && !guilty->refusal);
}

static json_t *json_of(const struct doctor_diagnosis *diagnosis)
{
	json_t *root = json_object(), *findings = json_array(), *refusals = json_array(),
	       *failures = json_array();

	for (size_t i = 0; i < diagnosis->guilty_count; i++) {
		const struct doctor_guilty *guilty = &diagnosis->guilty[i];

		for (size_t j = 0; j < guilty->scan.count; j++)
			json_array_append_new(findings, json_of_finding(guilty, j));
		if (guilty->refusal)
			json_array_append_new(refusals,
					      json_pack("{s:s, s:s}", "file", guilty->text->path,
							"reason", guilty->refusal));
	}
	for (size_t i = 0; i < diagnosis->failure_count; i++)
		json_array_append_new(failures,
				      json_pack("{s:s, s:s?}", "file",
						diagnosis->failures[i].text->path, "message",
						diagnosis->failures[i].message));
	json_object_set_new(root, "tree", json_string(diagnosis->tree.directory));
	json_object_set_new(root, "verdict", json_string(verdicts[diagnosis->verdict]));
	json_object_set_new(root, "findings", findings);
	json_object_set_new(root, "refusals", refusals);
	json_object_set_new(root, "failures", failures);
	return root;
}

static void print_json(json_t *root)
{
	json_dumpf(root, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(root);
}

static void print_result(const struct invocation *invocation,
			 const struct doctor_diagnosis *diagnosis)
{
	if (invocation->json)
		print_json(json_of(diagnosis));
	else
		print_diagnosis(diagnosis);
}

static const char *tree_of(const struct invocation *invocation)
{
	const char *tree = invocation_value(invocation, "tree");

	return tree ? tree : POLICY;
}

int command_apparmor_check(struct invocation *invocation, struct ph_error *error)
{
	DOCTOR_AUTO_DIAGNOSIS struct doctor_diagnosis diagnosis = DOCTOR_DIAGNOSIS_INIT;
	int r = doctor_diagnose(tree_of(invocation), &diagnosis, error);

	if (r < 0)
		return r;
	print_result(invocation, &diagnosis);
	return diagnosis.verdict == DOCTOR_HEALTHY ? EXIT_OK : EXIT_UNHEALTHY;
}

/* ---- repair ---- */

static char *read_loaded(void)
{
	PH_CLEANUP(cleanup_file) FILE *file = fopen(LOADED, "re");
	struct str text = STR_INIT;
	char line[1024];

	while (file && fgets(line, sizeof(line), file))
		str_append(&text, line);
	return str_take(&text);
}

/* Load what could not be loaded before; what the kernel then has and had not is what protected nobody. */
static int reload(const struct doctor_diagnosis *diagnosis, bool quiet, struct ph_error *error)
{
	PH_AUTO_FREE char *before = read_loaded(), *after = NULL;
	char *rest;
	int r = 0;

	if (strcmp(diagnosis->tree.directory, POLICY) != 0 || access(LOADED, R_OK))
		return 0;
	for (size_t i = 0; i < diagnosis->failure_count && r == 0; i++) {
		PH_AUTO_STR struct str path = STR_INIT;

		str_appendf(&path, POLICY "/%s", diagnosis->failures[i].text->path);
		r = exec_check((const char *const[]){ "apparmor_parser", "-r", str_text(&path), NULL },
			       NULL, NULL, error);
	}
	after = read_loaded();
	for (char *line = strtok_r(after, "\n", &rest); line && !quiet;
	     line = strtok_r(NULL, "\n", &rest))
		if (!strstr(before, line)) {
			fputs("was not in force until now: ", stdout);
			print_clean(line);
			putchar('\n');
		}
	return r < 0 ? error_prefix(error, "the files are repaired; loading them") : 0;
}

static int repair(struct invocation *invocation, const struct doctor_diagnosis *diagnosis,
		  struct ph_error *error)
{
	const char *backups = invocation_value(invocation, "backups");
	PH_AUTO_FREE char *backup = NULL;
	int r = doctor_repair(diagnosis, backups ? backups : DOCTOR_BACKUPS, &backup, error);

	if (r < 0)
		return r;
	if (!invocation->json)
		printf("repaired; the old files are in %s\n", backup);
	return reload(diagnosis, invocation->json, error);
}

int command_apparmor_repair(struct invocation *invocation, struct ph_error *error)
{
	DOCTOR_AUTO_DIAGNOSIS struct doctor_diagnosis diagnosis = DOCTOR_DIAGNOSIS_INIT;
	PH_AUTO_STR struct str diff = STR_INIT;
	int r = doctor_diagnose(tree_of(invocation), &diagnosis, error);

	if (r < 0)
		return r;
	print_result(invocation, &diagnosis);
	if (diagnosis.verdict == DOCTOR_HEALTHY)
		return EXIT_OK;
	if (diagnosis.verdict != DOCTOR_REPAIRABLE)
		return EXIT_OPERATION;
	doctor_repair_diff(&diagnosis, &diff);
	if (!invocation->json)
		fputs(str_text(&diff), stdout);
	fflush(stdout);
	if (invocation_value(invocation, "dry-run"))
		return EXIT_UNHEALTHY;
	r = consent_ask(invocation, "Make these changes?", error);
	if (r == 0)
		r = repair(invocation, &diagnosis, error);
	return r < 0 ? r : EXIT_OK;
}
