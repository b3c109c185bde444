/*
 * Where attempts happen: a scratch directory nobody else sees, and the five ways to one and the
 * same file of procfs or sysfs. AppArmor judges paths; a fresh or detached instance has others.
 */
#include "tests/escape/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

int api_fsopen(const char *type, unsigned flags)
{
	return (int)syscall(SYS_fsopen, type, flags);
}

int api_fsconfig(int fd, unsigned command, const char *key, const void *value, int aux)
{
	return (int)syscall(SYS_fsconfig, fd, command, key, value, aux);
}

int api_fsmount(int fd, unsigned flags, unsigned attributes)
{
	return (int)syscall(SYS_fsmount, fd, flags, attributes);
}

int api_fspick(int fd, const char *path, unsigned flags)
{
	return (int)syscall(SYS_fspick, fd, path, flags);
}

int api_open_tree(int fd, const char *path, unsigned flags)
{
	return (int)syscall(SYS_open_tree, fd, path, flags);
}

int api_move_mount(int from, const char *from_path, int to, const char *to_path, unsigned flags)
{
	return (int)syscall(SYS_move_mount, from, from_path, to, to_path, flags);
}

int api_clear_attributes(int fd, const char *path, unsigned flags, uint64_t attributes)
{
	struct mount_attr change = { .attr_clr = attributes };

	return (int)syscall(SYS_mount_setattr, fd, path, flags, &change, sizeof(change));
}

int api_detached(const char *type, const char **ret_step)
{
	int mounted, fd;

	*ret_step = "fsopen";
	fd = api_fsopen(type, FSOPEN_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_step = "fsconfig";
	if (api_fsconfig(fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return -errno;
	*ret_step = "fsmount";
	mounted = api_fsmount(fd, FSMOUNT_CLOEXEC, 0);
	return mounted < 0 ? -errno : mounted;
}

void place_make(const char *path)
{
	char part[PATH_MAX];

	for (const char *end = strchr(path + 1, '/');; end = strchr(end + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", end ? (int)(end - path) : PATH_MAX - 1, path);
		mkdir(part, 0755);
		if (!end)
			return;
	}
}

void place_prepare(void)
{
	place_make(SCRATCH);
	place_make(ELSEWHERE);
	if (unshare(CLONE_NEWNS))
		return;
	/* What an attempt mounts must not reach anybody else. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return;
	mount("escape", SCRATCH, "tmpfs", 0, NULL);
	mount("escape", ELSEWHERE, "tmpfs", 0, NULL);
}

bool place_is_mounted(const char *path, const char *type)
{
	char line[4096], expected[PATH_MAX], *separator;
	bool found = false;
	FILE *mounts = fopen("/proc/self/mountinfo", "re");

	if (!mounts)
		return false;
	snprintf(expected, sizeof(expected), " %s ", path);
	while (fgets(line, sizeof(line), mounts)) {
		separator = strstr(line, " - ");
		if (!separator || !strstr(line, expected))
			continue;
		/* The last mount on a place is the one that is seen. */
		found = !strncmp(separator + 3, type, strlen(type));
	}
	fclose(mounts);
	return found;
}

/* The file system type and the path inside it. */
static const char *split(const char *path, const char **ret_rest)
{
	bool is_proc = !strncmp(path, "/proc/", 6);

	*ret_rest = path + (is_proc ? 6 : 5);
	return is_proc ? "proc" : "sysfs";
}

/* Take away everything that was mounted below /proc and /sys. */
static void unmask(void)
{
	static const char *const masks[] = { "/proc/sys/net", "/proc/sys", "/proc/sysrq-trigger",
					     "/proc/sys/net", "/proc/sys", "/proc/sysrq-trigger",
					     "/proc/kcore",   "/proc/keys", "/proc/timer_list",
					     "/proc/acpi",    "/proc/irq", "/proc/bus", "/proc/fs",
					     "/proc/scsi",    "/sys/firmware" };

	for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++)
		umount2(masks[i], MNT_DETACH);
	mount(NULL, "/sys", NULL, MS_REMOUNT | MS_BIND, NULL);
	mount(NULL, "/proc", NULL, MS_REMOUNT | MS_BIND, NULL);
}

/* The profile demands a directory of the file system's name; other names are rows of mounts.c. */
static int open_fresh(const char *type, const char *rest, int flags, const char **ret_step)
{
	char place[64], path[PATH_MAX];
	int fd;

	snprintf(place, sizeof(place), SCRATCH "/fresh/%s", strcmp(type, "proc") ? "sys" : "proc");
	place_make(place);
	*ret_step = "mount";
	if (mount("escape", place, type, 0, NULL))
		return -errno;
	*ret_step = "open";
	snprintf(path, sizeof(path), "%s/%s", place, rest);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int open_detached(const char *type, const char *rest, int flags, const char **ret_step)
{
	int mounted = api_detached(type, ret_step);
	int fd;

	if (mounted < 0)
		return mounted;
	*ret_step = "openat";
	fd = openat(mounted, rest, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Whether the file is one of the kernel's: what Docker masks is its /dev/null or an empty tmpfs. */
static bool is_of_kernel(int fd)
{
	static const unsigned long kinds[] = { PROC_SUPER_MAGIC, SYSFS_MAGIC, DEBUGFS_MAGIC,
					       TRACEFS_MAGIC, SECURITYFS_MAGIC, BINFMTFS_MAGIC };
	struct statfs system;

	if (fstatfs(fd, &system))
		return false;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if ((unsigned long)system.f_type == kinds[i])
			return true;
	return false;
}

static int open_by_access(enum access access, const char *path, int flags, const char **ret_step)
{
	const char *rest, *type = split(path, &rest);
	int result;

	switch (access) {
	case ACCESS_FRESH:
		return open_fresh(type, rest, flags, ret_step);
	case ACCESS_NESTED:
		*ret_step = "nested";
		result = nested_enter();
		return result ? result : open_fresh(type, rest, flags, ret_step);
	case ACCESS_DETACHED:
		return open_detached(type, rest, flags, ret_step);
	case ACCESS_UNMASKED:
		unmask();
		break;
	default:
		break;
	}
	*ret_step = "open";
	result = open(path, flags | O_CLOEXEC);
	return result < 0 ? -errno : result;
}

int place_open(enum access access, const char *path, int flags, const char **ret_step)
{
	int fd = open_by_access(access, path, flags, ret_step);

	if (fd < 0 || is_of_kernel(fd))
		return fd;
	close(fd);
	*ret_step = "masked";
	return -ENXIO;
}

const char *access_name(enum access access)
{
	switch (access) {
	case ACCESS_USUAL: return "usual";
	case ACCESS_UNMASKED: return "unmasked";
	case ACCESS_FRESH: return "fresh";
	case ACCESS_NESTED: return "nested";
	case ACCESS_DETACHED: return "detached";
	default: return "";
	}
}
