/*
 * Memory for a key: a page of its own that is never swapped out (where the limits allow), is in no core
 * dump, and is zero in every child, so that a job forked off to run programs does not carry it along.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SECRET_MAXIMUM 4096

/* Make one, zeroed. */
uint8_t *secret_new(void);

/* Zero and free it. NULL is allowed. */
void secret_free(uint8_t *secret);

/* Read exactly length bytes and the end from a pipe or file into bytes; -EBADMSG for any other length. */
int secret_read(int fd, uint8_t *bytes, size_t length);
