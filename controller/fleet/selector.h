/*
 * Which containers an order is for, in one word of the command line: names, globs and what labels
 * must or must not be.
 *
 *     web1,web2              either of them
 *     web*                   names by a glob of '*' and '?'
 *     role=web,zone!=b       every requirement holds
 *     web*,!web9,role=front  one of the names, none of those with '!', every requirement
 *     *                      all
 *
 * '=' and '!=' take globs for values; a label that is not there equals nothing, so '!=' holds. Pure.
 * Knows no containers: what it selects from is the caller's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "proto/model.pb-c.h"

#define SELECTOR_TEXT_MAXIMUM 1024
#define SELECTOR_TERMS_MAXIMUM 32

enum selector_kind {
	SELECTOR_NAME,     /* value is a glob for the name */
	SELECTOR_NOT_NAME,
	SELECTOR_LABEL,    /* label key has a value that value matches */
	SELECTOR_NOT_LABEL,
};

struct selector_term {
	enum selector_kind kind;
	char key[64];   /* of a label; "" for names */
	char value[64]; /* a glob */
};

struct selector {
	struct selector_term terms[SELECTOR_TERMS_MAXIMUM];
	size_t count; /* 0: everything */
};

/* Parse a selector; "" selects everything. -EINVAL with the term and what to write instead. */
int selector_parse(const char *text, struct selector *ret_selector, struct ph_error *error);

/* Whether a container of this name and these labels is selected. */
bool selector_matches(const struct selector *selector, const char *name,
		      Phoenix__Pair *const *labels, size_t label_count);

/* Whether it is one plain name: then nothing selected means that there is no such container. */
bool selector_is_name(const struct selector *selector);

/* Whether a text matches a glob of '*' and '?'; takes time in proportion to both lengths. */
bool selector_glob(const char *glob, const char *text);
