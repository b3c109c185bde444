/*
 * Reads the text of one AppArmor policy file, line by line, and says which lines a parser would
 * stumble over and what they were meant to be. Knows no files, no parser and no other file's text:
 * what it finds is a suspicion until a parser has confirmed it (diagnose.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/str.h"

#define DOCTOR_TEXT_MAXIMUM ((size_t)1 << 20) /* bytes of one file */
#define DOCTOR_FINDINGS_MAXIMUM 64            /* of one file; more are not told apart */

enum doctor_kind {
	DOCTOR_MISSING_AT,     /* {X}=, X= */
	DOCTOR_BRACES,         /* @X=, @{X=, @X}= */
	DOCTOR_DOUBLE_EQUALS,  /* @{X}==; the parser takes it in silence */
	DOCTOR_MISSING_EQUALS, /* @{X} value */
	DOCTOR_SPACING,        /* @{ X }=, @{X} + = */
	DOCTOR_BOOLEAN,        /* $X=/path */
	DOCTOR_NO_VALUE,       /* @{X}= */
	DOCTOR_STRAY,          /* no statement of a tunables file */
	DOCTOR_UNDECLARED_ADD, /* @{X}+= and no @{X}= anywhere */
	DOCTOR_UNDECLARED_USE, /* @{X} in a value, declared nowhere; the parser is silent */
	DOCTOR_UNCLOSED,       /* a profile without its } */
	DOCTOR_EXTRA_CLOSE,    /* a } without its profile */
	DOCTOR_MISSING_OPEN,   /* a profile line without its { */
	DOCTOR_CRLF,
	DOCTOR_BINARY,
};

enum doctor_file {
	DOCTOR_TUNABLES,
	DOCTOR_PROFILES,
};

struct doctor_finding {
	enum doctor_kind kind;
	size_t line, column; /* from 1; in bytes */
	char *replacement; /* owned; what the line is to be, may hold line breaks; NULL: unknown */
	char variable[64]; /* the variable it is about, or "" */
};

struct doctor_scan {
	struct doctor_finding findings[DOCTOR_FINDINGS_MAXIMUM]; /* by line */
	size_t count;
};

/* Free what a scan holds. */
void doctor_scan_fini(struct doctor_scan *scan);

/*
 * Scan size bytes; declared is a text of " X Y " with every variable that the whole tree declares,
 * or NULL where that is not known. -EFBIG above DOCTOR_TEXT_MAXIMUM. Memory is bounded by a small
 * multiple of size.
 */
int doctor_scan_text(const char *bytes, size_t size, enum doctor_file file, const char *declared,
		     struct doctor_scan *ret_scan);

/* Append " X" for every variable that a text declares, also where the line is damaged. */
void doctor_declared(const char *bytes, size_t size, struct str *names);

/* Append the text with every finding's replacement in its place. */
void doctor_apply(const char *bytes, size_t size, const struct doctor_scan *scan, struct str *text);

/* Append what has changed between two texts as a unified diff; path is named in its head. */
void doctor_diff(const char *path, const char *old, size_t old_size, const struct doctor_scan *scan,
		 struct str *diff);

/* Whether the parser takes this damage without a word, so that it can confirm nothing. */
bool doctor_is_silent(enum doctor_kind kind);

/* What a kind is called, for scripts. */
const char *doctor_kind_name(enum doctor_kind kind);

/* What is wrong, in a sentence. */
const char *doctor_explain(enum doctor_kind kind);

/* What to do about it. */
const char *doctor_remedy(enum doctor_kind kind);
