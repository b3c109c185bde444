/*
 * What the profile must allow and must refuse, tried from inside a confined container as its root.
 * Static, no libraries: pushed into the container by the scenario. Every attempt runs in a child
 * with a mount namespace of its own; the verdict is the errno class, so that "refused by AppArmor
 * or the user namespace" (EACCES, EPERM) and "answered by seccomp" (its errno) are told apart.
 *
 * Prints one TAP line per attempt. With the argument "control" every attempt is expected to pass
 * that only the profile or seccomp refuses: run so without confinement, the table is known to bite.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SCRATCH "/var/lib/docker/phoenix-probe"
#define ELSEWHERE "/mnt/phoenix-probe"

enum verdict { ALLOWED, REFUSED };

/* Who refuses without a profile: rows that the user namespace refuses anyway prove nothing of the
 * profile, and the control run must not expect them to pass. */
enum wall { PROFILE, NAMESPACE };

struct attempt {
	const char *name;
	int (*run)(const struct attempt *attempt);
	enum verdict expected;
	enum wall wall;
	const char *type;
	const char *target;
	unsigned long flags;
	const char *data;
	long number; /* system call, socket family or the errno that seccomp gives */
};

static int check(long result)
{
	return result < 0 ? errno : 0;
}

static int run_mount(const struct attempt *attempt)
{
	char data[128];
	int fuse;

	mkdir(attempt->target, 0755);
	if (strncmp(attempt->type, "fuse", 4))
		return check(mount("probe", attempt->target, attempt->type, attempt->flags,
				   attempt->data));
	fuse = open("/dev/fuse", O_RDWR);
	if (fuse < 0)
		return errno;
	snprintf(data, sizeof(data), "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse);
	return check(mount("probe", attempt->target, attempt->type, attempt->flags, data));
}

static int run_overlay(const struct attempt *attempt)
{
	char data[512];

	mkdir(SCRATCH "/lower", 0755);
	mkdir(SCRATCH "/upper", 0755);
	mkdir(SCRATCH "/work", 0755);
	mkdir(attempt->target, 0755);
	snprintf(data, sizeof(data), "lowerdir=%s,upperdir=%s,workdir=%s,userxattr",
		 SCRATCH "/lower", SCRATCH "/upper", SCRATCH "/work");
	return check(mount("overlay", attempt->target, "overlay", attempt->flags, data));
}

static int run_bind_remount(const struct attempt *attempt)
{
	if (mount(SCRATCH, ELSEWHERE, NULL, MS_BIND | MS_REC, NULL))
		return errno;
	return check(mount(NULL, ELSEWHERE, NULL, MS_REMOUNT | MS_BIND | attempt->flags, NULL));
}

static int run_propagation(const struct attempt *attempt)
{
	return check(mount(NULL, "/", NULL, attempt->flags, NULL));
}

static int run_move(const struct attempt *attempt)
{
	(void)attempt;
	if (mount("probe", SCRATCH "/upper", "tmpfs", 0, NULL))
		return errno;
	return check(mount(SCRATCH "/upper", ELSEWHERE, NULL, MS_MOVE, NULL));
}

/* Make a mount point to pivot into, as runc does: old and new root are the same directory. */
static int run_pivot(const struct attempt *attempt)
{
	mkdir(attempt->target, 0755);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("probe", attempt->target, "tmpfs", 0, NULL) || chdir(attempt->target))
		return errno;
	return check(syscall(SYS_pivot_root, ".", "."));
}

static int run_open(const struct attempt *attempt)
{
	return check(open(attempt->target, (int)attempt->flags));
}

/* Whether the family can be had in any type; the refusal's errno otherwise. */
static int run_socket(const struct attempt *attempt)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET };
	int refusal = EAFNOSUPPORT;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (socket((int)attempt->number, types[i], 0) >= 0)
			return 0;
		if (errno != ESOCKTNOSUPPORT && errno != EPROTONOSUPPORT)
			refusal = errno;
	}
	return refusal;
}

/* Zero arguments: a call that is let through fails with EFAULT, EINVAL or EBADF, never with the
 * errno that seccomp gives. */
static int run_call(const struct attempt *attempt)
{
	long result = syscall(attempt->number, -1, 0, 0, 0, 0, 0);

	if (result >= 0 || (errno != EPERM && errno != EACCES && errno != ENOSYS))
		return 0;
	return errno;
}

