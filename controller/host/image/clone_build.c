/*
 * An overlay is nothing but directories; a snapshot is there at once or not at all; a copy becomes
 * rootfs by a rename when it is whole.
 */
#include "controller/host/image/clone_build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/image/clone_dir.h"
#include "controller/host/image/image.h"
#include "controller/host/tree/copy.h"
#include "controller/host/tree/rename.h"
#include "controller/host/tree/subvolume.h"
#include "controller/host/tree/tree.h"

/* The layers' directories. The upper one shows as the container's "/": mode as in the image. */
static int make_layers(const struct config *config, const struct clone *clone,
		       const struct clone_root *root, int base, struct ph_error *error)
{
	struct tree_owner upper = { clone->id_base, clone->id_base, 0755 };
	const struct tree_owner ours = { 0, 0, 0700 };
	struct stat status;
	PH_AUTO_CLOSE int image = -1;
	int result = image_open_rootfs(config, root->image, &image, error);

	if (result < 0)
		return result;
	if (fstat(image, &status) == 0)
		upper.mode = status.st_mode & 07777;
	result = tree_make_dirs(base, "upper", &upper, error);
	if (result >= 0)
		result = tree_make_dirs(base, "work", &ours, error);
	if (result >= 0)
		result = tree_make_dirs(base, "lower", &ours, error);
	if (result >= 0)
		result = tree_make_dirs(base, "rootfs", &ours, error);
	return result < 0 ? result : 0;
}

/* A shifted copy, which becomes rootfs only when it is whole. */
static int make_copy(const struct config *config, const struct clone *clone,
		     const struct clone_root *root, int base, struct ph_error *error)
{
	const struct tree_copy options = {
		.id_base = clone->id_base,
		.id_count = clone->id_count,
		.reflink = root->method == CLONE_REFLINK,
	};
	const struct tree_owner owner = { 0, 0, 0700 };
	PH_AUTO_CLOSE int image = -1;
	PH_AUTO_CLOSE int target = -1;
	int result = image_open_rootfs(config, root->image, &image, error);

	if (result == 0)
		result = tree_make_dirs(base, CLONE_PART_PARTIAL, &owner, error);
	if (result >= 0)
		result = tree_open_dir(base, CLONE_PART_PARTIAL, &target, error);
	if (result == 0)
		result = tree_copy(image, target, &options, error);
	if (result != 0)
		return result;
	result = rename_new(base, CLONE_PART_PARTIAL, base, "rootfs");
	return result < 0 ? error_errno(error, result, clone->name, NULL, "rename the copy") : 0;
}

/*
 * The snapshot has setuid files of the host's root and is writable for the container's: only root
 * of the host gets to it, but for the mount with shifted ids.
 */
static int make_snapshot(const struct config *config, const struct clone_root *root, int base,
			 struct ph_error *error)
{
	const struct tree_owner ours = { 0, 0, 0700 };
	PH_AUTO_CLOSE int image = -1;
	PH_AUTO_CLOSE int parent = -1;
	int result = image_open_rootfs(config, root->image, &image, error);

	if (result == 0)
		result = tree_make_dirs(base, CLONE_PART_SNAPSHOT, &ours, error);
	if (result >= 0)
		result = tree_open_dir(base, CLONE_PART_SNAPSHOT, &parent, error);
	if (result < 0)
		return result;
	result = subvolume_snapshot(image, parent, "rootfs");
	if (result < 0)
		return error_errno(error, result, root->image, NULL, "snapshot the image");
	result = tree_make_dirs(base, "rootfs", &ours, error);
	return result < 0 ? result : 0;
}

int clone_build_open_snapshot(int base, int *ret_root, struct ph_error *error)
{
	return tree_open_dir(base, CLONE_PART_SNAPSHOT "/rootfs", ret_root, error);
}

/* Mounts nothing. */
static int make_tree(const struct config *config, const struct clone *clone,
		     const struct clone_root *root, int base, struct ph_error *error)
{
	switch (root->method) {
	case CLONE_OVERLAY:
		return make_layers(config, clone, root, base, error);
	case CLONE_SNAPSHOT:
		return make_snapshot(config, root, base, error);
	default:
		return make_copy(config, clone, root, base, error);
	}
}

/* Write a file of /etc, in place of whatever the image has there (often a symlink). */
static int put_file(int root, const char *path, const char *text, uint32_t owner_id,
		    struct ph_error *error)
{
	const struct tree_owner owner = { owner_id, owner_id, 0644 };
	struct stat status;
	int result = 0;

	if (tree_stat(root, path, &status) == 0 &&
	    (!S_ISREG(status.st_mode) || status.st_nlink > 1))
		result = S_ISLNK(status.st_mode) || S_ISREG(status.st_mode) ?
				 tree_remove(root, path, error) :
				 error_set(error, -EEXIST, path, NULL,
					   "the image has something else than a file here");
	if (result >= 0)
		result = tree_write_file(root, path, text, strlen(text), &owner, error);
	return result < 0 ? result : 0;
}

/* Where the three files are written, and the id of the container's root there. */
static int open_own(const struct config *config, const struct clone_request *request,
		    const struct clone_root *root, int base, int *ret_root, uint32_t *ret_owner,
		    struct ph_error *error)
{
	char path[PATHS_SIZE];

	/* Through a mount with shifted ids the host's root makes no files: it has no id there. */
	if (root->method == CLONE_SNAPSHOT) {
		*ret_owner = 0;
		return clone_build_open_snapshot(base, ret_root, error);
	}
	*ret_owner = request->id_base;
	clone_dir_path(config, request->name, root->number, "rootfs", path);
	return tree_open_root(path, ret_root, error);
}

static int make_personal(const struct config *config, const struct clone_request *request,
			 const struct clone_root *root, int base, struct ph_error *error)
{
	PH_AUTO_FREE char *hostname = ph_format("%s\n", request->name);
	PH_AUTO_FREE char *hosts = ph_format("127.0.0.1\tlocalhost\n"
					     "127.0.1.1\t%s\n"
					     "::1\tlocalhost ip6-localhost ip6-loopback\n"
					     "ff02::1\tip6-allnodes\n"
					     "ff02::2\tip6-allrouters\n",
					     request->name);
	PH_AUTO_CLOSE int tree = -1;
	uint32_t owner;
	int result = open_own(config, request, root, base, &tree, &owner, error);

	if (result == 0)
		result = put_file(tree, "etc/hostname", hostname, owner, error);
	if (result == 0)
		result = put_file(tree, "etc/hosts", hosts, owner, error);
	if (result == 0 && request->resolv_conf)
		result = put_file(tree, "etc/resolv.conf", request->resolv_conf, owner, error);
	return result;
}

int clone_build(const struct config *config, const struct clone_request *request,
		const struct clone *clone, const struct clone_root *root, int dir,
		struct ph_error *error)
{
	PH_AUTO_CLOSE int base = -1;
	int result = clone_dir_make_base(clone, root->number, dir, &base, error);

	if (result == 0)
		result = make_tree(config, clone, root, base, error);
	if (result == 0)
		result = clone_dir_mount_root(config, clone, root, dir, error);
	return result < 0 ? result : make_personal(config, request, root, base, error);
}
