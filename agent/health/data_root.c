#include "agent/health/data_root.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "agent/health/bounded.h"
#include "agent/health/mounts.h"
#include "agent/system/file.h"
#include "common/cleanup.h"
#include "common/str.h"

#define LOOK_MS 1000
/* Little is less than a twentieth, but no more than this: a twentieth of a big disk is plenty. */
#define LITTLE_SHARE 20
#define LITTLE_BYTES (UINT64_C(2) << 30)
#define LITTLE_INODES UINT64_C(20000)

/* ---- reading ---- */

struct look {
	char path[256];
	struct statvfs status;
	int error_number;
	bool is_done;
};

static void look(void *shared)
{
	struct look *look = shared;

	look->error_number = statvfs(look->path, &look->status) < 0 ? errno : 0;
	look->is_done = true;
}

static void take_status(struct data_root *root, const struct look *look)
{
	if (root->problem == 0 && look->error_number)
		root->problem = -look->error_number;
	if (root->problem < 0)
		return;
	root->is_readonly |= (look->status.f_flag & ST_RDONLY) != 0;
	root->block_bytes = look->status.f_frsize;
	root->blocks = look->status.f_blocks;
	root->blocks_free = look->status.f_bavail;
	root->inodes = look->status.f_files;
	root->inodes_free = look->status.f_favail;
}

void data_root_read(const char *path, const char *in_use, struct data_root *ret_root)
{
	struct look *shared = bounded_alloc(sizeof(*shared));
	PH_AUTO_FREE char *mountinfo = NULL;
	struct mount mount;

	*ret_root = (struct data_root){ 0 };
	text_copy(ret_root->path, sizeof(ret_root->path), path);
	text_copy(ret_root->in_use, sizeof(ret_root->in_use), in_use);
	if (file_read_virtual("/proc/self/mountinfo", MOUNTINFO_MAXIMUM, &mountinfo, NULL) == 0 &&
	    mounts_of(mountinfo, path, &mount)) {
		text_copy(ret_root->filesystem, sizeof(ret_root->filesystem), mount.type);
		ret_root->is_readonly = mount.is_readonly;
	}
	text_copy(shared->path, sizeof(shared->path), path);
	ret_root->problem = bounded_run(look, shared, LOOK_MS, NULL);
	take_status(ret_root, shared);
	bounded_free(shared, sizeof(*shared));
}

/* ---- judging ---- */

#define USABLE "DataRootUsable"
#define HEADROOM "DiskHeadroom"

static bool is_network(const char *type)
{
	static const char *const types[] = { "nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "afs" };

	for (size_t i = 0; i < ARRAY_LENGTH(types); i++)
		if (text_equal(type, types[i]))
			return true;
	return false;
}

static bool is_layered(const char *type)
{
	return text_equal(type, "overlay") || text_equal(type, "fuse") ||
	       text_has_prefix(type, "fuse.");
}

static struct judgement judge_filesystem(const struct data_root *root, const char *driver)
{
	static const char remedy[] = "put Phoenix's state_dir on a local disk with ext4, xfs, "
				     "btrfs or ZFS";

	if (is_network(root->filesystem))
		return judgement(USABLE, JUDGEMENT_FALSE, "OnNetwork", remedy,
				 "%.128s lies on %.31s: neither whiteouts nor owners are kept "
				 "reliably",
				 root->path, root->filesystem);
	if (is_layered(root->filesystem) && text_has_prefix(driver, "overlay"))
		return judgement(USABLE, JUDGEMENT_FALSE, "OnOverlay", remedy,
				 "%.128s lies on %.31s, and overlay must not be stacked on it",
				 root->path, root->filesystem);
	if (is_layered(root->filesystem))
		return judgement(USABLE, JUDGEMENT_TRUE, "OnLayers", "",
				 "%.128s lies on %.31s: it works with this driver, but slower",
				 root->path, root->filesystem);
	return judgement(USABLE, JUDGEMENT_TRUE, "Writable", "", "%.128s on %.31s", root->path,
			 root->filesystem);
}

struct judgement data_root_judge(const struct data_root *root, const char *driver)
{
	if (root->problem == -ETIMEDOUT || root->problem == -EBUSY)
		return judgement(USABLE, JUDGEMENT_FALSE, "Hangs",
				 "look at the disk or daemon behind that file system on the host",
				 "%.128s on %.31s did not answer within %d ms", root->path,
				 root->filesystem, LOOK_MS);
	if (root->problem < 0)
		return judgement(USABLE, JUDGEMENT_FALSE, "Missing",
				 "restart the container: the host mounts its data-root again",
				 "%.128s: %s", root->path, strerror(-root->problem));
	if (root->in_use[0] && !text_equal(root->in_use, root->path))
		return judgement(USABLE, JUDGEMENT_FALSE, "Moved",
				 "take data-root out of daemon.json (and --data-root out of the "
				 "unit), then restart dockerd",
				 "dockerd keeps its data in %.128s and not in %.80s", root->in_use,
				 root->path);
	if (root->is_readonly)
		return judgement(USABLE, JUDGEMENT_FALSE, "ReadOnly",
				 "look for disk errors in the host's kernel log; then mount it "
				 "writable again",
				 "%.128s on %.31s is mounted read-only", root->path,
				 root->filesystem);
	return judge_filesystem(root, driver);
}

static bool is_little(uint64_t left, uint64_t total, uint64_t enough)
{
	return total > 0 && left < enough && left < total / LITTLE_SHARE;
}

struct judgement data_root_judge_headroom(const struct data_root *root)
{
	static const char remedy[] = "docker system prune in the container, or more room for "
				     "Phoenix's state_dir";
	uint64_t unit = root->block_bytes ? root->block_bytes : 1;

	if (root->problem < 0)
		return judgement(HEADROOM, JUDGEMENT_UNKNOWN, "NotSeen", "see DataRootUsable",
				 "%.128s: %s", root->path, strerror(-root->problem));
	if (is_little(root->blocks_free, root->blocks, LITTLE_BYTES / unit))
		return judgement(HEADROOM, JUDGEMENT_FALSE, "BlocksLow", remedy,
				 "%" PRIu64 " of %" PRIu64 " MiB are free in %.128s",
				 root->blocks_free * unit >> 20, root->blocks * unit >> 20,
				 root->path);
	if (is_little(root->inodes_free, root->inodes, LITTLE_INODES))
		return judgement(HEADROOM, JUDGEMENT_FALSE, "InodesLow", remedy,
				 "%" PRIu64 " of %" PRIu64 " inodes are free in %.128s: no new "
				 "files, however many bytes are left",
				 root->inodes_free, root->inodes, root->path);
	return judgement(HEADROOM, JUDGEMENT_TRUE, "Enough", "",
			 "%" PRIu64 " of %" PRIu64 " MiB and %" PRIu64 " of %" PRIu64
			 " inodes are free",
			 root->blocks_free * unit >> 20, root->blocks * unit >> 20,
			 root->inodes_free, root->inodes);
}