static int run_change_profile(const struct attempt *attempt)
{
	int fd = open("/proc/self/attr/current", O_WRONLY);

	if (fd < 0)
		return errno;
	return check(write(fd, attempt->data, strlen(attempt->data)));
}

static const struct attempt ATTEMPTS[] = {
	/* What runc, dockerd, fuse-overlayfs and systemd do. */
	{ "proc at a proc directory", run_mount, ALLOWED, PROFILE, "proc", SCRATCH "/proc" },
	{ "proc with flags", run_mount, ALLOWED, PROFILE, "proc", SCRATCH "/proc",
	  MS_NOSUID | MS_NODEV | MS_NOEXEC },
	{ "sysfs at a sys directory", run_mount, ALLOWED, PROFILE, "sysfs", SCRATCH "/sys",
	  MS_RDONLY },
	{ "devpts", run_mount, ALLOWED, PROFILE, "devpts", SCRATCH "/dev/pts", MS_NOSUID,
	  "newinstance" },
	{ "mqueue", run_mount, ALLOWED, PROFILE, "mqueue", SCRATCH "/dev/mqueue" },
	{ "tmpfs anywhere", run_mount, ALLOWED, PROFILE, "tmpfs", ELSEWHERE, MS_NOSUID },
	{ "fuse-overlayfs 1 under the data-root", run_mount, ALLOWED, PROFILE,
	  "fuse.fuse-overlayfs", SCRATCH "/merged", MS_NODEV | MS_NOATIME },
	{ "fuse-overlayfs 2 under the data-root", run_mount, ALLOWED, PROFILE, "fuse",
	  SCRATCH "/merged", MS_NODEV },
	{ "overlay under the data-root", run_overlay, ALLOWED, PROFILE, "overlay",
	  SCRATCH "/merged" },
	{ "bind and read-only remount", run_bind_remount, ALLOWED, PROFILE, "", "",
	  MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC },
	{ "make / rslave", run_propagation, ALLOWED, PROFILE, "", "", MS_SLAVE | MS_REC },
	{ "make / rprivate", run_propagation, ALLOWED, PROFILE, "", "", MS_PRIVATE | MS_REC },
	{ "make / shared", run_propagation, ALLOWED, PROFILE, "", "", MS_SHARED },
	{ "move a mount", run_move, ALLOWED, PROFILE, "", "" },
	{ "pivot_root under the data-root", run_pivot, ALLOWED, PROFILE, "", SCRATCH "/root" },
	{ "/dev/fuse read-write", run_open, ALLOWED, PROFILE, "", "/dev/fuse", O_RDWR },
	{ "network sysctl", run_open, ALLOWED, PROFILE, "",
	  "/proc/sys/net/ipv4/ip_unprivileged_port_start", O_WRONLY },
	{ "socket inet", run_socket, ALLOWED, PROFILE, .number = AF_INET },
	{ "socket packet", run_socket, ALLOWED, PROFILE, .number = AF_PACKET },
	{ "socket netlink", run_socket, ALLOWED, PROFILE, .number = AF_NETLINK },
	{ "keyctl", run_call, ALLOWED, PROFILE, .number = SYS_keyctl },

	/* File systems outside the list, with and without the flags that leak on parser 3.0. */
	{ "ramfs", run_mount, REFUSED, PROFILE, "ramfs", ELSEWHERE },
	{ "ramfs nosuid", run_mount, REFUSED, PROFILE, "ramfs", ELSEWHERE, MS_NOSUID },
	{ "ramfs read-only nosuid nodev", run_mount, REFUSED, PROFILE, "ramfs", ELSEWHERE,
	  MS_RDONLY | MS_NOSUID | MS_NODEV },
	{ "proc at another name", run_mount, REFUSED, PROFILE, "proc", ELSEWHERE "/p", MS_NOSUID },
	{ "proc at another name, no flags", run_mount, REFUSED, PROFILE, "proc", ELSEWHERE "/p" },
	{ "sysfs at another name", run_mount, REFUSED, PROFILE, "sysfs", ELSEWHERE "/s",
	  MS_RDONLY },
	{ "fuse elsewhere", run_mount, REFUSED, PROFILE, "fuse", ELSEWHERE },
	{ "fuse elsewhere nosuid", run_mount, REFUSED, PROFILE, "fuse", ELSEWHERE,
	  MS_NOSUID | MS_NODEV },
	{ "fuse.fuse-overlayfs elsewhere nodev", run_mount, REFUSED, PROFILE,
	  "fuse.fuse-overlayfs", ELSEWHERE, MS_NODEV },
	{ "other fuse under the data-root", run_mount, REFUSED, PROFILE, "fuse.evil",
	  SCRATCH "/merged", MS_NOSUID },
	{ "overlay elsewhere", run_overlay, REFUSED, PROFILE, "overlay", ELSEWHERE, MS_NOSUID },
	{ "overlay beside the data-root", run_overlay, REFUSED, PROFILE, "overlay",
	  "/var/lib/docker-evil", MS_NODEV },
	{ "debugfs", run_mount, REFUSED, NAMESPACE, "debugfs", ELSEWHERE, MS_NOSUID },
	{ "tracefs", run_mount, REFUSED, NAMESPACE, "tracefs", ELSEWHERE, MS_NOSUID },
	{ "securityfs", run_mount, REFUSED, NAMESPACE, "securityfs", ELSEWHERE },
	{ "devtmpfs", run_mount, REFUSED, NAMESPACE, "devtmpfs", ELSEWHERE },
	{ "pivot_root elsewhere", run_pivot, REFUSED, PROFILE, "", ELSEWHERE "/root" },

	/* Kernel controls. */
	{ "write sysrq-trigger", run_open, REFUSED, NAMESPACE, "", "/proc/sysrq-trigger",
	  O_WRONLY },
	{ "read kcore", run_open, REFUSED, NAMESPACE, "", "/proc/kcore", O_RDONLY },
	{ "write core_pattern", run_open, REFUSED, NAMESPACE, "", "/proc/sys/kernel/core_pattern",
	  O_WRONLY },
	{ "leave the profile", run_change_profile, REFUSED, PROFILE,
	  .data = "changeprofile unconfined" },

	/* Network families and system calls. */
	{ "socket alg", run_socket, REFUSED, PROFILE, .number = AF_ALG },
	{ "socket vsock", run_socket, REFUSED, PROFILE, .number = AF_VSOCK },
	{ "bpf", run_call, REFUSED, PROFILE, .number = SYS_bpf },
	{ "io_uring_setup", run_call, REFUSED, PROFILE, .number = SYS_io_uring_setup },
	{ "fsopen", run_call, REFUSED, PROFILE, .number = SYS_fsopen },
	{ "move_mount", run_call, REFUSED, PROFILE, .number = SYS_move_mount },
	{ "mount_setattr", run_call, REFUSED, PROFILE, .number = SYS_mount_setattr },
	{ "kexec_file_load", run_call, REFUSED, NAMESPACE, .number = SYS_kexec_file_load },
	{ "init_module", run_call, REFUSED, NAMESPACE, .number = SYS_init_module },
};

