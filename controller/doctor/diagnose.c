/*
 * Which finding is guilty is found by putting them back one by one: everything suspicious is mended in a copy of
 * the tree; if that loads, each finding's damage returns in turn, and one that the parser does not mind was
 * innocent. What the scanner cannot mend is emptied, to see whether the rest is well without it.
 */
#include "controller/doctor/diagnose.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/host/exec/exec.h"

#define PARSER "apparmor_parser"

/* One examination. */
struct examination {
	struct doctor_diagnosis *diagnosis;
	struct doctor_scan *scans; /* by text */
	bool *emptied;             /* by text: its copy holds nothing */
	char *copy;
	struct ph_error *error;
};

static void write_path(char path[PATH_MAX], const char *directory, const char *below)
{
	snprintf(path, PATH_MAX, "%s/%s", directory, below);
}

/* The parser names files of the copy: take the copy's directory out of what it says, and its own name. */
static char *clean_message(const char *errors, const char *directory)
{
	struct str text = STR_INIT;
	size_t length = strlen(directory);
	const char *start = strstr(errors, "AppArmor parser error"), *found;

	start = start ? start : errors;
	while ((found = strstr(start, directory))) {
		str_append_bytes(&text, start, (size_t)(found - start));
		start = found + length + (found[length] == '/');
	}
	str_append(&text, start);
	while (text.length && text.data[text.length - 1] == '\n')
		text.data[--text.length] = '\0';
	return str_take(&text);
}

int doctor_parse(const char *directory, const char *path, char **ret_message, struct ph_error *error)
{
	EXEC_AUTO_RESULT struct exec_result result = EXEC_RESULT_INIT;
	char full[PATH_MAX];
	int r;

	write_path(full, directory, path);
	/* Names are printed after everything is parsed and before anything is compiled. */
	r = exec_run(&(struct exec_request){ .argv = (const char *const[]){ PARSER, "--names", "-Q", "-K",
									     "--base", directory,
									     "--Include", directory,
									     full, NULL } },
		     &result, error);
	if (r == EXEC_FAILED && ret_message)
		*ret_message = clean_message(str_text(&result.errors), directory);
	return r;
}

/* ---- the copy ---- */

static int write_copy(struct examination *examination, size_t i)
{
	const struct doctor_text *text = &examination->diagnosis->tree.texts[i];
	PH_AUTO_STR struct str mended = STR_INIT;

	if (text->target)
		return 0;
	if (!examination->emptied[i])
		doctor_apply(text->bytes, text->size, &examination->scans[i], &mended);
	return doctor_copy_write(examination->copy, text->path, str_text(&mended), mended.length,
				 examination->error);
}

/* Whether the copy loads now, as far as it did not before: 0, 1 when not, or a negative errno. */
static int copy_fails(struct examination *examination)
{
	for (size_t i = 0; i < examination->diagnosis->failure_count; i++) {
		const char *path = examination->diagnosis->failures[i].text->path;
		int r = doctor_parse(examination->copy, path, NULL, examination->error);

		if (r != 0)
			return r;
	}
	return 0;
}

/* ---- the steps ---- */

static int find_failures(struct examination *examination)
{
	struct doctor_diagnosis *diagnosis = examination->diagnosis;
	int r = 0;

	diagnosis->failures = calloc(diagnosis->tree.count + 1, sizeof(diagnosis->failures[0]));
	if (!diagnosis->failures)
		return -ENOMEM;
	for (size_t i = 0; i < diagnosis->tree.count && r >= 0; i++) {
		struct doctor_text *text = &diagnosis->tree.texts[i];
		char *message = NULL;

		if (!doctor_text_is_policy(text))
			continue;
		r = text->too_big ? 1 : doctor_parse(examination->copy, text->path, &message, examination->error);
		if (r > 0)
			diagnosis->failures[diagnosis->failure_count++] = (struct doctor_failure){
				text, message ? message : strdup("the file is too big for policy") };
	}
	return r < 0 ? r : 0;
}

static void scan_all(struct examination *examination)
{
	const struct doctor_tree *tree = &examination->diagnosis->tree;
	PH_AUTO_STR struct str declared = STR_INIT;

	/* The parser's own. */
	str_append(&declared, " profile_name  exec_path  attach_path ");
	for (size_t i = 0; i < tree->count; i++)
		doctor_declared(tree->texts[i].bytes, tree->texts[i].size, &declared);
	for (size_t i = 0; i < tree->count; i++)
		if (!tree->texts[i].target && !tree->texts[i].too_big)
			doctor_scan_text(tree->texts[i].bytes, tree->texts[i].size, tree->texts[i].kind,
					 str_text(&declared), &examination->scans[i]);
}

