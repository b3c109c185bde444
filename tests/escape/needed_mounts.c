/*
 * Mounts that Docker, runc, fuse-overlayfs, util-linux and systemd make, each as those programs
 * make it: where they try the new mount API first and fall back to mount(2), so does the row. One row or
 * more per allowing mount rule of the profile, so that a missing rule shows.
 */
#include "tests/escape/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

void act_mount(const struct attempt *attempt, struct verdict *verdict)
{
	place_make(attempt->path);
	if (mount("escape", attempt->path, attempt->type, attempt->flags, attempt->value))
		verdict_refused(verdict, "mount", errno);
	else if (!place_is_mounted(attempt->path, attempt->type))
		verdict_refused(verdict, "not mounted", EIO);
	else
		verdict_done(verdict, NULL);
}

static void mount_cgroup(const struct attempt *attempt, struct verdict *verdict)
{
	/* The usual place, under runc's root; a cgroup namespace of its own as Docker makes it. */
	if (attempt->number && unshare(CLONE_NEWCGROUP)) {
		verdict_refused(verdict, "unshare", errno);
		return;
	}
	act_mount(attempt, verdict);
}

void act_mount_fuse(const struct attempt *attempt, struct verdict *verdict)
{
	char options[128];
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		verdict_refused(verdict, "open /dev/fuse", errno);
		return;
	}
	place_make(attempt->path);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other",
		 fd);
	if (mount("fuse-overlayfs", attempt->path, attempt->type, attempt->flags, options))
		verdict_refused(verdict, "mount", errno);
	else
		verdict_done(verdict, NULL);
	umount2(attempt->path, MNT_DETACH);
}

void act_mount_overlay(const struct attempt *attempt, struct verdict *verdict)
{
	const char *options = "lowerdir=" SCRATCH "/l,upperdir=" SCRATCH "/u,workdir=" SCRATCH
			      "/w,userxattr";

	place_make(SCRATCH "/l");
	place_make(SCRATCH "/u");
	place_make(SCRATCH "/w");
	place_make(attempt->path);
	if (mount("overlay", attempt->path, "overlay", attempt->flags, options)) {
		verdict_refused(verdict, "mount", errno);
		return;
	}
	verdict_of(verdict, "chdir", chdir(attempt->path));
	if (verdict->outcome == OUTCOME_DONE)
		verdict_of(verdict, "mkdir", mkdir("made", 0755));
}

/* Bind, then the flags in a second call, as mount(8), runc and systemd do. */
static void bind_mount(const struct attempt *attempt, struct verdict *verdict)
{
	place_make(SCRATCH "/from");
	place_make(attempt->path);
	if (mount(attempt->value, attempt->path, NULL, MS_BIND | (unsigned long)attempt->number,
		  NULL)) {
		verdict_refused(verdict, "bind", errno);
		return;
	}
	if (attempt->flags &&
	    mount(NULL, attempt->path, NULL, MS_BIND | MS_REMOUNT | attempt->flags, NULL)) {
		verdict_refused(verdict, "remount", errno);
		return;
	}
	if ((attempt->flags & MS_RDONLY) && !faccessat(AT_FDCWD, attempt->path, W_OK, 0))
		verdict_refused(verdict, "still writable", EIO);
	else
		verdict_done(verdict, NULL);
}

