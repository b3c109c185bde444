/*
 * A chown takes setuid bits and file capabilities away, so owners come first, then the mode, then
 * the capability; its root id says in whose user namespace it counts and is shifted like an owner.
 */
#include "controller/host/tree/copy_file.h"

#include <endian.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"

#define XATTR_NAMES_MAXIMUM 65536 /* XATTR_LIST_MAX */
#define XATTR_VALUE_MAXIMUM 65536 /* XATTR_SIZE_MAX */
#define ACL_USER_TAG 0x02
#define ACL_GROUP_TAG 0x08

/* As in the kernel's posix_acl_xattr.h, which user space headers do not have. */
struct acl_entry {
	uint16_t tag;
	uint16_t permissions;
	uint32_t id;
};

static int copy_range(int source, int target, off_t from, off_t to)
{
	char buffer[65536];

	while (from < to) {
		size_t want = (size_t)(to - from) < sizeof(buffer) ? (size_t)(to - from) :
								     sizeof(buffer);
		ssize_t got = pread(source, buffer, want, from);

		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		for (ssize_t done = 0; done < got;) {
			ssize_t wrote = pwrite(target, buffer + done, (size_t)(got - done),
					       from + done);

			if (wrote < 0)
				return -errno;
			done += wrote;
		}
		from += got;
	}
	return 0;
}

int copy_contents(int source, int target, const struct stat *status, bool reflink)
{
	off_t data = 0, hole;

	if (reflink)
		return ioctl(target, FICLONE, source) < 0 ? -errno : 0;
	if (ftruncate(target, status->st_size) < 0)
		return -errno;
	while ((data = lseek(source, data, SEEK_DATA)) >= 0) {
		int result;

		hole = lseek(source, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		result = copy_range(source, target, data, hole);
		if (result < 0)
			return result;
		data = hole;
	}
	return errno == ENXIO ? 0 : -errno; /* ENXIO: no more data */
}

int copy_shift_id(const struct tree_copy *options, uint32_t id, uint32_t *ret_id)
{
	if (options->id_count && id >= options->id_count)
		return -EOVERFLOW;
	*ret_id = id + (options->id_count ? options->id_base : 0);
	return 0;
}

static int shift_acl(const struct tree_copy *options, char *value, size_t size)
{
	for (size_t at = sizeof(uint32_t); at + sizeof(struct acl_entry) <= size;
	     at += sizeof(struct acl_entry)) {
		struct acl_entry entry;
		uint32_t id;

		memcpy(&entry, value + at, sizeof(entry));
		if (le16toh(entry.tag) != ACL_USER_TAG && le16toh(entry.tag) != ACL_GROUP_TAG)
			continue;
		if (copy_shift_id(options, le32toh(entry.id), &id) < 0)
			return -EOVERFLOW;
		entry.id = htole32(id);
		memcpy(value + at, &entry, sizeof(entry));
	}
	return 0;
}

/* Revision 2 belongs to the host's root; revision 3 names the root id it belongs to. */
static int shift_capability(const struct tree_copy *options, const char *value, size_t size,
			    struct vfs_ns_cap_data *ret_capability)
{
	struct vfs_ns_cap_data capability = { 0 };
	uint32_t revision, root;

	if (size != sizeof(struct vfs_cap_data) && size != sizeof(struct vfs_ns_cap_data))
		return -EINVAL;
	memcpy(&capability, value, size);
	revision = le32toh(capability.magic_etc);
	if (copy_shift_id(options, le32toh(capability.rootid), &root) < 0)
		return -EOVERFLOW;
	capability.magic_etc =
		htole32(VFS_CAP_REVISION_3 | (revision & ~(uint32_t)VFS_CAP_REVISION_MASK));
	capability.rootid = htole32(root);
	*ret_capability = capability;
	return 0;
}

/* Copy one attribute of those that mean something in a container; others are left behind. */
static int copy_xattr(int source, int target, const char *name, const struct tree_copy *options)
{
	PH_AUTO_FREE char *value = NULL;
	ssize_t size = fgetxattr(source, name, NULL, 0);
	int result = 0;

	if (size < 0 || size > XATTR_VALUE_MAXIMUM)
		return size < 0 ? -errno : -E2BIG;
	value = ph_alloc((size_t)size + 1);
	size = fgetxattr(source, name, value, (size_t)size);
	if (size < 0)
		return -errno;
	if (strcmp(name, "security.capability") == 0 && options->id_count) {
		struct vfs_ns_cap_data capability;

		result = shift_capability(options, value, (size_t)size, &capability);
		if (result == 0 && fsetxattr(target, name, &capability, sizeof(capability), 0) < 0)
			result = -errno;
		return result;
	}
	if (text_has_prefix(name, "system.posix_acl_"))
		result = shift_acl(options, value, (size_t)size);
	if (result == 0 && fsetxattr(target, name, value, (size_t)size, 0) < 0)
		result = -errno;
	return result;
}

static int copy_xattrs(int source, int target, const struct tree_copy *options)
{
	PH_AUTO_FREE char *names = NULL;
	ssize_t size = flistxattr(source, NULL, 0);
	int result = 0;

	if (size <= 0)
		return size < 0 && errno != EOPNOTSUPP ? -errno : 0;
	if (size > XATTR_NAMES_MAXIMUM)
		return -E2BIG;
	names = ph_alloc((size_t)size + 1);
	size = flistxattr(source, names, (size_t)size);
	if (size < 0)
		return -errno;
	for (char *name = names; name < names + size && result == 0; name += strlen(name) + 1)
		if (strcmp(name, "security.capability") == 0 || text_has_prefix(name, "user.") ||
		    text_has_prefix(name, "system.posix_acl_"))
			result = copy_xattr(source, target, name, options);
	return result;
}

int copy_attributes(int source, int target, const struct stat *status,
		    const struct tree_copy *options)
{
	struct timespec times[2] = { status->st_atim, status->st_mtim };
	uint32_t uid, gid;
	int result;

	if (copy_shift_id(options, status->st_uid, &uid) < 0 ||
	    copy_shift_id(options, status->st_gid, &gid) < 0)
		return -EOVERFLOW;
	if (fchown(target, uid, gid) < 0 || fchmod(target, status->st_mode & 07777) < 0)
		return -errno;
	result = copy_xattrs(source, target, options);
	if (result < 0)
		return result;
	return futimens(target, times) < 0 ? -errno : 0;
}