static void drop_finding(struct doctor_scan *scan, size_t at)
{
	free(scan->findings[at].replacement);
	scan->count--;
	memmove(&scan->findings[at], &scan->findings[at + 1], (scan->count - at) * sizeof(scan->findings[0]));
}

/* Keep the findings that the parser has nothing to say about, or only those. */
static void keep_silent(struct doctor_scan *scan)
{
	for (size_t i = scan->count; i > 0; i--)
		if (!doctor_is_silent(scan->findings[i - 1].kind))
			drop_finding(scan, i - 1);
}

/* Whether a text holds damage that cannot be mended. */
static bool is_hopeless(const struct doctor_text *text, const struct doctor_scan *scan)
{
	if (text->too_big)
		return true;
	for (size_t i = 0; i < scan->count; i++)
		if (!scan->findings[i].replacement && !doctor_is_silent(scan->findings[i].kind))
			return true;
	return false;
}

/* Mend what can be mended in the copy, and empty what is hopeless. */
static int mend_copy(struct examination *examination)
{
	const struct doctor_tree *tree = &examination->diagnosis->tree;
	int r = 0;

	for (size_t i = 0; i < tree->count && r == 0; i++) {
		examination->emptied[i] = is_hopeless(&tree->texts[i], &examination->scans[i]);
		if (examination->emptied[i] || examination->scans[i].count)
			r = write_copy(examination, i);
	}
	return r;
}

/* Empty one text of the copy; whether it loads without it: 0 yes, 1 no. */
static int try_without(struct examination *examination, size_t i)
{
	int r;

	examination->emptied[i] = true;
	r = write_copy(examination, i);
	if (r == 0)
		r = copy_fails(examination);
	if (r == 0)
		return 0;
	examination->emptied[i] = false;
	if (r > 0 && write_copy(examination, i) < 0)
		return -EIO;
	return r;
}

/*
 * The copy fails though all that the scanner understands is mended: find the one text without which it does
 * not. Texts that policy includes come first; a policy file without which it loads is its own culprit.
 */
static int find_unknown(struct examination *examination)
{
	const struct doctor_tree *tree = &examination->diagnosis->tree;

	for (int policy = 0; policy < 2; policy++) {
		for (size_t i = 0; i < tree->count; i++) {
			int r;

			if (tree->texts[i].target || doctor_text_is_policy(&tree->texts[i]) != policy ||
			    examination->emptied[i])
				continue;
			r = try_without(examination, i);
			if (r <= 0)
				return r;
		}
	}
	/* More than one: every policy file that still fails. */
	for (size_t i = 0; i < examination->diagnosis->failure_count; i++)
		examination->emptied[examination->diagnosis->failures[i].text - tree->texts] = true;
	return 1;
}

/* Put back one finding after another; what the parser does not mind was innocent. */
static int convict(struct examination *examination, size_t i)
{
	struct doctor_scan *scan = &examination->scans[i];
	int r = 0;

	for (size_t at = scan->count; at > 0 && r >= 0; at--) {
		struct doctor_finding *finding = &scan->findings[at - 1];
		char *replacement = finding->replacement;

		if (doctor_is_silent(finding->kind) || !replacement)
			continue;
		finding->replacement = NULL;
		r = write_copy(examination, i);
		if (r == 0)
			r = copy_fails(examination);
		finding->replacement = replacement;
		if (r == 0)
			drop_finding(scan, at - 1);
		else if (r > 0)
			r = write_copy(examination, i);
	}
	return r < 0 ? r : 0;
}

static int prove(struct examination *examination)
{
	const struct doctor_tree *tree = &examination->diagnosis->tree;
	int r = mend_copy(examination);

	if (r == 0)
		r = copy_fails(examination);
	if (r > 0)
		r = find_unknown(examination);
	if (r > 0) { /* nothing could be proven: no finding stands */
		for (size_t i = 0; i < tree->count; i++)
			keep_silent(&examination->scans[i]);
		return 0;
	}
	for (size_t i = 0; i < tree->count && r == 0; i++)
		if (!examination->emptied[i])
			r = convict(examination, i);
	return r;
}

/* ---- the verdict ---- */

