/*
 * One line of the kernel's audit stream, taken apart: "audit(TIME:SERIAL): apparmor="DENIED" ...".
 * The names in it are chosen by containers, so a line is hostile data: what is not exactly of the
 * kernel's form is refused, values come out escaped for display and cut to their buffers. Pure;
 * knows neither where the line came from nor whose process it speaks of.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LINE_NAME_SIZE 384 /* a longer path is cut, with "…" at its end */
#define LINE_TEXT_SIZE 128
#define LINE_WORD_SIZE 48
#define LINE_DETAILS 8

enum line_kind {
	LINE_DENIED,  /* the kernel refused something */
	LINE_ALLOWED, /* complain mode would have */
	LINE_OTHER,   /* a status or audit line that refuses nothing */
};

/* What only some operations have: "fstype" "tmpfs", "family" "vsock", "peer" "unconfined". */
struct line_detail {
	const char *key; /* a constant */
	char value[LINE_TEXT_SIZE];
};

struct line {
	enum line_kind kind;
	uint64_t time_ms; /* wall clock of the event */
	uint64_t serial;  /* the kernel's number of the event */
	char operation[LINE_WORD_SIZE];
	char profile[LINE_TEXT_SIZE];
	char space[LINE_TEXT_SIZE]; /* policy namespace, "" for the host's */
	char name[LINE_NAME_SIZE];
	char info[LINE_TEXT_SIZE];
	char requested[LINE_WORD_SIZE];
	char denied[LINE_WORD_SIZE];
	char process[LINE_WORD_SIZE]; /* comm, chosen by the process */
	int error;                    /* negative errno, 0 when there is none */
	pid_t pid;                    /* in the host's numbers; 0 when there is none */
	bool has_uid;
	uint32_t uid; /* fsuid, in the host's numbers */
	struct line_detail details[LINE_DETAILS];
	size_t detail_count;
};

/*
 * Take a line apart, with or without "audit: type=1400 " before it. -ENOMSG: a line that is not
 * AppArmor's; -EBADMSG: one that the kernel does not write (no operation, a field twice, a number
 * that is none). A line cut at its end by the kernel's log gives the fields before the cut.
 */
int line_parse(const char *text, size_t length, struct line *ret_line);

/*
 * Copy bytes for display: printable ASCII and well-formed UTF-8 as they are, everything else and the
 * backslash as \xNN. Cut at a character with "…" when it does not fit. Returns whether it fitted.
 */
bool line_escape(const char *bytes, size_t length, char *text, size_t size);
