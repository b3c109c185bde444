/*
 * Files, system calls, sockets and namespaces that Docker, runc, apt and systemd use beside mounts.
 */
#include "tests/escape/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <linux/netlink.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static void write_file(const struct attempt *attempt, struct verdict *verdict)
{
	int fd = open(attempt->path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		verdict_refused(verdict, "open", errno);
	else
		verdict_of(verdict, "write", write(fd, attempt->value, strlen(attempt->value)));
}

/* A sysctl of a namespace of one's own, in the procfs of the new root: docker run --sysctl. */
static void write_own_sysctl(const struct attempt *attempt, struct verdict *verdict)
{
	place_make(SCRATCH "/proc");
	if (unshare((int)attempt->flags))
		verdict_refused(verdict, "unshare", errno);
	else if (mount("proc", SCRATCH "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
		verdict_refused(verdict, "mount", errno);
	else
		write_file(attempt, verdict);
}

static void open_file(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "open", open(attempt->path, (int)attempt->flags | O_CLOEXEC));
}

static void in_cgroup(const struct attempt *attempt, struct verdict *verdict)
{
	char path[160], text[16];
	int fd;

	place_make(SCRATCH "/sys/fs/cgroup");
	if (mount("cgroup2", SCRATCH "/sys/fs/cgroup", "cgroup2", 0, NULL)) {
		verdict_refused(verdict, "mount", errno);
		return;
	}
	snprintf(path, sizeof(path), SCRATCH "/sys/fs/cgroup/escape-%d", getpid());
	if (mkdir(path, 0755)) {
		verdict_refused(verdict, "mkdir", errno);
		return;
	}
	snprintf(path + strlen(path), 32, "/cgroup.procs");
	fd = open(path, O_WRONLY | O_CLOEXEC);
	snprintf(text, sizeof(text), "%d", getpid());
	if (fd < 0)
		verdict_refused(verdict, "open", errno);
	else if (write(fd, text, strlen(text)) < 0)
		verdict_refused(verdict, "write", errno);
	else
		verdict_done(verdict, NULL);
	/* Leave it again, so that the group can be removed. */
	fd = open(SCRATCH "/sys/fs/cgroup/cgroup.procs", O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, text, strlen(text)) < 0)
		errno = 0;
	*strrchr(path, '/') = 0;
	rmdir(path);
}

static void make_whiteout(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "mknod", mknod(attempt->path, S_IFCHR | 0600, makedev(0, 0)));
}

static void add_key(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "add_key", syscall(SYS_add_key, "user", "escape", "x", 1, -3));
}

static void join_session(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "keyctl", syscall(SYS_keyctl, 1, "_ses.escape"));
}

static void trace_child(const struct attempt *attempt, struct verdict *verdict)
{
	pid_t child = fork();
	int status;

	if (!child) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(0);
	}
	waitpid(child, &status, 0);
	verdict_of(verdict, "ptrace", ptrace(PTRACE_PEEKUSER, child, NULL, NULL) == -1 ? -1 : 0);
	kill(child, SIGKILL);
}

static void attach_child(const struct attempt *attempt, struct verdict *verdict)
{
	pid_t child = fork();
	int status;

	if (!child)
		for (;;)
			pause();
	if (ptrace(PTRACE_ATTACH, child, NULL, NULL)) {
		verdict_refused(verdict, "attach", errno);
	} else {
		waitpid(child, &status, 0);
		verdict_done(verdict, NULL);
	}
	kill(child, SIGKILL);
}

static void signal_child(const struct attempt *attempt, struct verdict *verdict)
{
	pid_t child = fork();
	int status;

	if (!child)
		for (;;)
			pause();
	if (kill(child, SIGTERM))
		verdict_refused(verdict, "kill", errno);
	else if (waitpid(child, &status, 0) == child && WTERMSIG(status) == SIGTERM)
		verdict_done(verdict, NULL);
	kill(child, SIGKILL);
}

static void open_socket(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "socket",
		   socket((int)attempt->number, (int)attempt->flags | SOCK_CLOEXEC,
			  attempt->value ? NETLINK_NETFILTER : attempt->walls ? 1 : 0));
}

/* Names in the file system and in the abstract space, and a message across. */
static void talk_unix(const struct attempt *attempt, struct verdict *verdict)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
	char byte = 'x';

	snprintf(address.sun_path + (attempt->path[0] == '@'), sizeof(address.sun_path) - 1, "%s",
		 attempt->path + (attempt->path[0] == '@'));
	if (bind(server, (struct sockaddr *)&address, sizeof(address)) || listen(server, 1))
		verdict_refused(verdict, "bind", errno);
	else if (connect(client, (struct sockaddr *)&address, sizeof(address)))
		verdict_refused(verdict, "connect", errno);
	else
		verdict_of(verdict, "send", send(client, &byte, 1, 0));
}