static char *make_refusal(const struct examination *examination, size_t i)
{
	const struct doctor_text *text = &examination->diagnosis->tree.texts[i];

	if (examination->emptied[i])
		return strdup(text->too_big ?
				      "it is too big for AppArmor policy: restore it from its package or a backup" :
				      "the tree loads without it, and what is wrong in it cannot be guessed: correct it, or "
				      "restore it from its package or a backup");
	if (text->outside)
		return strdup("it is a symlink to a file outside the tree: correct that file by hand");
	return NULL;
}

static bool has_replacement(const struct doctor_scan *scan)
{
	for (size_t i = 0; i < scan->count; i++)
		if (scan->findings[i].replacement)
			return true;
	return false;
}

static int collect(struct examination *examination, bool confirmed)
{
	struct doctor_diagnosis *diagnosis = examination->diagnosis;
	bool refused = false, repairs = false;

	diagnosis->guilty = calloc(diagnosis->tree.count + 1, sizeof(diagnosis->guilty[0]));
	if (!diagnosis->guilty)
		return -ENOMEM;
	for (size_t i = 0; i < diagnosis->tree.count; i++) {
		struct doctor_guilty *guilty = &diagnosis->guilty[diagnosis->guilty_count];

		if (!examination->scans[i].count && !examination->emptied[i])
			continue;
		guilty->text = &diagnosis->tree.texts[i];
		guilty->scan = examination->scans[i];
		examination->scans[i].count = 0;
		guilty->refusal = make_refusal(examination, i);
		refused |= guilty->refusal != NULL;
		if (!guilty->refusal && !has_replacement(&guilty->scan))
			guilty->refusal = strdup("what was meant cannot be guessed");
		repairs |= !guilty->refusal;
		diagnosis->guilty_count++;
	}
	if (!confirmed)
		diagnosis->verdict = DOCTOR_UNCONFIRMED;
	else if (diagnosis->failure_count)
		diagnosis->verdict = refused || !repairs ? DOCTOR_REFUSED : DOCTOR_REPAIRABLE;
	else if (repairs)
		diagnosis->verdict = DOCTOR_REPAIRABLE;
	else
		diagnosis->verdict = diagnosis->guilty_count ? DOCTOR_NOTED : DOCTOR_HEALTHY;
	return 0;
}

static int examine(struct examination *examination)
{
	struct doctor_diagnosis *diagnosis = examination->diagnosis;
	int r;

	scan_all(examination);
	if (!exec_is_installed(PARSER))
		return collect(examination, false);
	r = doctor_copy_make(&diagnosis->tree, &examination->copy, examination->error);
	if (r == 0)
		r = find_failures(examination);
	if (r == 0 && diagnosis->failure_count)
		r = prove(examination);
	else if (r == 0)
		for (size_t i = 0; i < diagnosis->tree.count; i++)
			keep_silent(&examination->scans[i]);
	return r < 0 ? r : collect(examination, true);
}

int doctor_diagnose(const char *directory, struct doctor_diagnosis *ret_diagnosis, struct ph_error *error)
{
	struct doctor_diagnosis diagnosis = DOCTOR_DIAGNOSIS_INIT;
	struct examination examination = { .diagnosis = &diagnosis, .error = error };
	int r = doctor_tree_read(directory, &diagnosis.tree, error);

	if (r < 0)
		return r;
	examination.scans = calloc(diagnosis.tree.count + 1, sizeof(examination.scans[0]));
	examination.emptied = calloc(diagnosis.tree.count + 1, sizeof(examination.emptied[0]));
	r = examination.scans && examination.emptied ? examine(&examination) : -ENOMEM;
	if (examination.copy)
		doctor_copy_remove(examination.copy);
	for (size_t i = 0; examination.scans && i < diagnosis.tree.count; i++)
		doctor_scan_fini(&examination.scans[i]);
	free(examination.scans);
	free(examination.emptied);
	free(examination.copy);
	if (r < 0)
		doctor_diagnosis_fini(&diagnosis);
	*ret_diagnosis = diagnosis;
	return r;
}

void doctor_diagnosis_fini(struct doctor_diagnosis *diagnosis)
{
	for (size_t i = 0; i < diagnosis->guilty_count; i++) {
		doctor_scan_fini(&diagnosis->guilty[i].scan);
		free(diagnosis->guilty[i].refusal);
	}
	for (size_t i = 0; i < diagnosis->failure_count; i++)
		free(diagnosis->failures[i].message);
	free(diagnosis->guilty);
	free(diagnosis->failures);
	doctor_tree_fini(&diagnosis->tree);
	*diagnosis = DOCTOR_DIAGNOSIS_INIT;
}
