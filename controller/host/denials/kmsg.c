/* The record's form is in the kernel's Documentation/ABI/testing/dev-kmsg. */
#include "controller/host/denials/kmsg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"

#define FACILITY_SHIFT 3 /* the priority below it, as in syslog */

/* Read a number up to a stop byte; NULL when there is none. */
static const char *read_number(const char *at, const char *end, const char *stops,
			       uint64_t *ret_number)
{
	char digits[24];
	size_t length = 0;

	while (at < end && !strchr(stops, *at) && length < sizeof(digits) - 1)
		digits[length++] = *at++;
	digits[length] = '\0';
	if (at == end || !strchr(stops, *at) ||
	    text_to_u64(digits, UINT64_MAX, ret_number) < 0)
		return NULL;
	return at + 1;
}

int kmsg_parse(const char *text, size_t length, struct kmsg_record *ret_record)
{
	const char *end = text + length, *at, *message, *newline;
	uint64_t priority, sequence;

	at = read_number(text, end, ",", &priority);
	if (at)
		at = read_number(at, end, ",", &sequence);
	message = at ? memchr(at, ';', (size_t)(end - at)) : NULL;
	if (!message)
		return -EBADMSG;
	message++;
	newline = memchr(message, '\n', (size_t)(end - message));
	ret_record->sequence = sequence;
	ret_record->message = message;
	ret_record->length = (size_t)((newline ? newline : end) - message);
	return priority >> FACILITY_SHIFT == 0 ? 0 : -ENOMSG;
}

/* The text behind a prefix of the message; NULL when it begins otherwise. */
static const char *after(const char *message, size_t length, const char *prefix)
{
	size_t prefix_length = strlen(prefix);

	if (length < prefix_length || memcmp(message, prefix, prefix_length) != 0)
		return NULL;
	return message + prefix_length;
}

bool kmsg_loss_parse(const char *message, size_t length, struct kmsg_loss *ret_loss)
{
	const char *end = message + length;
	struct kmsg_loss loss = { 0 };
	const char *at;

	at = after(message, length, "kauditd_printk_skb: ");
	if (at) {
		at = read_number(at, end, " ", &loss.suppressed);
		if (!at || !after(at, (size_t)(end - at), "callbacks suppressed"))
			return false;
		*ret_loss = loss;
		return true;
	}
	at = after(message, length, "audit: audit_lost=");
	if (!at || !read_number(at, end, " ", &loss.total))
		return false;
	loss.has_total = true;
	*ret_loss = loss;
	return true;
}