static void set_xattr(const struct attempt *attempt, struct verdict *verdict)
{
	/* VFS_CAP_REVISION_2 with cap_net_raw permitted: the kernel stores revision 3 for us. */
	static const unsigned char capability[20] = { 0, 0, 0, 2, 0, 0x20 };
	const void *value = attempt->value ? (const void *)attempt->value : capability;
	size_t size = attempt->value ? strlen(attempt->value) : sizeof(capability);
	/* tmpfs has no user attributes before 6.6: the data-root itself has them. */
	int fd = open(attempt->path, O_CREAT | O_RDWR | O_CLOEXEC, 0755);

	verdict_of(verdict, "fsetxattr", fsetxattr(fd, attempt->type, value, size, 0));
	unlink(attempt->path);
}

/* A file that has lost its name is still there by its descriptor. */
static void reopen_deleted(const struct attempt *attempt, struct verdict *verdict)
{
	char path[64];
	int fd = open(SCRATCH "/gone", O_CREAT | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0 || unlink(SCRATCH "/gone")) {
		verdict_refused(verdict, "prepare", errno);
		return;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	verdict_of(verdict, "open", open(path, O_RDWR | O_CLOEXEC));
}

/* runc executes a sealed copy of itself. */
static void execute_memory_file(const struct attempt *attempt, struct verdict *verdict)
{
	char buffer[65536], *const arguments[] = { strdup("escape"), strdup("--list"), NULL },
		   *const environment[] = { NULL };
	int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int copy = memfd_create("escape", MFD_CLOEXEC | MFD_ALLOW_SEALING), status = -1, sink;
	ssize_t size;
	pid_t child;

	while ((size = read(self, buffer, sizeof(buffer))) > 0)
		if (write(copy, buffer, (size_t)size) != size)
			break;
	fcntl(copy, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	child = fork();
	if (!child) {
		sink = open("/dev/null", O_WRONLY | O_CLOEXEC);
		dup2(sink, 1);
		fexecve(copy, arguments, environment);
		_exit(errno ? errno : 127);
	}
	waitpid(child, &status, 0);
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		verdict_done(verdict, NULL);
	else
		verdict_refused(verdict, "fexecve", WIFEXITED(status) ? WEXITSTATUS(status) : EIO);
}

static void unshare_namespace(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "unshare", unshare((int)attempt->flags));
}

static void nested_root(const struct attempt *attempt, struct verdict *verdict)
{
	int result = nested_enter();

	if (result)
		verdict_refused(verdict, "nested", -result);
	else
		verdict_of(verdict, "mount", mount("escape", SCRATCH, "tmpfs", 0, NULL));
}

static void set_host_name(const struct attempt *attempt, struct verdict *verdict)
{
	if (unshare(CLONE_NEWUTS))
		verdict_refused(verdict, "unshare", errno);
	else
		verdict_of(verdict, "sethostname", sethostname("escape", 6));
}

/* A bridge, as dockerd makes docker0. */
static void make_bridge(const struct attempt *attempt, struct verdict *verdict)
{
	int fd;

	if (unshare(CLONE_NEWNET)) {
		verdict_refused(verdict, "unshare", errno);
		return;
	}
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	verdict_of(verdict, "bridge", ioctl(fd, 0x89a0, "esc0"));
}

static void enter_namespace(const struct attempt *attempt, struct verdict *verdict)
{
	int fd = open("/proc/1/ns/mnt", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		verdict_refused(verdict, "open", errno);
	else
		verdict_of(verdict, "setns", setns(fd, CLONE_NEWNS));
}

static void hold_mode(const struct attempt *attempt, struct verdict *verdict)
{
	struct stat status;
	int fd = open(SCRATCH "/suid", O_CREAT | O_RDWR | O_CLOEXEC, 0755);

	if (fchmod(fd, 04755) || fstat(fd, &status))
		verdict_refused(verdict, "fchmod", errno);
	else if (!(status.st_mode & S_ISUID))
		verdict_refused(verdict, "mode lost", EIO);
	else
		verdict_done(verdict, NULL);
}

#define NEEDS .group = GROUP_ALLOWED

static const struct attempt ROWS[] = {
	{ "open /dev/fuse read-write", open_file, NEEDS, .path = "/dev/fuse", .flags = O_RDWR },
	{ "open a new terminal", open_file, NEEDS, .path = "/dev/ptmx",
	  .flags = O_RDWR | O_NOCTTY },
	{ "read /dev/urandom", open_file, NEEDS, .path = "/dev/urandom", .flags = O_RDONLY },
	{ "kernel.shmmax", write_own_sysctl, NEEDS, .path = SCRATCH "/proc/sys/kernel/shmmax",
	  .value = "18446744073692774399", .flags = CLONE_NEWIPC,
	  .why = "docker run --sysctl, --ipc" },
	{ "kernel.msgmax", write_own_sysctl, NEEDS, .path = SCRATCH "/proc/sys/kernel/msgmax",
	  .value = "8192", .flags = CLONE_NEWIPC },
	{ "net.ipv4.ip_forward", write_file, NEEDS, .path = "/proc/sys/net/ipv4/ip_forward",
	  .value = "1", .why = "dockerd" },
	{ "net.ipv4.ip_unprivileged_port_start", write_file, NEEDS,
	  .path = "/proc/sys/net/ipv4/ip_unprivileged_port_start", .value = "0" },
	{ "net.ipv4.ping_group_range", write_file, NEEDS,
	  .path = "/proc/sys/net/ipv4/ping_group_range", .value = "0 0",
	  .why = "dockerd >= 20.10 in every container" },
	{ "own oom_score_adj", write_file, NEEDS, .path = "/proc/self/oom_score_adj",
	  .value = "500" },
	{ "cgroup of one's own", in_cgroup, NEEDS },
	{ "whiteout", make_whiteout, NEEDS, .path = SCRATCH "/whiteout" },
	{ "add_key", add_key, NEEDS },
	{ "join a session keyring", join_session, NEEDS, .why = "runc" },
	{ "be traced by the parent", trace_child, NEEDS },
	{ "trace a child", attach_child, NEEDS },
	{ "signal a child", signal_child, NEEDS },
	{ "socket inet", open_socket, NEEDS, .number = AF_INET, .flags = SOCK_STREAM },
	{ "socket inet6", open_socket, NEEDS, .number = AF_INET6, .flags = SOCK_DGRAM },
	{ "socket packet", open_socket, NEEDS, .number = AF_PACKET, .flags = SOCK_RAW,
	  .why = "dhcp clients, CNI" },
	{ "socket icmp", open_socket, NEEDS, .number = AF_INET, .flags = SOCK_RAW, .walls = 1 },
	{ "socket netlink route", open_socket, NEEDS, .number = AF_NETLINK, .flags = SOCK_RAW },
	{ "socket netlink netfilter", open_socket, NEEDS, .number = AF_NETLINK,
	  .flags = SOCK_RAW, .value = "netfilter", .why = "dockerd's nftables and iptables" },
	{ "socket unix by name", talk_unix, NEEDS, .path = SCRATCH "/s.sock" },
	{ "socket unix abstract", talk_unix, NEEDS, .path = "@escape-own",
	  .why = "containerd-shim of Docker 20.10" },
	{ "security.capability", set_xattr, NEEDS, .type = "security.capability",
	  .path = SCRATCH "/capability" },
	{ "user.fuseoverlayfs.opaque", set_xattr, NEEDS, .type = "user.fuseoverlayfs.opaque",
	  .path = "/var/lib/docker/escape-attribute", .value = "y" },
	{ "exec from a sealed memory file", execute_memory_file, NEEDS,
	  .why = "runc, the pushed agent" },
	{ "open a deleted file again", reopen_deleted, NEEDS, .why = "by /proc/self/fd, as runc does" },
	{ "setuid file in an image layer", hold_mode, NEEDS },
	{ "sethostname", set_host_name, NEEDS },
	{ "unshare net", unshare_namespace, NEEDS, .flags = CLONE_NEWNET },
	{ "unshare cgroup", unshare_namespace, NEEDS, .flags = CLONE_NEWCGROUP },
	{ "unshare ipc, uts, pid, mount", unshare_namespace, NEEDS,
	  .flags = CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID | CLONE_NEWNS },
	{ "nested user namespace", nested_root, NEEDS, .why = "userns-remap, rootless" },
	{ "enter own init's mount namespace", enter_namespace, NEEDS,
	  .why = "docker exec, nsenter" },
	{ "make a bridge", make_bridge, NEEDS, .why = "docker0" },
};

const struct theme NEEDED_SYSTEM = THEME("needed-system", ROWS);
