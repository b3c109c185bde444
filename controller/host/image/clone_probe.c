/*
 * The methods are tried, not deduced from versions: an overlay with an idmapped lower layer needs
 * the kernel, the file system of the image and the one of the upper layer to agree. The trial runs
 * in a child with a mount namespace of its own, so that its mounts go with it.
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
#include "controller/host/tree/tree.h"

#define TRIAL_BASE 1000000
#define TRIAL_COUNT 65536

#define TRIAL ".probe" /* in STATE/containers; no name of a container begins with a dot */

/* Where the trial takes place. Its lock on the parent keeps others from trying meanwhile. */
struct trial {
	int containers; /* owned; locked */
	int dir;        /* owned */
	struct overlay_mount mount;
};

static int make_file(int root, const char *path, struct ph_error *error)
{
	const struct tree_owner owner = { 0, 0, 0644 };

	return tree_write_file(root, path, "phoenix", 7, &owner, error);
}

static int trial_begin(const struct config *config, struct trial *trial, struct ph_error *error)
{
	static const char *const parts[] = { "image", "lower", "upper", "work", "rootfs" };
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
	if (result >= 0)
		result = tree_open_dir(trial->dir, "image", &trial->mount.image, error);
	if (result >= 0)
		result = make_file(trial->mount.image, "file", error);
	return result < 0 ? result : 0;
}

static void trial_end(struct trial *trial)
{
	cleanup_close(&trial->mount.image);
	cleanup_close(&trial->dir);
	if (trial->containers >= 0)
		tree_remove(trial->containers, TRIAL, NULL);
	cleanup_close(&trial->containers);
}

/* In the overlay the file must belong to the range, and a copy-up must keep that. */
static int check_overlay(const struct trial *trial, struct ph_error *error)
{
	char path[PATHS_SIZE + 16];
	struct stat status = { 0 };
	PH_AUTO_CLOSE int file = -1;

	snprintf(path, sizeof(path), "%s/rootfs/file", trial->mount.base);
	file = open(path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
	if (file < 0 || write(file, "!", 1) != 1)
		return error_errno(error, -errno, NULL, NULL, "write through the overlay");
	if (tree_stat(trial->dir, "upper/file", &status) < 0 || status.st_uid != TRIAL_BASE)
		return error_set(error, -EIO, NULL, NULL,
				 "a copied-up file belongs to %u instead of %u", status.st_uid,
				 TRIAL_BASE);
	return 0;
}

/*
 * The child's part; its reason goes back as text, "" for success. The image is opened again:
 * open_tree takes only mounts of its caller's namespace.
 */
static void try_overlay_in_namespace(struct trial *trial, int output)
{
	struct ph_error error = { 0 };
	char image[PATHS_SIZE + 16];
	int result = 0;

	snprintf(image, sizeof(image), "%s/image", trial->mount.base);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		result = error_errno(&error, -errno, NULL, NULL, "mount namespace");
	if (result == 0)
		result = tree_open_root(image, &trial->mount.image, &error);
	if (result == 0)
		result = mounts_overlay(&trial->mount, &error);
	if (result == 0)
		result = check_overlay(trial, &error);
	_exit(write(output, error.why, strlen(error.why) + 1) > 0 ? 0 : 1);
}

static void try_overlay(struct trial *trial, char reason[256])
{
	struct utsname system;
	char why[176] = "the trial ended without a result";
	int ends[2];
	pid_t child;

	trial->mount.id_base = TRIAL_BASE;
	trial->mount.id_count = TRIAL_COUNT;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	child = fork();
	if (child == 0)
		try_overlay_in_namespace(trial, ends[1]);
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
		snprintf(reason, 256, "%s (kernel %.40s; idmapped layers need 5.19)", why,
			 system.release);
	else
		reason[0] = '\0';
}

static void try_reflink(const struct trial *trial, char reason[256])
{
	PH_AUTO_CLOSE int source = openat(trial->mount.image, "file", O_RDONLY | O_CLOEXEC);
	PH_AUTO_CLOSE int target =
		openat(trial->dir, "copy", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	reason[0] = '\0';
	if (source < 0 || target < 0 || ioctl(target, FICLONE, source) < 0)
		snprintf(reason, 256, "the file system shares no blocks: %s", strerror(errno));
}

int clone_probe(const struct config *config, struct clone_probe *ret_probe,
		struct ph_error *error)
{
	struct trial trial = { .containers = -1, .dir = -1, .mount.image = -1 };
	struct clone_probe probe = { .method = CLONE_COPY };
	int result = trial_begin(config, &trial, error);

	if (result == 0) {
		snprintf(probe.overlay_reason, sizeof(probe.overlay_reason), "not tried");
		try_reflink(&trial, probe.reflink_reason);
		try_overlay(&trial, probe.overlay_reason);
		if (!probe.overlay_reason[0])
			probe.method = CLONE_OVERLAY;
		else if (!probe.reflink_reason[0])
			probe.method = CLONE_REFLINK;
		*ret_probe = probe;
	}
	trial_end(&trial);
	return result < 0 ? (error_prefix(error, "probe clone methods"), result) : 0;
}
