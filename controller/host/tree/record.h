/*
 * Small JSON records that phoenix-host keeps about what it has made: one object in one file,
 * root only, written durably. They are our own, yet read as data: sizes and types are checked.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

/*
 * Read a record; the caller owns it (json_decref). -ENOENT when there is none, -EBADMSG when it is
 * damaged.
 */
int record_load(int dir, const char *file, json_t **ret_record, struct ph_error *error);

/* Write a record; borrows it. */
int record_save(int dir, const char *file, const json_t *record, struct ph_error *error);

/* Set a text; bytes that are not UTF-8 text, lines and tabs become '?'. */
void record_set_text(json_t *record, const char *key, const char *text);

/* Set a number. */
void record_set_number(json_t *record, const char *key, uint64_t number);

/* Copy a text into a buffer; false when it is missing, no text or too long. */
bool record_text(const json_t *record, const char *key, char *buffer, size_t size);

/* Read a number; false when it is missing, none or above maximum. */
bool record_number(const json_t *record, const char *key, uint64_t maximum, uint64_t *ret_number);

/* Read a truth value; false when it is missing or none. */
bool record_flag(const json_t *record, const char *key, bool *ret_flag);

static inline void record_cleanup(json_t **record)
{
	json_decref(*record);
}

#define RECORD_AUTO __attribute__((cleanup(record_cleanup)))
