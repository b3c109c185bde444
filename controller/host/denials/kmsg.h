/*
 * Records of /dev/kmsg, and what in them says that denials were lost on their way. Pure: bytes in,
 * values out. Only the kernel's own records count: what a program writes into /dev/kmsg can never
 * have the kernel's facility.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kmsg_record {
	uint64_t sequence;
	const char *message; /* borrowed from the record */
	size_t length;
};

/*
 * Take one record, "6,339,5140900,-;message\n KEY=value\n", apart. -ENOMSG: not the kernel's own;
 * -EBADMSG: no record.
 */
int kmsg_parse(const char *text, size_t length, struct kmsg_record *ret_record);

/* What a message of the kernel says was lost. */
struct kmsg_loss {
	uint64_t suppressed; /* audit lines that the log's rate limit kept out, since the last such
				message */
	bool has_total;
	uint64_t total; /* audit lines that the audit queue had no room for, since boot */
};

/* Whether a message speaks of lost audit lines, and of how many. */
bool kmsg_loss_parse(const char *message, size_t length, struct kmsg_loss *ret_loss);