/* runc masks files by binding /dev/null over them and makes directories read-only in place. */
static void mask_file(const struct attempt *attempt, struct verdict *verdict)
{
	place_make(SCRATCH "/m/proc");
	if (mount("proc", SCRATCH "/m/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
		verdict_refused(verdict, "mount proc", errno);
	else if (mount("/dev/null", attempt->path, NULL, MS_BIND, NULL))
		verdict_refused(verdict, "bind /dev/null", errno);
	else if (mount(NULL, attempt->path, NULL,
		       MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NOEXEC, NULL))
		verdict_refused(verdict, "remount", errno);
	else
		verdict_done(verdict, NULL);
}

static void propagate(const struct attempt *attempt, struct verdict *verdict)
{
	verdict_of(verdict, "mount", mount(NULL, attempt->path, NULL, attempt->flags, NULL));
}

static void move_mounted(const struct attempt *attempt, struct verdict *verdict)
{
	(void)attempt;
	place_make(SCRATCH "/a");
	place_make(SCRATCH "/b");
	if (mount("escape", SCRATCH "/a", "tmpfs", 0, NULL))
		verdict_refused(verdict, "mount", errno);
	else
		verdict_of(verdict, "move", mount(SCRATCH "/a", SCRATCH "/b", NULL, MS_MOVE, NULL));
}

/* As runc: the old and the new root are the same directory, a bind of itself. */
void act_pivot(const struct attempt *attempt, struct verdict *verdict)
{
	place_make(attempt->path);
	if (mount("escape", attempt->path, "tmpfs", 0, NULL) || chdir(attempt->path))
		verdict_refused(verdict, "mount", errno);
	else if (syscall(SYS_pivot_root, ".", "."))
		verdict_refused(verdict, "pivot_root", errno);
	else
		verdict_of(verdict, "umount", umount2(".", MNT_DETACH));
}

static void unmount(const struct attempt *attempt, struct verdict *verdict)
{
	place_make(SCRATCH "/gone");
	if (mount("escape", SCRATCH "/gone", "tmpfs", 0, NULL))
		verdict_refused(verdict, "mount", errno);
	else
		verdict_of(verdict, "umount",
			   umount2(SCRATCH "/gone", (int)attempt->flags | UMOUNT_NOFOLLOW));
}

/* fsopen, fsmount, move_mount; mount(2) where the first of them is no call of this kernel. */
static void mount_new_or_old(const struct attempt *attempt, struct verdict *verdict)
{
	const char *step;
	int fd = api_detached(attempt->type, &step);

	if (fd == -ENOSYS) {
		act_mount(attempt, verdict);
		return;
	}
	place_make(attempt->path);
	if (fd < 0)
		verdict_refused(verdict, step, -fd);
	else if (api_move_mount(fd, "", AT_FDCWD, attempt->path, MOVE_MOUNT_F_EMPTY_PATH))
		verdict_refused(verdict, "move_mount", errno);
	else
		verdict_done(verdict, "new mount API");
}

/* runc >= 1.2.8 opens sysctls in a procfs of its own; without the API in the usual one. */
static void write_sysctl_like_runc(const struct attempt *attempt, struct verdict *verdict)
{
	char own[64];
	const char *step;
	int fd, file;

	fd = api_detached("proc", &step);
	if (fd == -ENOSYS)
		fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		verdict_refused(verdict, step, fd == -1 ? errno : -fd);
		return;
	}
	file = openat(fd, attempt->path, O_PATH | O_CLOEXEC);
	if (file < 0) {
		verdict_refused(verdict, "openat", errno);
		return;
	}
	snprintf(own, sizeof(own), "/proc/self/fd/%d", file);
	fd = open(own, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		verdict_refused(verdict, "reopen", errno);
	else
		verdict_of(verdict, "write", write(fd, attempt->value, strlen(attempt->value)));
}

/* Recursive read-only; a remount where there is no such call. */
static void set_attributes(const struct attempt *attempt, struct verdict *verdict)
{
	struct mount_attr change = { .attr_set = MOUNT_ATTR_RDONLY };

	place_make(attempt->path);
	if (mount("escape", attempt->path, "tmpfs", 0, NULL))
		verdict_refused(verdict, "mount", errno);
	else if (!syscall(SYS_mount_setattr, AT_FDCWD, attempt->path, AT_RECURSIVE, &change,
			  sizeof(change)))
		verdict_done(verdict, "mount_setattr");
	else if (errno != ENOSYS)
		verdict_refused(verdict, "mount_setattr", errno);
	else
		verdict_of(verdict, "remount", mount(NULL, attempt->path, NULL,
						     MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
}

#define NSDE (MS_NOSUID | MS_NODEV | MS_NOEXEC)
#define NEEDS .group = GROUP_ALLOWED

static const struct attempt ROWS[] = {
	{ "proc", act_mount, NEEDS, .type = "proc", .path = SCRATCH "/merged/proc",
	  .flags = NSDE },
	{ "proc without flags", act_mount, NEEDS, .type = "proc", .path = SCRATCH "/x/proc" },
	{ "proc outside the data-root", act_mount, NEEDS, .type = "proc",
	  .path = "/mnt/escape/proc", .flags = NSDE, .why = "systemd's ProtectProc=, unshare" },
	{ "sysfs", act_mount, NEEDS, .type = "sysfs", .path = SCRATCH "/merged/sys",
	  .flags = NSDE | MS_RDONLY },
	{ "sysfs writable", act_mount, NEEDS, .type = "sysfs", .path = SCRATCH "/x/sys",
	  .why = "docker run --privileged" },
	{ "cgroup2", mount_cgroup, NEEDS, .type = "cgroup2",
	  .path = SCRATCH "/merged/sys/fs/cgroup", .flags = NSDE | MS_RDONLY | MS_RELATIME },
	{ "cgroup2 in a cgroup namespace", mount_cgroup, NEEDS, .type = "cgroup2",
	  .path = SCRATCH "/merged/sys/fs/cgroup", .flags = NSDE, .number = 1 },
	{ "tmpfs", act_mount, NEEDS, .type = "tmpfs", .path = SCRATCH "/merged/dev",
	  .flags = MS_NOSUID | MS_STRICTATIME, .value = "mode=755,size=65536k" },
	{ "tmpfs anywhere", act_mount, NEEDS, .type = "tmpfs", .path = "/mnt/escape/t",
	  .flags = NSDE },
	{ "mqueue", act_mount, NEEDS, .type = "mqueue", .path = SCRATCH "/merged/dev/mqueue",
	  .flags = NSDE },
	{ "devpts", act_mount, NEEDS, .type = "devpts", .path = SCRATCH "/merged/dev/pts",
	  .flags = MS_NOSUID | MS_NOEXEC, .value = "newinstance,ptmxmode=0666,mode=0620,gid=5" },
	{ "overlay", act_mount_overlay, NEEDS, .path = SCRATCH "/o", .why = "overlay2" },
	{ "fuse.fuse-overlayfs", act_mount_fuse, NEEDS, .type = "fuse.fuse-overlayfs",
	  .path = "/var/lib/docker/fuse-overlayfs/escape", .flags = MS_NODEV | MS_NOATIME },
	{ "fuse", act_mount_fuse, NEEDS, .type = "fuse", .path = SCRATCH "/fuse", .flags = MS_NODEV,
	  .why = "fuse-overlayfs 2" },
	{ "rbind /", bind_mount, NEEDS, .value = "/", .path = SCRATCH "/all", .number = MS_REC },
	{ "bind", bind_mount, NEEDS, .value = SCRATCH "/from", .path = SCRATCH "/to" },
	{ "bind outside the data-root", bind_mount, NEEDS, .value = SCRATCH "/from",
	  .path = "/mnt/escape/to" },
	{ "bind read-only", bind_mount, NEEDS, .value = SCRATCH "/from", .path = SCRATCH "/to",
	  .flags = MS_RDONLY },
	{ "bind ro,nosuid,nodev,noexec", bind_mount, NEEDS, .value = SCRATCH "/from",
	  .path = SCRATCH "/to", .flags = MS_RDONLY | NSDE },
	{ "rbind ro,rec", bind_mount, NEEDS, .value = SCRATCH "/from", .path = SCRATCH "/to",
	  .number = MS_REC, .flags = MS_RDONLY | MS_REC },
	{ "bind nosuid,relatime", bind_mount, NEEDS, .value = SCRATCH "/from",
	  .path = SCRATCH "/to", .flags = MS_NOSUID | MS_RELATIME },
	{ "mask sysrq-trigger", mask_file, NEEDS, .path = SCRATCH "/m/proc/sysrq-trigger" },
	{ "mask timer_list", mask_file, NEEDS, .path = SCRATCH "/m/proc/keys" },
	{ "make / rslave", propagate, NEEDS, .path = "/", .flags = MS_SLAVE | MS_REC },
	{ "make / rprivate", propagate, NEEDS, .path = "/", .flags = MS_PRIVATE | MS_REC },
	{ "make / rshared", propagate, NEEDS, .path = "/", .flags = MS_SHARED | MS_REC },
	{ "make / slave", propagate, NEEDS, .path = "/", .flags = MS_SLAVE },
	{ "make / private", propagate, NEEDS, .path = "/", .flags = MS_PRIVATE },
	{ "make / shared", propagate, NEEDS, .path = "/", .flags = MS_SHARED },
	{ "make scratch private", propagate, NEEDS, .path = SCRATCH, .flags = MS_PRIVATE,
	  .why = "dockerd on its root" },
	{ "make scratch unbindable", propagate, NEEDS, .path = SCRATCH, .flags = MS_UNBINDABLE },
	{ "move", move_mounted, NEEDS },
	{ "pivot_root", act_pivot, NEEDS, .path = SCRATCH "/root" },
	{ "pivot_root of a service", act_pivot, NEEDS, .path = "/run/systemd/mount-rootfs" },
	{ "umount", unmount, NEEDS },
	{ "umount lazily", unmount, NEEDS, .flags = MNT_DETACH },
	{ "sysctl as runc writes it", write_sysctl_like_runc, NEEDS,
	  .path = "sys/net/ipv4/ip_unprivileged_port_start", .value = "0" },
	{ "tmpfs by the new API or mount", mount_new_or_old, NEEDS, .type = "tmpfs",
	  .path = SCRATCH "/n", .why = "util-linux >= 2.39" },
	{ "proc by the new API or mount", mount_new_or_old, NEEDS, .type = "proc",
	  .path = SCRATCH "/n/proc" },
	{ "read-only tree by mount_setattr or remount", set_attributes, NEEDS,
	  .path = SCRATCH "/n" },
};

const struct theme NEEDED_MOUNTS = THEME("needed-mounts", ROWS);
