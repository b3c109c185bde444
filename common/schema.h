/*
 * Typed readers for the maps of a YAML tree: what a key may hold, and errors that say what to write
 * instead. Every getter gives 0, SCHEMA_ABSENT (the output is untouched, so defaults stay), or
 * -EINVAL with FILE:LINE:COLUMN. Texts are borrowed from the tree.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/yaml.h"

/* Named outcome: the map has no such key, or is NULL or no map. */
enum { SCHEMA_ABSENT = 1 };

/* Fill an error at a node; returns -EINVAL. remedy may be NULL. */
int schema_error(const struct yaml_node *node, struct ph_error *error, const char *remedy,
		 const char *why, ...) __attribute__((format(printf, 4, 5)));

/* Find the candidate that a mistyped word most likely means; NULL: none is near. */
const char *schema_suggest(const char *word, const char *const *candidates);

/* Check that a node is a map with keys out of a NULL-terminated list; what names it. */
int schema_check_keys(const struct yaml_node *node, const char *what, const char *const *keys,
		      struct ph_error *error);

/* The value of a key; NULL when there is none, or map is NULL or no map. */
const struct yaml_node *schema_find(const struct yaml_node *map, const char *key);

/* Get a map; one without a value ("labels:") counts as absent. */
int schema_get_map(const struct yaml_node *map, const char *key, const struct yaml_node **ret_map,
		   struct ph_error *error);

/* Get a list; one without a value counts as absent. */
int schema_get_list(const struct yaml_node *map, const char *key, const struct yaml_node **ret_list,
		    struct ph_error *error);

/* Get a text of 1 to maximum bytes. */
int schema_get_text(const struct yaml_node *map, const char *key, size_t maximum,
		    const char **ret_text, struct ph_error *error);

/* Read a node that must be such a text; key names it in errors. */
int schema_read_text(const struct yaml_node *node, const char *key, size_t maximum,
		     const char **ret_text, struct ph_error *error);

/* Get a name as name_is_valid() knows it. */
int schema_get_name(const struct yaml_node *map, const char *key, const char **ret_name,
		    struct ph_error *error);

/* Get one of a NULL-terminated list of words, as its index. */
int schema_get_word(const struct yaml_node *map, const char *key, const char *const *words,
		    size_t *ret_index, struct ph_error *error);

/* Get true or false. */
int schema_get_bool(const struct yaml_node *map, const char *key, bool *ret_value,
		    struct ph_error *error);

/* Get a whole number within minimum..maximum. */
int schema_get_integer(const struct yaml_node *map, const char *key, uint64_t minimum,
		       uint64_t maximum, uint64_t *ret_value, struct ph_error *error);

/* Get a size in bytes: "512MiB", "1GiB", or a plain number; at most 1 EiB. */
int schema_get_size(const struct yaml_node *map, const char *key, uint64_t *ret_bytes,
		    struct ph_error *error);

/* Get processors as percent: "2" is 200, "1.5" is 150; at most 1024 processors. */
int schema_get_cpus(const struct yaml_node *map, const char *key, uint32_t *ret_percent,
		    struct ph_error *error);

/* Get an IPv4 address, in host byte order. */
int schema_get_ipv4(const struct yaml_node *map, const char *key, uint32_t *ret_address,
		    struct ph_error *error);

/* Get "A.B.C.D/N" without host bits, N within minimum..maximum; address in host byte order. */
int schema_get_subnet(const struct yaml_node *map, const char *key, uint32_t minimum,
		      uint32_t maximum, uint32_t *ret_subnet, uint32_t *ret_prefix_length,
		      struct ph_error *error);

/*
 * Get an absolute path of at most maximum bytes. It goes into mount options and generated
 * configuration, so it is made of [A-Za-z0-9/._+@-] without ".." and without a '/' at its end.
 */
int schema_get_path(const struct yaml_node *map, const char *key, size_t maximum,
		    const char **ret_path, struct ph_error *error);

/* Read a node that must be such a path; key names it in errors. */
int schema_read_path(const struct yaml_node *node, const char *key, size_t maximum,
		     const char **ret_path, struct ph_error *error);