static void prepare(void)
{
	mkdir(SCRATCH, 0755);
	mkdir(SCRATCH "/dev", 0755);
	mkdir(SCRATCH "/dev/pts", 0755);
	mkdir(SCRATCH "/upper", 0755);
	mkdir(ELSEWHERE, 0755);
}

/* The errno of the attempt, from a child of its own. */
static int try_one(const struct attempt *attempt)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL))
			_exit(255);
		_exit(attempt->run(attempt));
	}
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return 255;
	return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	int control = argc > 1 && !strcmp(argv[1], "control");
	size_t count = sizeof(ATTEMPTS) / sizeof(ATTEMPTS[0]);
	int failures = 0;

	prepare();
	printf("1..%zu\n", count);
	for (size_t i = 0; i < count; i++) {
		const struct attempt *attempt = &ATTEMPTS[i];
		int refused = attempt->expected == REFUSED;
		int got = try_one(attempt);
		int good;

		if (control)
			refused = attempt->wall == NAMESPACE;
		good = got != 255 && (refused ? got != 0 : got == 0);
		failures += !good;
		printf("%sok %zu - %s: %s\n", good ? "" : "not ", i + 1, attempt->name,
		       got == 255 ? "did not run" : got ? strerror(got) : "succeeded");
	}
	return failures ? 1 : 0;
}
