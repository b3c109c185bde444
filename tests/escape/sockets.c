/*
 * Socket families beyond what Docker needs, the host's sockets, and what a leaked descriptor of the
 * host's root directory would be good for.
 */
#include "tests/escape/escape.h"
#include "tests/escape/host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* The protocol without which a family gives no socket. */
static int protocol_of(long family)
{
	switch (family) {
	case AF_KEY: return 2; /* PF_KEY_V2 */
	case AF_CAN: return 1; /* CAN_RAW */
	case AF_RXRPC: return AF_INET;
	default: return 0;
	}
}

/* Whether the family can be had in any type; the refusal that isn't about the type otherwise. */
static void open_family(const struct attempt *attempt, struct verdict *verdict)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET };
	int refusal = EAFNOSUPPORT;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		int protocol = protocol_of(attempt->number);

		if (socket((int)attempt->number, types[i] | SOCK_CLOEXEC, protocol) >= 0) {
			verdict_done(verdict, NULL);
			return;
		}
		if (errno != ESOCKTNOSUPPORT && errno != EPROTONOSUPPORT && errno != EINVAL)
			refusal = errno;
	}
	verdict_refused(verdict, "socket", refusal);
}

/* The same family by the 32-bit gate, by socket(2) and by socketcall(2). */
static void open_family_32(const struct attempt *attempt, struct verdict *verdict)
{
#ifdef __x86_64__
	uint32_t *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	long first = attempt->flags ? 1 : attempt->number;
	long second = attempt->flags ? (long)(uintptr_t)low : SOCK_SEQPACKET, result;
	int family = 0;
	socklen_t size = sizeof(family);

	if (low == MAP_FAILED) {
		verdict_broken(verdict, "mmap", errno);
		return;
	}
	low[0] = (uint32_t)attempt->number;
	low[1] = SOCK_SEQPACKET;
	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(attempt->flags ? 102L : 359L), "b"(first), "c"(second), "d"(0L)
			 : "memory", "r8", "r9", "r10", "r11");
	result = (int)result;
	if (result < 0)
		verdict_refused(verdict, "int 0x80", (int)-result);
	else if (getsockopt((int)result, SOL_SOCKET, SO_DOMAIN, &family, &size) ||
		 family != attempt->number)
		verdict_refused(verdict, "not the call", ENOSYS);
	else
		verdict_done(verdict, NULL);
#else
	verdict_refused(verdict, "int 0x80", ENOSYS);
#endif
}

static void connect_unix(const struct attempt *attempt, struct verdict *verdict)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t abstract = attempt->number ? 1 : 0;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path + abstract, sizeof(address.sun_path) - 1, "%s", attempt->path);
	verdict_of(verdict, "connect",
		   connect(fd, (struct sockaddr *)&address,
			   (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
				       strlen(attempt->path) + 1)));
	/* Nobody listens on that name here: the host's name is out of reach. */
	if (verdict->error == ECONNREFUSED && abstract)
		verdict->outcome = OUTCOME_REFUSED;
}

static void connect_loopback(const struct attempt *attempt, struct verdict *verdict)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(HOST_PORT),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	verdict_of(verdict, "connect", connect(fd, (struct sockaddr *)&address, sizeof(address)));
}

/* Switch the host's auditing off and on again, as it was. */
static void control_audit(const struct attempt *attempt, struct verdict *verdict)
{
	struct {
		struct nlmsghdr header;
		struct audit_status status;
	} request = { .header = { .nlmsg_len = sizeof(request), .nlmsg_type = AUDIT_SET,
				  .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK, .nlmsg_seq = 1 },
		      .status = { .mask = AUDIT_STATUS_RATE_LIMIT } };
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		char rest[256];
	} answer = { 0 };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_AUDIT);

	if (fd < 0 || send(fd, &request, sizeof(request), 0) < 0)
		verdict_refused(verdict, fd < 0 ? "socket" : "send", errno);
	else if (recv(fd, &answer, sizeof(answer), 0) < 0)
		verdict_refused(verdict, "recv", errno);
	else if (answer.error.error)
		verdict_refused(verdict, "answer", -answer.error.error);
	else
		verdict_done(verdict, NULL);
}

