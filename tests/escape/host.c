/* The host's side: none of this runs inside a container but host_init and host_listen. */
#include "tests/escape/host.h"
#include "tests/escape/escape.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

int host_init(void)
{
	sigset_t ends;
	int signal_number;

	sigemptyset(&ends);
	sigaddset(&ends, SIGCHLD);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGPWR);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	while (!sigwait(&ends, &signal_number) && signal_number == SIGCHLD)
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	return 0;
}

static int listen_on(const char *path, bool abstract)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t length;

	snprintf(address.sun_path + abstract, sizeof(address.sun_path) - 1, "%s", path);
	length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
	if (!abstract)
		unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) || listen(fd, 64))
		return -1;
	return fd;
}

static int listen_loopback(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(HOST_PORT),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 64))
		return -1;
	return fd;
}

/* What a careless helper might do: hand out a descriptor of the host's root directory. */
static void leak_root(int peer)
{
	char byte = 'r', space[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec data = { &byte, 1 };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = space,
				  .msg_controllen = sizeof(space) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &root, sizeof(root));
	sendmsg(peer, &message, MSG_NOSIGNAL);
	close(root);
}

int host_serve(void)
{
	struct pollfd sockets[] = {
		{ listen_on(HOST_ABSTRACT, true), POLLIN, 0 },
		{ listen_on(HOST_SOCKET, false), POLLIN, 0 },
		{ listen_loopback(), POLLIN, 0 },
		{ listen_on("/run/escape/exhibits/" HOST_LEAK, false), POLLIN, 0 },
	};

	for (size_t i = 0; i < 4; i++) {
		if (sockets[i].fd < 0) {
			fprintf(stderr, "escape: cannot listen on socket %zu\n", i);
			return 1;
		}
	}
	puts("ready");
	fflush(stdout);
	while (poll(sockets, 4, -1) >= 0 || errno == EINTR) {
		for (size_t i = 0; i < 4; i++) {
			int peer = sockets[i].revents ? accept(sockets[i].fd, NULL, NULL) : -1;

			if (peer < 0)
				continue;
			if (i == 3)
				leak_root(peer);
			close(peer);
		}
	}
	return 1;
}

int host_listen(const char *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons((uint16_t)strtoul(port, NULL, 10)) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), peer;

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 16))
		return 1;
	while ((peer = accept(fd, NULL, NULL)) >= 0) {
		if (send(peer, "hello\n", 6, MSG_NOSIGNAL) < 0)
			errno = 0;
		close(peer);
	}
	return 1;
}

/* Files whose content no attempt may change; absent ones are left out. */
static const char *const STATE[] = {
	"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/sysrq",
	"/proc/sys/kernel/yama/ptrace_scope", "/proc/sys/kernel/kptr_restrict",
	"/proc/sys/kernel/dmesg_restrict", "/proc/sys/kernel/randomize_va_space",
	"/proc/sys/kernel/panic", "/proc/sys/kernel/panic_on_oops", "/proc/sys/kernel/hotplug",
	"/proc/sys/kernel/poweroff_cmd", "/proc/sys/kernel/perf_event_paranoid",
	"/proc/sys/kernel/unprivileged_bpf_disabled", "/proc/sys/kernel/kexec_load_disabled",
	"/proc/sys/kernel/printk", "/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max",
	"/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname",
	"/proc/sys/kernel/ctrl-alt-del", "/proc/sys/kernel/core_pipe_limit",
	"/proc/sys/vm/panic_on_oom", "/proc/sys/vm/max_map_count", "/proc/sys/vm/mmap_min_addr",
	"/proc/sys/vm/overcommit_memory", "/proc/sys/vm/swappiness",
	"/proc/sys/vm/unprivileged_userfaultfd", "/proc/sys/fs/protected_symlinks",
	"/proc/sys/fs/protected_hardlinks", "/proc/sys/fs/suid_dumpable", "/proc/sys/fs/file-max",
	"/proc/sys/fs/nr_open", "/proc/sys/fs/binfmt_misc/status",
	"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/ip_unprivileged_port_start",
	"/proc/sys/user/max_user_namespaces", "/proc/swaps", "/proc/modules",
	"/proc/irq/default_smp_affinity", "/sys/kernel/mm/ksm/run",
	"/sys/module/apparmor/parameters/mode", "/sys/kernel/uevent_helper",
	"/sys/kernel/profiling", "/sys/block/ubda/queue/read_ahead_kb",
	"/sys/block/vda/queue/read_ahead_kb", "/sys/kernel/security/apparmor/profiles",
	"/etc/hostname", "/etc/shadow", "/run/escape/readonly/mine", "/proc/self/mounts",
};

int host_state(void)
{
	struct utsname name;
	char text[8192];

	for (size_t i = 0; i < sizeof(STATE) / sizeof(STATE[0]); i++) {
		int fd = open(STATE[i], O_RDONLY | O_CLOEXEC);
		ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text));

		if (fd >= 0)
			close(fd);
		if (size >= 0)
			printf("%s=%.*s\n", STATE[i], (int)size, text);
	}
	if (!uname(&name))
		printf("uname=%s %s\n", name.nodename, name.domainname);
	return 0;
}
