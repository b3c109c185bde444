/*
 * The methods are tried, not deduced from versions or names: an overlay with an idmapped lower layer
 * needs the kernel, the file system of the image and the one of the upper layer to agree. So the
 * trial's image lies among the images and its clones among the containers. What mounts runs in a
 * child with a mount namespace of its own, so that its mounts go with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/host/image/clone.h"
#include "controller/host/image/mounts.h"
#include "controller/host/tree/paths.h"
#include "controller/host/tree/subvolume.h"
#include "controller/host/tree/tree.h"

#define TRIAL_BASE 1000000
#define TRIAL_COUNT 65536

/* In STATE/containers and STATE/images: no name of a container or an image begins with a dot. */
#define TRIAL ".probe"

/* Where the trial takes place. Its lock on the containers keeps others from trying meanwhile. */
struct trial {
	int containers; /* owned; locked */
	int images;     /* owned */
	int dir;        /* owned; in containers */
	char image_path[PATHS_SIZE];
	struct overlay_mount mount;
};

static int make_file(int root, const char *path, struct ph_error *error)
{
	const struct tree_owner owner = { 0, 0, 0644 };

	return tree_write_file(root, path, "phoenix", 7, &owner, error);
}

/* An image of one file. */
static int make_image(const struct config *config, struct trial *trial, struct ph_error *error)
{
	const struct tree_owner owner = { 0, 0, 0755 };
	int result = paths_open(config, PATHS_IMAGES, &trial->images, error);

	if (result == 0)
		result = paths_format(config, PATHS_IMAGES, NULL, TRIAL, trial->image_path, error);
	if (result == 0)
		result = tree_remove(trial->images, TRIAL, error); /* of a killed one */
	if (result >= 0)
		result = tree_make_dirs(trial->images, TRIAL, &owner, error);
	if (result >= 0)
		result = tree_open_dir(trial->images, TRIAL, &trial->mount.image, error);
	return result < 0 ? result : make_file(trial->mount.image, "file", error);
}

static int trial_begin(const struct config *config, struct trial *trial, struct ph_error *error)
{
	static const char *const parts[] = { "lower", "upper", "work", "rootfs" };
	const struct tree_owner owner = { 0, 0, 0700 };
	char below[32];
	int result = paths_open(config, PATHS_CONTAINERS, &trial->containers, error);

	if (result < 0)
		return result;
	if (flock(trial->containers, LOCK_EX) < 0)
		return error_errno(error, -errno, TRIAL, NULL, "lock");
	result = paths_format(config, PATHS_CONTAINERS, NULL, TRIAL, trial->mount.base, error);
	if (result == 0)
		result = tree_remove(trial->containers, TRIAL, error); /* of a killed one */
	for (size_t i = 0; i < ARRAY_LENGTH(parts) && result >= 0; i++) {
		snprintf(below, sizeof(below), "%s/%s", TRIAL, parts[i]);
		result = tree_make_dirs(trial->containers, below, &owner, error);
	}
	if (result >= 0)
		result = tree_open_dir(trial->containers, TRIAL, &trial->dir, error);
	return result < 0 ? result : make_image(config, trial, error);
}

static void trial_end(struct trial *trial)
{
	cleanup_close(&trial->mount.image);
	cleanup_close(&trial->dir);
	if (trial->images >= 0)
		tree_remove(trial->images, TRIAL, NULL);
	if (trial->containers >= 0)
		tree_remove(trial->containers, TRIAL, NULL);
	cleanup_close(&trial->images);
	cleanup_close(&trial->containers);
}

/* ---- what mounts, in a namespace of its own --------------------------------------------------- */

