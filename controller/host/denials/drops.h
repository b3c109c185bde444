/*
 * How many audit records the kernel has dropped at its own queue, before it gave them numbers: the
 * only trace that these leave. Asked with CAP_AUDIT_CONTROL, so by phoenix-host itself and not by the
 * reader. Never waits: an answer is taken with the next question.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct drops {
	int fd; /* owned; -1: the kernel does not tell */
	bool has_first;
	uint32_t first; /* the kernel's count when we began */
	uint32_t last;
};

/* Begin to count; a kernel without audit counts nothing. */
void drops_open(struct drops *ret_drops);

/* Stop. */
void drops_close(struct drops *drops);

/* Take the answer to the last question and ask again. Returns the records dropped since the first. */
uint32_t drops_count(struct drops *drops);
