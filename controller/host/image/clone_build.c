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
#include "controller/host/image/image.h"
#include "controller/host/tree/copy.h"
#include "controller/host/tree/rename.h"
#include "controller/host/tree/subvolume.h"
#include "controller/host/tree/tree.h"

/* The layers' directories. The upper one shows as the container's "/": mode as in the image. */
static int make_layers(const struct config *config, const struct clone *plan, int dir,
		       struct ph_error *error)
{
	struct tree_owner upper = { plan->id_base, plan->id_base, 0755 };
	const struct tree_owner ours = { 0, 0, 0700 };
	struct stat status;
	PH_AUTO_CLOSE int image = -1;
	int result = image_open_rootfs(config, plan->image, &image, error);

	if (result < 0)
		return result;
	if (fstat(image, &status) == 0)
		upper.mode = status.st_mode & 07777;
	result = tree_make_dirs(dir, "upper", &upper, error);
	if (result >= 0)
		result = tree_make_dirs(dir, "work", &ours, error);
	if (result >= 0)
		result = tree_make_dirs(dir, "lower", &ours, error);
	if (result >= 0)
		result = tree_make_dirs(dir, "rootfs", &ours, error);
	return result < 0 ? result : 0;
}

/* A shifted copy, which becomes rootfs only when it is whole. */
static int make_copy(const struct config *config, const struct clone *plan, int dir,
		     struct ph_error *error)
{
	const struct tree_copy options = {
		.id_base = plan->id_base,
		.id_count = plan->id_count,
		.reflink = plan->method == CLONE_REFLINK,
	};
	const struct tree_owner owner = { 0, 0, 0700 };
	PH_AUTO_CLOSE int image = -1;
	PH_AUTO_CLOSE int target = -1;
	int result = image_open_rootfs(config, plan->image, &image, error);

	if (result == 0)
		result = tree_make_dirs(dir, CLONE_PART_PARTIAL, &owner, error);
	if (result >= 0)
		result = tree_open_dir(dir, CLONE_PART_PARTIAL, &target, error);
	if (result == 0)
		result = tree_copy(image, target, &options, error);
	if (result != 0)
		return result;
	result = rename_new(dir, CLONE_PART_PARTIAL, dir, "rootfs");
	return result < 0 ? error_errno(error, result, plan->name, NULL, "rename the copy") : 0;
}

/*
 * The snapshot has setuid files of the host's root and is writable for the container's: only root
 * of the host gets to it, but for the mount with shifted ids.
 */
static int make_snapshot(const struct config *config, const struct clone *plan, int dir,
			 struct ph_error *error)
{
	const struct tree_owner ours = { 0, 0, 0700 };
	PH_AUTO_CLOSE int image = -1;
	PH_AUTO_CLOSE int parent = -1;
	int result = image_open_rootfs(config, plan->image, &image, error);

	if (result == 0)
		result = tree_make_dirs(dir, CLONE_PART_SNAPSHOT, &ours, error);
	if (result >= 0)
		result = tree_open_dir(dir, CLONE_PART_SNAPSHOT, &parent, error);
	if (result < 0)
		return result;
	result = subvolume_snapshot(image, parent, "rootfs");
	if (result < 0)
		return error_errno(error, result, plan->image, NULL, "snapshot the image");
	result = tree_make_dirs(dir, "rootfs", &ours, error);
	return result < 0 ? result : 0;
}

int clone_build_open_snapshot(int dir, int *ret_root, struct ph_error *error)
{
	return tree_open_dir(dir, CLONE_PART_SNAPSHOT "/rootfs", ret_root, error);
}

int clone_build_tree(const struct config *config, const struct clone *plan, int dir,
		     struct ph_error *error)
{
	switch (plan->method) {
	case CLONE_OVERLAY:
		return make_layers(config, plan, dir, error);
	case CLONE_SNAPSHOT:
		return make_snapshot(config, plan, dir, error);
	default:
		return make_copy(config, plan, dir, error);
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
static int open_own(const struct config *config, const struct clone *plan, int dir, int *ret_root,
		    uint32_t *ret_owner, struct ph_error *error)
{
	bool is_snapshot = plan->method == CLONE_SNAPSHOT;

	/* Through a mount with shifted ids the host's root makes no files: it has no id there. */
	*ret_owner = is_snapshot ? 0 : plan->id_base;
	return is_snapshot ? clone_build_open_snapshot(dir, ret_root, error) :
			     clone_open_rootfs(config, plan->name, ret_root, error);
}

int clone_build_personal(const struct config *config, const struct clone_request *request,
			 const struct clone *plan, int dir, struct ph_error *error)
{
	PH_AUTO_FREE char *hostname = ph_format("%s\n", request->name);
	PH_AUTO_FREE char *hosts = ph_format("127.0.0.1\tlocalhost\n"
					     "127.0.1.1\t%s\n"
					     "::1\tlocalhost ip6-localhost ip6-loopback\n"
					     "ff02::1\tip6-allnodes\n"
					     "ff02::2\tip6-allrouters\n",
					     request->name);
	PH_AUTO_CLOSE int root = -1;
	uint32_t owner;
	int result = open_own(config, plan, dir, &root, &owner, error);

	if (result == 0)
		result = put_file(root, "etc/hostname", hostname, owner, error);
	if (result == 0)
		result = put_file(root, "etc/hosts", hosts, owner, error);
	if (result == 0 && request->resolv_conf)
		result = put_file(root, "etc/resolv.conf", request->resolv_conf, owner, error);
	return result;
}
