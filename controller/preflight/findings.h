/*
 * A list of preflight findings that grows while facts are judged. Texts are bounded: what an agent or
 * dockerd said may be part of them.
 */
#pragma once

#include <stddef.h>

#include "proto/control.pb-c.h"

#define FINDINGS_MAXIMUM 64

struct findings {
	Phoenix__PreflightFinding **items; /* owned */
	size_t count;
	const char *container; /* borrowed; that those added from now on are about; NULL: the host */
};

#define FINDINGS_INFO PHOENIX__PREFLIGHT_FINDING__SEVERITY__INFO
#define FINDINGS_WARN PHOENIX__PREFLIGHT_FINDING__SEVERITY__WARN
#define FINDINGS_FAIL PHOENIX__PREFLIGHT_FINDING__SEVERITY__FAIL

/* Add one: what was seen is a format, the remedy a text. One too many is left out. */
void findings_add(struct findings *findings, const char *id,
		  Phoenix__PreflightFinding__Severity severity, const char *remedy,
		  const char *evidence, ...) __attribute__((format(printf, 5, 6)));

/* Put the worst first; equal ones stay in their order. */
void findings_sort(struct findings *findings);

/* Find one by its id; NULL when there is none. */
const Phoenix__PreflightFinding *findings_find(const struct findings *findings, const char *id);

/* Free them all. */
void findings_fini(struct findings *findings);

#define FINDINGS_AUTO __attribute__((cleanup(findings_fini)))
