/*
 * The lower layer has to be attached somewhere while the overlay is mounted (kernels before 6.15
 * take no detached one), but not longer: overlayfs keeps a private clone of it. Our mounts are made
 * private so that what happens in them does not reach the host's other mount namespaces.
 */
#include "controller/host/image/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "controller/host/image/idmap.h"
#include "controller/host/tree/tree.h"

#define OPTIONS_SIZE 4096 /* what mount(2) takes at most */
#define STACK_MAXIMUM 64  /* mounts on top of each other at one place */

bool mounts_is_mounted(const char *path)
{
	struct statx status;

	return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &status) ==
		       0 &&
	       (status.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

bool mounts_is_wall(const char *path)
{
	struct statvfs status;

	return mounts_is_mounted(path) && statvfs(path, &status) == 0 &&
	       (status.f_flag & ST_NOSUID) && (status.f_flag & ST_NODEV);
}

/* Unmount as long as something of that kind is mounted at path. */
static int unmount_while(bool (*is_there)(const char *path), const char *path,
			 struct ph_error *error)
{
	int count = 0;

	while (is_there(path) && count < STACK_MAXIMUM) {
		if (umount2(path, UMOUNT_NOFOLLOW) < 0 &&
		    (errno != EBUSY || umount2(path, UMOUNT_NOFOLLOW | MNT_DETACH) < 0))
			return error_errno(error, -errno, path, NULL, "unmount");
		count++;
	}
	return count;
}

int mounts_unmount(const char *path, struct ph_error *error)
{
	return unmount_while(mounts_is_mounted, path, error);
}

int mounts_unmount_wall(const char *path, struct ph_error *error)
{
	return unmount_while(mounts_is_wall, path, error);
}

/* Kernels before 5.12: killed in the middle of it, a mount stays that is no wall. */
static int make_wall_by_steps(const char *path, struct ph_error *error)
{
	if (mount(path, path, NULL, MS_BIND, NULL) < 0)
		return error_errno(error, -errno, path, NULL, "bind mount");
	if (mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV, NULL) < 0) {
		int failure = -errno;

		umount2(path, UMOUNT_NOFOLLOW);
		return error_errno(error, failure, path, NULL, "mount with nosuid,nodev");
	}
	return 0;
}

/* Nothing is there before it is a wall. */
static int make_wall(const char *path, struct ph_error *error)
{
	struct mount_attr attributes = { .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV };
	PH_AUTO_CLOSE int dir = -1;
	PH_AUTO_CLOSE int tree = -1;
	int result = tree_open_root(path, &dir, error);

	if (result < 0)
		return result;
	tree = open_tree(dir, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0)
		return errno == ENOSYS ? make_wall_by_steps(path, error) :
					 error_errno(error, -errno, path, NULL,
						     "clone the mount with nosuid,nodev");
	if (move_mount(tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return error_errno(error, -errno, path, NULL, "bind mount");
	return 0;
}

/* What is attached below a shared mount is shared, whatever it was before. */
static int make_private(const char *path, struct ph_error *error)
{
	int failure;

	if (mount(NULL, path, NULL, MS_PRIVATE, NULL) == 0)
		return 0;
	failure = -errno;
	umount2(path, UMOUNT_NOFOLLOW | MNT_DETACH);
	return error_errno(error, failure, path, NULL, "make the mount private");
}

int mounts_wall(const char *path, struct ph_error *error)
{
	int result = make_wall(path, error);

	return result < 0 ? result : make_private(path, error);
}

static int attach_shifted(int dir, const char *place, uint32_t id_base, uint32_t id_count,
			  bool read_only, struct ph_error *error)
{
	PH_AUTO_CLOSE int tree = -1;
	int result = idmap_clone_mount(dir, id_base, id_count, read_only, &tree, error);

	if (result < 0)
		return result;
	if (move_mount(tree, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return error_errno(error, -errno, place, NULL, "attach the image");
	return 0;
}

int mounts_shifted(int dir, const char *place, uint32_t id_base, uint32_t id_count,
		   struct ph_error *error)
{
	int result = attach_shifted(dir, place, id_base, id_count, false, error);

	return result < 0 ? result : make_private(place, error);
}

/* nodev: an image has no devices, and a container's come from liblxc's own /dev. Not nosuid: sudo
 * has to work inside; who may come near is decided by the mode of base. */
static int mount_layers(const struct overlay_mount *mount_, const char *lower,
			struct ph_error *error)
{
	char options[OPTIONS_SIZE], rootfs[PATHS_SIZE + 16];

	snprintf(rootfs, sizeof(rootfs), "%s/rootfs", mount_->base);
	snprintf(options, sizeof(options),
		 "lowerdir=%s,upperdir=%s/upper,workdir=%s/work,index=off,metacopy=off", lower,
		 mount_->base, mount_->base);
	if (mount("phoenix", rootfs, "overlay", MS_NODEV, options) < 0)
		return error_errno(error, -errno, rootfs, NULL, "mount overlay");
	return make_private(rootfs, error);
}

int mounts_overlay(const struct overlay_mount *mount, struct ph_error *error)
{
	char lower[PATHS_SIZE + 16];
	int result;

	if (strpbrk(mount->base, ":,\\"))
		return error_set(error, -EINVAL, mount->base, NULL,
				 "overlayfs takes no path with ':', ',' or '\\' in it");
	snprintf(lower, sizeof(lower), "%s/lower", mount->base);
	result = mounts_unmount(lower, error); /* of an attempt that was killed */
	if (result >= 0)
		result = attach_shifted(mount->image, lower, mount->id_base, mount->id_count, true,
					error);
	if (result < 0)
		return result;
	result = mount_layers(mount, lower, error);
	umount2(lower, UMOUNT_NOFOLLOW | MNT_DETACH);
	return result;
}
