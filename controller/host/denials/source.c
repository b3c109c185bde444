/*
 * The audit group: one datagram per record, header and text. A socket buffer that was full is told
 * once (ENOBUFS), ahead of what still waits in it; how many records that cost is the gap in the
 * kernel's event numbers, which comes behind what waits: at the latest after it has been read. What the
 * kernel dropped before numbering it is in drops.c; for the log, it stands in the log itself.
 */
#include "controller/host/denials/source.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/host/denials/kmsg.h"

#define RECEIVE_BUFFER (4 * 1024 * 1024)
#define KMSG_LINE 8192 /* no record of the kernel's log is longer */

const char *source_name(enum source_kind kind)
{
	static const char *const names[] = { "none", "audit", "kmsg" };

	return names[kind];
}

static int open_audit(void)
{
	const struct sockaddr_nl address = { .nl_family = AF_NETLINK,
					     .nl_groups = 1 << (AUDIT_NLGRP_READLOG - 1) };
	int size = RECEIVE_BUFFER;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_AUDIT);
	int code;

	if (fd < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		code = -errno;
		close(fd);
		return code;
	}
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	return fd;
}

/* From the end: what was before is not ours to tell. */
static int open_kmsg(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (lseek(fd, 0, SEEK_END) < 0) {
		close(fd);
		return -ESPIPE;
	}
	return fd;
}

static void explain_audit(struct source *source, int code)
{
	if (code == -EPROTONOSUPPORT)
		text_copy(source->reason, sizeof(source->reason),
			  "this kernel has no audit subsystem");
	else
		snprintf(source->reason, sizeof(source->reason),
			 "the kernel's audit group cannot be joined: %s", strerror(-code));
	if (code == -EPERM)
		text_copy(source->remedy, sizeof(source->remedy),
			  "give phoenix-host CAP_AUDIT_READ, outside of any container");
}

void source_open(struct source *ret_source)
{
	struct source source = { .kind = SOURCE_AUDIT, .audit = open_audit(), .kmsg = -1 };
	size_t length;

	if (source.audit < 0) {
		explain_audit(&source, source.audit);
		length = strlen(source.reason);
		source.audit = -1;
		source.kmsg = open_kmsg();
		source.kind = source.kmsg >= 0 ? SOURCE_KMSG : SOURCE_NONE;
		if (source.kmsg < 0)
			snprintf(source.reason + length, sizeof(source.reason) - length,
				 "; /dev/kmsg cannot be read: %s", strerror(-source.kmsg));
		if (source.kmsg < 0)
			source.kmsg = -1;
	}
	*ret_source = source;
}

void source_close(struct source *source)
{
	cleanup_close(&source->audit);
	cleanup_close(&source->kmsg);
	source->audit = source->kmsg = -1;
	source->kind = SOURCE_NONE;
}

/* ---- the audit group ---- */

/* The number of an event, from "audit(1795487403.945:12): "; false when there is none. */
static bool read_serial(const char *text, uint64_t *ret_serial)
{
	const char *colon = strchr(text, ':');
	char digits[24];
	size_t length = colon ? strspn(colon + 1, "0123456789") : 0;

	if (!text_has_prefix(text, "audit(") || length == 0 || length >= sizeof(digits))
		return false;
	snprintf(digits, sizeof(digits), "%.*s", (int)length, colon + 1);
	return text_to_u64(digits, UINT64_MAX, ret_serial) == 0;
}

static void note_serial(struct source *source, const char *text)
{
	uint64_t serial;

	if (!read_serial(text, &serial))
		return;
	if (source->is_overrun && source->has_serial && serial > source->serial + 1)
		source->lost += serial - source->serial - 1;
	if (source->is_drained)
		source->is_overrun = source->is_drained = false;
	/* Records of one event share a number, and processors may deliver out of order. */
	if (!source->has_serial || serial > source->serial)
		source->serial = serial;
	source->has_serial = true;
}

static int next_audit(struct source *source, char *line)
{
	char datagram[SOURCE_LINE_MAXIMUM];
	struct sockaddr_nl from = { 0 };
	socklen_t from_length = sizeof(from);
	struct nlmsghdr header;
	ssize_t length = recvfrom(source->audit, datagram, sizeof(datagram) - 1, 0,
				  (struct sockaddr *)&from, &from_length);

	if (length < 0 && errno == ENOBUFS) {
		source->is_overrun = true;
		source->is_drained = false;
		return 0;
	}
	if (length < 0 && errno == EAGAIN)
		source->is_drained = source->is_overrun;
	if (length < 0)
		return errno == EINTR ? 0 : -errno;
	/* Only the kernel counts, and of its records only those of security modules: programs may
	 * write others. The length in the header does not always count the header. */
	if ((size_t)length < NLMSG_HDRLEN || from.nl_pid != 0)
		return 0;
	memcpy(&header, datagram, sizeof(header));
	datagram[length] = '\0';
	note_serial(source, datagram + NLMSG_HDRLEN);
	if (header.nlmsg_type != AUDIT_AVC)
		return 0;
	length -= NLMSG_HDRLEN;
	memcpy(line, datagram + NLMSG_HDRLEN, (size_t)length + 1);
	return (int)length;
}

/* ---- the kernel's log ---- */

static void note_loss(struct source *source, const struct kmsg_record *record)
{
	struct kmsg_loss loss;

	if (!kmsg_loss_parse(record->message, record->length, &loss))
		return;
	source->lost += loss.suppressed;
	if (!loss.has_total)
		return;
	if (!source->has_lost_total)
		source->lost++;
	else if (loss.total > source->lost_total)
		source->lost += loss.total - source->lost_total;
	source->has_lost_total = true;
	source->lost_total = loss.total;
}

static int next_kmsg(struct source *source, char *line)
{
	char text[KMSG_LINE + 1];
	ssize_t length = read(source->kmsg, text, KMSG_LINE);
	struct kmsg_record record;
	bool is_overrun = length < 0 && errno == EPIPE;
	int r;

	if (length < 0)
		return is_overrun || errno == EINTR || errno == EINVAL ? 0 : -errno;
	text[length] = '\0';
	r = kmsg_parse(text, (size_t)length, &record);
	if (r == -EBADMSG)
		return 0;
	if (source->has_sequence && record.sequence <= source->sequence)
		return 0;
	/* What was overwritten before it was read: not all of it were denials, some may have been. */
	if (source->has_sequence && record.sequence > source->sequence + 1)
		source->lost += record.sequence - source->sequence - 1;
	source->has_sequence = true;
	source->sequence = record.sequence;
	if (r < 0)
		return 0;
	note_loss(source, &record);
	memcpy(line, record.message, record.length);
	return (int)record.length;
}

int source_next(struct source *source, char *line)
{
	return source->kind == SOURCE_AUDIT ? next_audit(source, line) : next_kmsg(source, line);
}
