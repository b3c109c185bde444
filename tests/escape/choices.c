/*
 * Where either would do: what we decided, and why. A row that comes out otherwise is a change of
 * policy that nobody has written down.
 */
#include "tests/escape/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/mount.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static void mount_named_cgroup(const struct attempt *attempt, struct verdict *verdict)
{
	place_make(SCRATCH "/c/sys/fs/cgroup");
	verdict_of(verdict, "mount", mount("escape", SCRATCH "/c/sys/fs/cgroup", "cgroup", 0,
					   "none,name=escape"));
}

static void bind_path(const struct attempt *attempt, struct verdict *verdict)
{
	place_make(ELSEWHERE "/x");
	verdict_of(verdict, "bind", mount(attempt->path, ELSEWHERE "/x", NULL, MS_BIND, NULL));
}

static void remount_writable(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "remount",
		   mount(NULL, attempt->path, NULL, MS_REMOUNT | MS_BIND | attempt->flags, NULL));
}

static void unmount_mask(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "umount", umount2(attempt->path, MNT_DETACH));
}

static void copy_tree(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "open_tree",
		   api_open_tree(AT_FDCWD, attempt->path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
}

static void clear_attribute(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "mount_setattr",
		   api_clear_attributes(AT_FDCWD, attempt->path, 0, MOUNT_ATTR_RDONLY));
}

static void enter_nested(const struct attempt *attempt, struct verdict *verdict)
{
	int result = nested_enter();

	if (result)
		verdict_refused(verdict, "nested", -result);
	else if (attempt->path)
		act_mount(attempt, verdict);
	else
		verdict_done(verdict, NULL);
}

static void open_path(const struct attempt *attempt, struct verdict *verdict)
{
	const char *step = "open";
	int fd = attempt->accesses ? place_open(attempt->accesses, attempt->path,
						(int)attempt->flags, &step) :
				     open(attempt->path, (int)attempt->flags | O_CLOEXEC);

	if (fd < 0)
		verdict_refused(verdict, step, attempt->accesses ? -fd : errno);
	else if (attempt->value)
		verdict_of(verdict, "write", write(fd, attempt->value, strlen(attempt->value)));
	else
		verdict_done(verdict, NULL);
}

static void make_null(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "mknod", mknod(SCRATCH "/null", S_IFCHR | 0666, makedev(1, 3)));
}

static void make_bpf_map(const struct attempt *attempt, struct verdict *verdict)
{
	union bpf_attr request = { .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4,
				   .value_size = 4, .max_entries = 1 };

	verdict_of(verdict, "bpf", syscall(SYS_bpf, BPF_MAP_CREATE, &request, sizeof(request)));
}

static void make_userfault(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "userfaultfd", syscall(SYS_userfaultfd, O_CLOEXEC));
}

static void make_ring(const struct attempt *attempt, struct verdict *verdict)
{
	char parameters[120] = { 0 };

	verdict_of(verdict, "io_uring_setup", syscall(SYS_io_uring_setup, 1, parameters));
}

static void join_namespace(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "setns",
		   setns(open("/proc/1/ns/mnt", O_RDONLY | O_CLOEXEC), CLONE_NEWNS));
}

static void make_socket(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "socket",
		   socket((int)attempt->number, SOCK_RAW | SOCK_CLOEXEC, (int)attempt->flags));
}

static void be_nice(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "setpriority", setpriority(PRIO_PROCESS, 0, -20));
}

static void more_files(const struct attempt *attempt, struct verdict *verdict)
{
	struct rlimit limit = { 2000000, 2000000 };

	verdict_of(verdict, "setrlimit", setrlimit(RLIMIT_NOFILE, &limit));
}

static void change_personality(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "personality", personality(READ_IMPLIES_EXEC));
}

static void set_suid(const struct attempt *attempt, struct verdict *verdict)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/var/lib/docker/escape-suid-%d", getpid());
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0755);
	verdict_of(verdict, "fchmod", fchmod(fd, 04755));
	unlink(path);
}

static void find_keyring(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "keyctl", syscall(SYS_keyctl, 0, -1, 1));
}

#define YES .group = GROUP_POLICY, .decided = OUTCOME_DONE
#define NO .group = GROUP_POLICY, .decided = OUTCOME_REFUSED

