/*
 * Growing strings, and the few checks on names that every room shares. Nothing here knows what the
 * text means.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
	char *data; /* owned; terminated; NULL while empty */
	size_t length;
	size_t capacity;
};

#define STR_INIT ((struct str){ 0 })

/* Free the text and leave an empty string. */
void str_fini(struct str *str);

/* Append length bytes. */
void str_append_bytes(struct str *str, const void *bytes, size_t length);

/* Append a terminated text. */
void str_append(struct str *str, const char *text);

/* Append formatted text. */
void str_appendf(struct str *str, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Append formatted text. */
void str_vappendf(struct str *str, const char *format, va_list arguments)
	__attribute__((format(printf, 2, 0)));

/* The text, "" while empty; borrowed until the next change. */
const char *str_text(const struct str *str);

/* Hand the text over to the caller, who frees it; "" while empty; the string is empty then. */
char *str_take(struct str *str);

#define PH_AUTO_STR __attribute__((cleanup(str_fini)))

/* Copy text into a fixed buffer, cut at size; returns false when it was cut. */
bool text_copy(char *buffer, size_t size, const char *text);

/* Whether two texts are equal; NULL equals "". protobuf-c gives "" for absent strings. */
bool text_equal(const char *left, const char *right);

/* Whether text is NULL or "". */
bool text_empty(const char *text);

/*
 * Measure the UTF-8 character that text begins with: 1..4 bytes; 0 when the bytes are none (also cut,
 * overlong, surrogates, beyond U+10FFFF) and at the end of text.
 */
size_t text_character(const char *text);

/* Whether text begins with prefix. */
bool text_has_prefix(const char *text, const char *prefix);

/* Whether text ends with suffix. */
bool text_has_suffix(const char *text, const char *suffix);

/* Whether a name is [a-z0-9][a-z0-9-]{0,62}: containers, images. */
bool name_is_valid(const char *name);

/* Whether text is a plain file name: not empty, no '/', not "." or "..", at most 255 bytes. */
bool file_name_is_valid(const char *name);

/* Read a whole decimal number; returns -EINVAL unless the text is exactly one within [0, maximum]. */
int text_to_u64(const char *text, uint64_t maximum, uint64_t *ret_value);

/* Read an IPv4 address in dotted form into host byte order; -EINVAL for anything else. */
int text_to_ipv4(const char *text, uint32_t *ret_address);

/* Write an IPv4 address in dotted form; text needs 16 bytes. Returns text. */
char *ipv4_to_text(uint32_t address, char text[16]);

/* Write bytes as lower-case hex; text needs 2 * length + 1 bytes. Returns text. */
char *bytes_to_hex(const void *bytes, size_t length, char *text);
