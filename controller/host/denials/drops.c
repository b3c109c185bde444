/* The question is AUDIT_GET; it changes nothing and makes nobody the audit daemon. */
#include "controller/host/denials/drops.h"

#include <linux/audit.h>
#include <linux/netlink.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"

static void ask(const struct drops *drops)
{
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	const struct nlmsghdr question = { .nlmsg_len = NLMSG_HDRLEN,
					   .nlmsg_type = AUDIT_GET,
					   .nlmsg_flags = NLM_F_REQUEST };

	/* Unanswered, the count stays as it is. */
	(void)!sendto(drops->fd, &question, sizeof(question), MSG_DONTWAIT,
		      (const struct sockaddr *)&kernel, sizeof(kernel));
}

/* One answer; false when there is none. */
static bool take_answer(struct drops *drops)
{
	struct {
		struct nlmsghdr header;
		struct audit_status status;
		char further[256]; /* of newer kernels */
	} answer = { 0 };
	struct sockaddr_nl from = { 0 };
	socklen_t from_length = sizeof(from);
	ssize_t length = recvfrom(drops->fd, &answer, sizeof(answer), MSG_DONTWAIT,
				  (struct sockaddr *)&from, &from_length);

	if (length < 0)
		return false;
	if (from.nl_pid != 0 || answer.header.nlmsg_type != AUDIT_GET ||
	    (size_t)length < NLMSG_HDRLEN + offsetof(struct audit_status, backlog))
		return true;
	drops->last = answer.status.lost;
	if (!drops->has_first)
		drops->first = drops->last;
	drops->has_first = true;
	return true;
}

void drops_open(struct drops *ret_drops)
{
	struct drops drops = {
		.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_AUDIT),
	};

	if (drops.fd >= 0)
		ask(&drops);
	*ret_drops = drops;
}

void drops_close(struct drops *drops)
{
	cleanup_close(&drops->fd);
	drops->fd = -1;
}

uint32_t drops_count(struct drops *drops)
{
	if (drops->fd < 0)
		return 0;
	while (take_answer(drops))
		;
	ask(drops);
	return drops->last - drops->first;
}
