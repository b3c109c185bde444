/*
 * Where denials come from: the audit multicast group of the kernel, which also delivers while auditd
 * runs; else the kernel's log. Counts what was lost on the way. Gives bytes; knows nothing of what
 * is in them. Opening needs CAP_AUDIT_READ, or read access to /dev/kmsg; reading needs nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SOURCE_LINE_MAXIMUM (16 * 1024)

enum source_kind {
	SOURCE_NONE,
	SOURCE_AUDIT,
	SOURCE_KMSG,
};

struct source {
	enum source_kind kind;
	int audit; /* owned; -1: none */
	int kmsg;  /* owned; -1: none */
	uint64_t lost;
	uint64_t serial;   /* of the last audit event */
	uint64_t sequence; /* of the last record of the kernel's log */
	uint64_t lost_total; /* what the kernel's log last said */
	bool has_serial, has_sequence, has_lost_total;
	bool is_overrun; /* records were dropped behind those that still wait */
	bool is_drained; /* since then all that waited has been read */
	char reason[160]; /* why it is not a better one */
	char remedy[160];
};

/* Open the best source there is; kind says which. Descriptors do not block. */
void source_open(struct source *ret_source);

/* Close it. */
void source_close(struct source *source);

/*
 * Take the next line, into a buffer of SOURCE_LINE_MAXIMUM. Returns its length, 0 for something read
 * that is no line of the kernel's, -EAGAIN when there is nothing, another negative errno when the
 * source has ended.
 */
int source_next(struct source *source, char *line);

/* "audit", "kmsg", "none". */
const char *source_name(enum source_kind kind);