/* The file must belong to the range where it is mounted, and can be written to. Its owner there. */
static int write_to_file(const struct trial *trial, struct ph_error *error)
{
	char path[PATHS_SIZE + 16];
	struct stat status = { 0 };
	PH_AUTO_CLOSE int file = -1;

	snprintf(path, sizeof(path), "%s/rootfs/file", trial->mount.base);
	file = open(path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
	if (file < 0 || write(file, "!", 1) != 1 || fstat(file, &status) < 0)
		return error_errno(error, -errno, NULL, NULL, "write to a file of the clone");
	if (status.st_uid != TRIAL_BASE)
		return error_set(error, -EIO, NULL, NULL, "a file belongs to %u instead of %u",
				 status.st_uid, TRIAL_BASE);
	return 0;
}

/* The upper layer has to hide a file of the image: ZFS 2.1 mounts an overlay and cannot do it. */
static int rename_file(const struct trial *trial, struct ph_error *error)
{
	PH_AUTO_CLOSE int root = -1;
	char path[PATHS_SIZE + 16];
	int result;

	snprintf(path, sizeof(path), "%s/rootfs", trial->mount.base);
	result = tree_open_root(path, &root, error);
	if (result == 0 && renameat(root, "file", root, "other") < 0)
		result = error_errno(error, -errno, NULL, NULL, "rename a file of the image");
	return result;
}

/*
 * The image is opened again, as is the snapshot: open_tree takes only mounts of its caller's
 * namespace. A copy-up must keep the owner on disk, too.
 */
static int attempt_overlay(struct trial *trial, struct ph_error *error)
{
	struct stat status = { 0 };
	int result = tree_open_root(trial->image_path, &trial->mount.image, error);

	if (result == 0)
		result = mounts_overlay(&trial->mount, error);
	if (result == 0)
		result = write_to_file(trial, error);
	if (result == 0 && (tree_stat(trial->dir, "upper/file", &status) < 0 ||
			    status.st_uid != TRIAL_BASE))
		result = error_set(error, -EIO, NULL, NULL,
				   "a copied-up file belongs to %u instead of %u", status.st_uid,
				   TRIAL_BASE);
	return result < 0 ? result : rename_file(trial, error);
}

static int attempt_snapshot(struct trial *trial, struct ph_error *error)
{
	char path[PATHS_SIZE + 16];
	PH_AUTO_CLOSE int snapshot = -1;
	int result;

	snprintf(path, sizeof(path), "%s/snapshot", trial->mount.base);
	result = tree_open_root(path, &snapshot, error);
	snprintf(path, sizeof(path), "%s/rootfs", trial->mount.base);
	if (result == 0)
		result = mounts_shifted(snapshot, path, TRIAL_BASE, TRIAL_COUNT, error);
	return result < 0 ? result : write_to_file(trial, error);
}

/* The child's part; its reason goes back as text, "" for success. */
static void __attribute__((noreturn))
run_attempt(struct trial *trial, int (*attempt)(struct trial *trial, struct ph_error *error),
	    int output)
{
	struct ph_error error = { 0 };
	int result = 0;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		result = error_errno(&error, -errno, NULL, NULL, "mount namespace");
	if (result == 0)
		attempt(trial, &error);
	_exit(write(output, error.why, strlen(error.why) + 1) > 0 ? 0 : 1);
}

static void try_attempt(struct trial *trial,
			int (*attempt)(struct trial *trial, struct ph_error *error),
			const char *needs, char reason[256])
{
	struct utsname system;
	char why[160] = "the trial ended without a result";
	int ends[2];
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	child = fork();
	if (child == 0)
		run_attempt(trial, attempt, ends[1]);
	close(ends[1]);
	if (child > 0) {
		ssize_t got = read(ends[0], why, sizeof(why) - 1);

		if (got > 0)
			why[got] = '\0';
		waitpid(child, NULL, 0);
	}
	close(ends[0]);
	uname(&system);
	if (why[0])
		snprintf(reason, 256, "%s (kernel %.40s; %s)", why, system.release, needs);
	else
		reason[0] = '\0';
}

static void try_overlay(struct trial *trial, char reason[256])
{
	trial->mount.id_base = TRIAL_BASE;
	trial->mount.id_count = TRIAL_COUNT;
	try_attempt(trial, attempt_overlay, "idmapped layers need 5.19, on ZFS its 2.2", reason);
}

/* A subvolume among the images, as an import makes it, and a snapshot of it among the clones. */
static int make_snapshot(const struct trial *trial)
{
	PH_AUTO_CLOSE int subvolume = -1;
	int result = subvolume_make(trial->mount.image, "subvolume");

	if (result == 0)
		result = tree_open_dir(trial->mount.image, "subvolume", &subvolume, NULL);
	if (result == 0)
		result = make_file(subvolume, "file", NULL);
	return result < 0 ? result : subvolume_snapshot(subvolume, trial->dir, "snapshot");
}

static void try_snapshot(struct trial *trial, char reason[256])
{
	int result = make_snapshot(trial);

	if (result == -EOPNOTSUPP)
		snprintf(reason, 256, "the images are not on btrfs");
	else if (result == -EXDEV)
		snprintf(reason, 256, "images and containers are on different file systems");
	else if (result < 0)
		snprintf(reason, 256, "snapshot: %s", strerror(-result));
	else
		try_attempt(trial, attempt_snapshot, "idmapped btrfs needs 5.15", reason);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static void try_reflink(struct trial *trial, char reason[256])
{
	PH_AUTO_CLOSE int source = openat(trial->mount.image, "file", O_RDONLY | O_CLOEXEC);
	PH_AUTO_CLOSE int target =
		openat(trial->dir, "copy", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	reason[0] = '\0';
	if (source < 0 || target < 0 || ioctl(target, FICLONE, source) < 0)
		snprintf(reason, 256, "the file system shares no blocks: %s", strerror(errno));
}

/* Try the methods in their order: all, or up to the first that works. */
static int probe_methods(const struct config *config, bool all, struct clone_probe *ret_probe,
			 struct ph_error *error)
{
	static void (*const tries[CLONE_METHODS])(struct trial *trial, char reason[256]) = {
		[CLONE_OVERLAY] = try_overlay,
		[CLONE_SNAPSHOT] = try_snapshot,
		[CLONE_REFLINK] = try_reflink,
	};
	struct trial trial = { .containers = -1, .images = -1, .dir = -1, .mount.image = -1 };
	struct clone_probe probe = { .method = CLONE_AUTO };
	int result = trial_begin(config, &trial, error);

	for (enum clone_method method = CLONE_OVERLAY; result == 0 && method < CLONE_METHODS; method++) {
		char *reason = probe.reasons[method];
		bool is_needed = all || probe.method == CLONE_AUTO;

		if (!is_needed || tries[method])
			snprintf(reason, sizeof(probe.reasons[0]), "not tried");
		if (is_needed && tries[method])
			tries[method](&trial, reason);
		if (probe.method == CLONE_AUTO && !reason[0])
			probe.method = method;
	}
	trial_end(&trial);
	if (result < 0)
		return error_prefix(error, "probe clone methods"), result;
	*ret_probe = probe;
	return 0;
}

int clone_probe(const struct config *config, struct clone_probe *ret_probe,
		struct ph_error *error)
{
	return probe_methods(config, true, ret_probe, error);
}

int clone_probe_first(const struct config *config, struct clone_probe *ret_probe,
		      struct ph_error *error)
{
	return probe_methods(config, false, ret_probe, error);
}
