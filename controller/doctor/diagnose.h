/*
 * Finds out why a tree of policy does not load, and which file is guilty: the scanner suspects, a parser run on
 * a private copy of the tree convicts. A finding counts only when the tree does not load with it and loads
 * without it. Nothing is written outside the copy.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "controller/doctor/tree.h"

enum doctor_verdict {
	DOCTOR_HEALTHY,     /* everything loads */
	DOCTOR_NOTED,       /* everything loads, but something in it cannot mean what it says */
	DOCTOR_REPAIRABLE,  /* all of it can be repaired */
	DOCTOR_REFUSED,     /* something cannot be repaired: see the refusals */
	DOCTOR_UNCONFIRMED, /* there is no parser on this host; findings are suspicions */
};

struct doctor_guilty {
	const struct doctor_text *text; /* of the diagnosis' tree */
	struct doctor_scan scan;        /* owned; what was proven */
	char *refusal;                  /* owned; why it is not repaired; NULL: it can be */
};

struct doctor_failure {
	const struct doctor_text *text; /* a policy file that does not load */
	char *message;                  /* owned; the parser's, for what it is worth */
};

struct doctor_diagnosis {
	struct doctor_tree tree;          /* owned */
	enum doctor_verdict verdict;
	struct doctor_failure *failures;  /* owned */
	size_t failure_count;
	struct doctor_guilty *guilty;     /* owned */
	size_t guilty_count;
};

#define DOCTOR_DIAGNOSIS_INIT ((struct doctor_diagnosis){ 0 })

/* Examine the tree below a directory. 0 with the verdict, or a negative errno when it could not be examined. */
int doctor_diagnose(const char *directory, struct doctor_diagnosis *ret_diagnosis, struct ph_error *error);

/* Free what a diagnosis holds. */
void doctor_diagnosis_fini(struct doctor_diagnosis *diagnosis);

#define DOCTOR_AUTO_DIAGNOSIS __attribute__((cleanup(doctor_diagnosis_fini)))

/*
 * Ask the parser whether one policy file of a tree can be read: 0, or 1 with its message, which the caller
 * frees; -ENOENT without a parser. directory is the tree, path is below it.
 */
int doctor_parse(const char *directory, const char *path, char **ret_message, struct ph_error *error);