/* A descriptor of the host's root, as a careless helper might hand out. Returns it, or -1. */
static int receive_root(struct verdict *verdict)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = EXHIBITS "/" HOST_LEAK };
	char byte, space[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec data = { &byte, 1 };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = space,
				  .msg_controllen = sizeof(space) };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), root = -1;
	struct cmsghdr *header;

	if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		verdict_broken(verdict, "connect", errno);
		return -1;
	}
	if (recvmsg(fd, &message, MSG_CMSG_CLOEXEC) < 0) {
		verdict_refused(verdict, "recvmsg", errno);
		return -1;
	}
	header = CMSG_FIRSTHDR(&message);
	if (!header) {
		verdict_refused(verdict, "no descriptor", EACCES);
		return -1;
	}
	memcpy(&root, CMSG_DATA(header), sizeof(root));
	return root;
}

static void use_leaked_root(const struct attempt *attempt, struct verdict *verdict)
{
	int root = receive_root(verdict);

	if (root < 0)
		return;
	if (!attempt->number) {
		verdict_of(verdict, "openat",
			   openat(root, attempt->path, (int)attempt->flags | O_CLOEXEC));
		return;
	}
	verdict_of(verdict, "mkdirat", mkdirat(root, attempt->path, 0700));
	if (verdict->outcome == OUTCOME_DONE)
		unlinkat(root, attempt->path, AT_REMOVEDIR);
}

#define DENIED .group = GROUP_DENIED
#define FAMILY(family_number) open_family, DENIED, .number = (family_number)
#define A .walls = WALL_APPARMOR, .traits = TRAIT_OPTIONAL
#define AS .walls = WALL_APPARMOR | WALL_SECCOMP, .traits = TRAIT_OPTIONAL
#define U .walls = WALL_USERNS

static const struct attempt ROWS[] = {
	{ "alg", FAMILY(AF_ALG), AS, .why = "CVE-2026-31431" },
	{ "vsock", FAMILY(AF_VSOCK), AS, .why = "not namespaced before Linux 7.0" },
	{ "alg by the 32-bit gate", open_family_32, DENIED, AS, .number = AF_ALG },
	{ "alg by 32-bit socketcall", open_family_32, DENIED, A, .number = AF_ALG, .flags = 1 },
	{ "vsock by 32-bit socketcall", open_family_32, DENIED, A, .number = AF_VSOCK,
	  .flags = 1 },
	{ "rxrpc", FAMILY(AF_RXRPC), A },
	{ "key", FAMILY(AF_KEY), A },
	{ "tipc", FAMILY(AF_TIPC), A },
	{ "can", FAMILY(AF_CAN), A },
	{ "rds", FAMILY(AF_RDS), A },
	{ "ax25", FAMILY(AF_AX25), A },
	{ "x25", FAMILY(AF_X25), A },
	{ "llc", FAMILY(AF_LLC), A },
	{ "appletalk", FAMILY(AF_APPLETALK), A },
	{ "bluetooth", FAMILY(AF_BLUETOOTH), A },
	{ "nfc", FAMILY(AF_NFC), A },
	{ "kcm", FAMILY(AF_KCM), A },
	{ "smc", FAMILY(AF_SMC), A },
	{ "xdp", FAMILY(AF_XDP), A },
	{ "qipcrtr", FAMILY(AF_QIPCRTR), A },
	{ "phonet", FAMILY(AF_PHONET), A },
	{ "pppox", FAMILY(AF_PPPOX), A },
	{ "mctp", FAMILY(45), A },
	{ "audit control", control_audit, DENIED, .walls = WALL_USERNS | WALL_APPARMOR,
	  .traits = TRAIT_OPTIONAL },
	{ "abstract socket of the host", connect_unix, DENIED, .walls = WALL_NAMESPACE,
	  .path = HOST_ABSTRACT, .number = 1 },
	{ "service on the host's loopback", connect_loopback, DENIED, .walls = WALL_NAMESPACE },
	{ "another container's agent socket by name", connect_unix, DENIED,
	  .walls = WALL_NAMESPACE, .path = HOST_SOCKET, .traits = TRAIT_HIDDEN },
	{ "another container's agent socket, directory shown", connect_unix, DENIED, U,
	  .path = EXHIBITS "/other/agent.sock" },
	{ "leaked root: read /etc/shadow", use_leaked_root, DENIED, U, .path = "etc/shadow",
	  .flags = O_RDONLY },
	{ "leaked root: write /etc/hostname", use_leaked_root, DENIED, U, .path = "etc/hostname",
	  .flags = O_WRONLY },
	{ "leaked root: make a directory", use_leaked_root, DENIED, U, .path = "etc/escape",
	  .number = 1 },
	{ "leaked root: the profiles", use_leaked_root, DENIED, .walls = WALL_APPARMOR,
	  .path = "sys/kernel/security/apparmor/.load", .flags = O_WRONLY },
};

const struct theme SOCKETS = THEME("sockets", ROWS);
