/*
 * A YAML text as a small tree in which every node knows its line and column. Less than YAML on
 * purpose: one document, no anchors, aliases or tags, no key twice, every scalar one line of text.
 * All of it is bounded, so a hostile text costs an error. Knows no keys: schema.h does.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

#define YAML_TEXT_MAXIMUM (1024 * 1024)
#define YAML_DEPTH_MAXIMUM 16
#define YAML_NODES_MAXIMUM 200000
#define YAML_KEYS_MAXIMUM 256 /* of one map */

/* Named outcome of yaml_parse(): nothing but blanks and comments. */
enum { YAML_EMPTY = 1 };

enum yaml_kind {
	YAML_SCALAR,
	YAML_LIST,
	YAML_MAP,
};

struct yaml_node {
	enum yaml_kind kind;
	unsigned int line; /* 1-based, as column */
	unsigned int column;
	const char *file;         /* borrowed from the caller of yaml_parse() */
	char *text;               /* owned; scalars */
	bool plain;               /* a scalar that is not quoted */
	struct yaml_node **keys;  /* owned; scalars; maps */
	struct yaml_node **items; /* owned; elements of a list, values of a map */
	size_t count;
};

/*
 * Parse a text. file names it in errors and must outlive the tree. 0 and the root, which the caller
 * ends with yaml_node_free(); YAML_EMPTY; or -EINVAL with FILE:LINE:COLUMN.
 */
int yaml_parse(const char *file, const char *text, size_t length, struct yaml_node **ret_root,
	       struct ph_error *error);

/*
 * Read all of a descriptor, which stays open; the caller frees the text. -EFBIG beyond
 * YAML_TEXT_MAXIMUM.
 */
int yaml_read(int fd, const char *file, char **ret_text, size_t *ret_length,
	      struct ph_error *error);

/* Free a node and all below it. NULL is allowed. (yaml_free is a symbol of libyaml itself.) */
void yaml_node_free(struct yaml_node *node);

/* Fill an error at a place of a file; returns -EINVAL. remedy may be NULL. */
int yaml_error(const char *file, unsigned int line, unsigned int column, struct ph_error *error,
	       const char *remedy, const char *why, ...) __attribute__((format(printf, 6, 7)));
