/*
 * Allocation that aborts when memory is gone: every Phoenix process is crash-only, so there is no
 * path to test after a failed malloc. Sizes that a peer controls are bounded by the caller before
 * they come here.
 */
#pragma once

#include <stddef.h>

/* Say that memory is gone and abort: for libraries that tell it by a result. */
_Noreturn void ph_out_of_memory(void);

/* Allocate size bytes of zeroed memory; never returns NULL. */
void *ph_alloc(size_t size);

/* Allocate an array of count zeroed elements; aborts on multiplication overflow. */
void *ph_alloc_array(size_t count, size_t size);

/* Grow or shrink a block; new bytes are not initialised. */
void *ph_realloc(void *pointer, size_t size);

/* Duplicate a string; NULL gives NULL. */
char *ph_strdup(const char *text);

/* Duplicate at most length bytes of text and terminate the copy. */
char *ph_strndup(const char *text, size_t length);

/* Duplicate size bytes. */
void *ph_memdup(const void *data, size_t size);

/* Format into a new string that the caller frees. */
char *ph_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
