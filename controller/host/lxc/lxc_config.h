/*
 * The text of an LXC configuration that somebody else wrote, also with Proxmox's "lxc.key: value": read
 * as data, changed line by line.
 * Comments, order, blanks and keys that we do not know stay as they are, byte for byte. Pure. Knows
 * no key's meaning; what liblxc makes of the whole is asked of liblxc.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/str.h"

#define LXC_CONFIG_TEXT_MAXIMUM (256 * 1024)
#define LXC_CONFIG_LINES_MAXIMUM 4096

struct lxc_config_line {
	char *text;  /* owned; without the newline */
	char *key;   /* owned; NULL: a comment, a blank, or nothing that liblxc would take */
	char *value; /* owned; "" clears; with key only */
	size_t head; /* bytes of text up to the value */
};

struct lxc_config {
	struct lxc_config_line *lines; /* owned */
	size_t count;
};

/*
 * Take a text apart. -EFBIG beyond the maxima, -EINVAL for NUL and other control bytes (a tab is none).
 * End with lxc_config_fini().
 */
int lxc_config_parse(const char *text, size_t length, struct lxc_config *ret_config,
		     struct ph_error *error);

/* Free the lines. */
void lxc_config_fini(struct lxc_config *config);

/* The value of a key's last line, which is the one that counts; NULL: there is none. Borrowed. */
const char *lxc_config_get(const struct lxc_config *config, const char *key);

/*
 * Walk over the values of a key that may stand several times: *index is 0 at first. An empty value
 * takes back those before it, as in liblxc. NULL after the last one. Borrowed.
 */
const char *lxc_config_next(const struct lxc_config *config, const char *key, size_t *index);

/*
 * Set a key that has one value: in its last line, where that says something else, and behind all
 * others where there is none. key and value are ours: they have no newline.
 */
void lxc_config_set(struct lxc_config *config, const char *key, const char *value);

/* Add a line at the end, also where the key stands already. */
void lxc_config_append(struct lxc_config *config, const char *key, const char *value);

/* Add a comment at the end. */
void lxc_config_comment(struct lxc_config *config, const char *text);

/* Put it together again; the caller ends the string. */
void lxc_config_format(const struct lxc_config *config, struct str *ret_text);

/*
 * Read the id map: one range of ids from 0 on, the same for users and groups. 0; -ENOENT when there is
 * none: the container is privileged; -ENOTSUP with the reason when there is another one.
 */
int lxc_config_id_map(const struct lxc_config *config, uint32_t *ret_base, uint32_t *ret_count,
		      struct ph_error *error);

/*
 * What is mounted at a place of the container ("var/lib/docker"), by the configuration's own lines;
 * the source is borrowed up to *ret_length. NULL: nothing.
 */
const char *lxc_config_mounted_at(const struct lxc_config *config, const char *target,
				  size_t *ret_length);