static const struct attempt ROWS[] = {
	{ "named cgroup v1 hierarchy", mount_named_cgroup, NO,
	  .why = "nothing of Debian 12 and later needs one" },
	{ "bpffs", act_mount, NO, .type = "bpf", .path = ELSEWHERE "/x",
	  .why = "bpf(2) is refused as well" },
	{ "binfmt_misc", act_mount, NO, .type = "binfmt_misc", .path = ELSEWHERE "/x",
	  .why = "a handler per user namespace only from 6.7 on" },
	{ "ramfs", act_mount, NO, .type = "ramfs", .path = SCRATCH "/x",
	  .why = "no size limit; systemd falls back to tmpfs" },
	{ "/dev/fuse read-only", open_path, YES, .path = "/dev/fuse", .flags = O_RDONLY,
	  .why = "fuse-overlayfs has it read-write" },
	{ "fuse under the data-root", act_mount_fuse, YES, .type = "fuse",
	  .path = SCRATCH "/x", .why = "fuse-overlayfs 2" },
	{ "fuse.evil elsewhere", act_mount_fuse, NO, .type = "fuse.evil", .path = ELSEWHERE "/x",
	  .why = "no use for Docker; a hanging mount hangs whoever enters" },
	{ "bind /proc/sys elsewhere", bind_path, YES, .path = "/proc/sys",
	  .why = "harmless: the files belong to the host's root" },
	{ "remount /sys writable", remount_writable, YES, .path = "/sys",
	  .why = "harmless: as above; LXC's masks are no boundary" },
	{ "remount /proc/sys writable", remount_writable, YES, .path = "/proc/sys",
	  .flags = MS_NOSUID | MS_NODEV | MS_NOEXEC, .why = "as above" },
	{ "unmount the mask of /proc/sys", unmount_mask, YES, .path = "/proc/sys/net",
	  .why = "as above" },
	{ "unmount the mask of sysrq-trigger", unmount_mask, YES, .path = "/proc/sysrq-trigger",
	  .why = "as above: the profile and the owner still refuse the file" },
	{ "open_tree of /proc/sys", copy_tree, NO, .path = "/proc/sys",
	  .why = "the new mount API is off" },
	{ "mount_setattr on /sys", clear_attribute, NO, .path = "/sys",
	  .why = "the new mount API is off" },
	{ "mount_setattr on /proc/sys", clear_attribute, NO, .path = "/proc/sys",
	  .why = "the new mount API is off" },
	{ "nested user namespace", enter_nested, YES, .why = "userns-remap, PrivateUsers=" },
	{ "nested user namespace and its procfs", enter_nested, YES, .type = "proc",
	  .path = SCRATCH "/n/proc", .why = "rootless containers" },
	{ "kernel.hostname", open_path, NO, .path = "/proc/sys/kernel/hostname",
	  .flags = O_WRONLY, .why = "sethostname(2) works" },
	{ "user.max_user_namespaces", open_path, YES,
	  .accesses = ACCESS_FRESH, .path = "/proc/sys/user/max_user_namespaces",
	  .flags = O_WRONLY, .why = "counts within the container's own namespace" },
	{ "/proc/keys", open_path, YES, .path = "/proc/keys", .flags = O_RDONLY,
	  .why = "shows the reader's own keys" },
	{ "list of profiles", open_path, NO, .path = "/sys/kernel/security/apparmor/profiles",
	  .flags = O_RDONLY, .why = "nothing of the host's policy is the container's matter" },
	{ "mknod c 1:3", make_null, NO, .why = "runc binds the nodes in a user namespace" },
	{ "/dev/kmsg for writing", open_path, NO, .path = EXHIBITS "/devices/kmsg",
	  .flags = O_WRONLY, .why = "the host's log" },
	{ "/dev/net/tun", open_path, NO, .path = EXHIBITS "/devices/tun", .flags = O_RDWR,
	  .why = "Docker needs none; a VPN would, and would say so in its fleet file" },
	{ "bpf map", make_bpf_map, NO, .why = "kernel surface" },
	{ "bpf device program", open_path, NO, .path = "/sys/fs/bpf/escape", .flags = O_WRONLY,
	  .why = "runc skips it in a user namespace" },
	{ "userfaultfd", make_userfault, NO, .why = "kernel surface" },
	{ "io_uring", make_ring, NO, .why = "kernel surface; programs fall back" },
	{ "setns to own init", join_namespace, YES, .why = "docker exec" },
	{ "vsock", make_socket, NO, .number = AF_VSOCK, .why = "past the network namespace" },
	{ "netlink audit", make_socket, YES, .number = AF_NETLINK, .flags = NETLINK_AUDIT,
	  .why = "sudo, PAM open one; using it needs the host's capability" },
	{ "nice -20", be_nice, NO, .why = "the user namespace refuses it" },
	{ "two million files", more_files, NO, .why = "the host's hard limit" },
	{ "personality READ_IMPLIES_EXEC", change_personality, YES, .why = "harms its user only" },
	{ "setuid file in the data-root", set_suid, YES,
	  .why = "images have them; the host's view is nosuid, below a 0711 directory" },
	{ "own keyring", find_keyring, YES, .why = "runc" },
};

const struct theme CHOICES = THEME("choices", ROWS);
