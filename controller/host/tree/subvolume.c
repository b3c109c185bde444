/*
 * The root of every subvolume has the inode number 256, and nothing else on btrfs has it
 * (BTRFS_FIRST_FREE_OBJECTID in linux/btrfs_tree.h).
 */
#include "controller/host/tree/subvolume.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

static bool is_on_btrfs(int fd)
{
	struct statfs system;

	return fstatfs(fd, &system) == 0 && system.f_type == BTRFS_SUPER_MAGIC;
}

static bool is_root(const struct stat *status)
{
	return S_ISDIR(status->st_mode) && status->st_ino == BTRFS_FIRST_FREE_OBJECTID;
}

bool subvolume_is(int dir)
{
	struct stat status;

	return fstat(dir, &status) == 0 && is_root(&status) && is_on_btrfs(dir);
}

int subvolume_make(int parent, const char *name)
{
	struct btrfs_ioctl_vol_args_v2 arguments = { 0 };

	if (!is_on_btrfs(parent))
		return -EOPNOTSUPP;
	if (strlen(name) >= sizeof(arguments.name))
		return -ENAMETOOLONG;
	snprintf(arguments.name, sizeof(arguments.name), "%s", name);
	return ioctl(parent, BTRFS_IOC_SUBVOL_CREATE_V2, &arguments) < 0 ? -errno : 0;
}

int subvolume_snapshot(int source, int parent, const char *name)
{
	struct btrfs_ioctl_vol_args_v2 arguments = { .fd = source };

	if (!subvolume_is(source))
		return -EOPNOTSUPP;
	if (!is_on_btrfs(parent))
		return -EXDEV;
	if (strlen(name) >= sizeof(arguments.name))
		return -ENAMETOOLONG;
	snprintf(arguments.name, sizeof(arguments.name), "%s", name);
	return ioctl(parent, BTRFS_IOC_SNAP_CREATE_V2, &arguments) < 0 ? -errno : 0;
}

int subvolume_set_read_only(int dir, bool read_only)
{
	uint64_t flags = 0;

	if (!subvolume_is(dir))
		return -EOPNOTSUPP;
	if (ioctl(dir, BTRFS_IOC_SUBVOL_GETFLAGS, &flags) < 0)
		return -errno;
	if (!!(flags & BTRFS_SUBVOL_RDONLY) == read_only)
		return 0;
	flags ^= BTRFS_SUBVOL_RDONLY;
	return ioctl(dir, BTRFS_IOC_SUBVOL_SETFLAGS, &flags) < 0 ? -errno : 0;
}

int subvolume_remove(int parent, const char *name)
{
	struct btrfs_ioctl_vol_args arguments = { 0 };
	struct stat status;

	if (fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!is_root(&status) || !is_on_btrfs(parent))
		return -ENOTDIR;
	if (strlen(name) >= sizeof(arguments.name))
		return -ENAMETOOLONG;
	snprintf(arguments.name, sizeof(arguments.name), "%s", name);
	return ioctl(parent, BTRFS_IOC_SNAP_DESTROY, &arguments) < 0 ? -errno : 0;
}
