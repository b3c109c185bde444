/*
 * One child asks the mounts one after the other and writes down each answer. It notes "hangs" before
 * it asks: when it does not come back that is what stands there, and the next child goes on behind
 * it, until the time is up. Whose mount it is stands in Docker's own files; dockerd is not asked, for
 * it may be the one that hangs.
 */
#include "agent/health/storage_mounts.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>

#include "agent/docker/daemon_json.h"
#include "agent/health/bounded.h"
#include "agent/system/file.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/str.h"

#define MOUNT_MS 1000 /* an answer that comes later is as good as none */
#define ALL_MS 2000
#define NAMES_MS 1000
#define CONFIG_MAXIMUM (256 * 1024)
#define LAYERS_MAXIMUM 100000
#define NAMED_MAXIMUM 8 /* mounts that are named; a message has no room for more */

/* ---- asking ---- */

struct answers {
	size_t next;
	uint64_t end_ms; /* then no further one is asked */
	size_t count;
	struct {
		char point[256];
		enum mount_answer answer;
		int error_number;
	} items[MOUNTS_MAXIMUM];
};

static void ask(void *shared)
{
	struct answers *answers = shared;

	while (answers->next < answers->count && clock_monotonic_ms() < answers->end_ms) {
		size_t i = answers->next;
		struct statfs status;

		answers->items[i].answer = MOUNT_HANGS;
		__atomic_store_n(&answers->next, i + 1, __ATOMIC_RELAXED);
		answers->items[i].error_number =
			statfs(answers->items[i].point, &status) < 0 ? errno : 0;
		switch (answers->items[i].error_number) {
		case 0:
		case ENOENT: /* it has gone in the meantime */
		case EACCES: /* a user's own FUSE mount lets nobody else in, root neither */
			answers->items[i].answer = MOUNT_ALIVE;
			break;
		default:
			answers->items[i].answer = MOUNT_DEAD;
		}
	}
}

/* Ask them all, each child behind the mount that the one before hangs in. */
static int ask_all(struct answers *answers)
{
	int r = 0;

	answers->end_ms = clock_monotonic_ms() + ALL_MS;
	while (answers->next < answers->count && clock_monotonic_ms() < answers->end_ms) {
		r = bounded_run(ask, answers, MOUNT_MS, &answers->next);
		if (r < 0 && r != -ETIMEDOUT)
			return r;
	}
	return 0;
}

/* ---- whose it is ---- */

struct naming {
	char data_root[256];
	char driver[64]; /* DATA_ROOT/DRIVER/LAYER/merged */
	char layer[80];
	char id[65];
	char name[65];
};

static bool is_hexadecimal(const char *text)
{
	return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

static void read_name(struct naming *naming)
{
	PH_AUTO_FREE char *text = NULL;
	size_t length = 0;
	char path[600], name[80];

	snprintf(path, sizeof(path), "%s/containers/%s/config.v2.json", naming->data_root,
		 naming->id);
	if (file_read(path, CONFIG_MAXIMUM, &text, &length, NULL) < 0)
		return;
	daemon_json_value(text, length, "Name", name, sizeof(name));
	text_copy(naming->name, sizeof(naming->name), name + (name[0] == '/'));
}

/* image/DRIVER/layerdb/mounts/CONTAINER/mount-id holds the name of the container's layer. */
static void find_container(void *shared)
{
	struct naming *naming = shared;
	PH_AUTO_DIR DIR *directory = NULL;
	const struct dirent *entry;
	size_t count = 0;
	char path[700];

	snprintf(path, sizeof(path), "%s/image/%s/layerdb/mounts", naming->data_root,
		 naming->driver);
	directory = opendir(path);
	while (directory && count++ < LAYERS_MAXIMUM && (entry = readdir(directory))) {
		PH_AUTO_FREE char *text = NULL;

		if (!is_hexadecimal(entry->d_name))
			continue;
		snprintf(path, sizeof(path), "%s/image/%s/layerdb/mounts/%s/mount-id",
			 naming->data_root, naming->driver, entry->d_name);
		if (file_read(path, 128, &text, NULL, NULL) < 0 ||
		    !text_equal(text, naming->layer))
			continue;
		text_copy(naming->id, sizeof(naming->id), entry->d_name);
		read_name(naming);
		return;
	}
}

static void name_mount(const char *data_root, struct storage_mount *mount)
{
	struct naming *naming = bounded_alloc(sizeof(*naming));
	const char *rest = mount->mount.point + strlen(data_root) + 1;

	text_copy(naming->data_root, sizeof(naming->data_root), data_root);
	if (sscanf(rest, "%63[^/]/%79[^/]/merged", naming->driver, naming->layer) == 2)
		bounded_run(find_container, naming, NAMES_MS, NULL);
	/* A child that was killed while it wrote has ended them: they were zero, and the last byte is. */
	text_copy(mount->container, sizeof(mount->container), naming->id);
	text_copy(mount->container_name, sizeof(mount->container_name), naming->name);
	bounded_free(naming, sizeof(*naming));
}

static void name_sick(const char *data_root, struct storage_mounts *mounts)
{
	size_t named = 0;

	for (size_t i = 0; i < mounts->count && named < NAMED_MAXIMUM; i++) {
		struct storage_mount *mount = &mounts->items[i];

		if (mount->answer != MOUNT_HANGS && mount->answer != MOUNT_DEAD)
			continue;
		name_mount(data_root, mount);
		named++;
	}
}

/* ---- all of it ---- */

static bool in_user_namespace(void)
{
	PH_AUTO_FREE char *map = NULL;
	unsigned long long inside, outside, count;

	return file_read_virtual("/proc/self/uid_map", 4096, &map, NULL) == 0 &&
	       sscanf(map, "%llu %llu %llu", &inside, &outside, &count) == 3 &&
	       (inside != 0 || outside != 0 || count != 4294967295ULL);
}

static void take(struct storage_mounts *result, const struct mounts *mounts,
		 const struct answers *answers)
{
	result->items = ph_alloc_array(mounts->count, sizeof(*result->items));
	for (size_t i = 0; i < mounts->count; i++) {
		struct storage_mount *item = &result->items[result->count++];

		item->mount = mounts->items[i];
		item->answer = answers->items[i].answer;
		item->error_number = answers->items[i].error_number;
	}
}

void storage_mounts_read(const char *data_root, struct storage_mounts *ret_mounts)
{
	PH_AUTO_MOUNTS struct mounts mounts = { 0 };
	PH_AUTO_FREE char *mountinfo = NULL;
	struct answers *answers;

	*ret_mounts = (struct storage_mounts){ .in_user_namespace = in_user_namespace() };
	ret_mounts->problem = file_read_virtual("/proc/self/mountinfo", MOUNTINFO_MAXIMUM,
						&mountinfo, NULL);
	if (ret_mounts->problem < 0)
		return;
	mounts_below(mountinfo, data_root, &mounts);
	if (!mounts.count)
		return;
	answers = bounded_alloc(sizeof(*answers));
	answers->count = mounts.count;
	for (size_t i = 0; i < mounts.count; i++)
		text_copy(answers->items[i].point, sizeof(answers->items[i].point),
			  mounts.items[i].point);
	ret_mounts->problem = ask_all(answers);
	take(ret_mounts, &mounts, answers);
	name_sick(data_root, ret_mounts);
	bounded_free(answers, sizeof(*answers));
}

void storage_mounts_fini(struct storage_mounts *mounts)
{
	free(mounts->items);
	*mounts = (struct storage_mounts){ 0 };
}

/* ---- judging ---- */

#define TYPE "StorageMountsAlive"

static const struct storage_mount *first(const struct storage_mounts *mounts,
					 enum mount_answer answer, size_t *ret_count)
{
	const struct storage_mount *found = NULL;

	*ret_count = 0;
	for (size_t i = 0; i < mounts->count; i++) {
		if (mounts->items[i].answer != answer)
			continue;
		found = found ? found : &mounts->items[i];
		(*ret_count)++;
	}
	return found;
}

static const struct storage_mount *first_without_userxattr(const struct storage_mounts *mounts)
{
	for (size_t i = 0; mounts->in_user_namespace && i < mounts->count; i++)
		if (text_equal(mounts->items[i].mount.type, "overlay") &&
		    !mounts->items[i].mount.has_userxattr)
			return &mounts->items[i];
	return NULL;
}

/* "container web (3f2a91c0d5e7)", or the mount itself when nobody knows whose it is. */
static const char *owner(const struct storage_mount *mount, char text[160])
{
	if (mount->container[0])
		snprintf(text, 160, "container %.64s (%.12s)",
			 mount->container_name[0] ? mount->container_name : "?", mount->container);
	else
		snprintf(text, 160, "the mount %.140s", mount->mount.point);
	return text;
}

struct judgement storage_mounts_judge(const struct storage_mounts *mounts)
{
	const struct storage_mount *mount;
	char text[160];
	size_t count;

	mount = first(mounts, MOUNT_DEAD, &count);
	if (mount)
		return judgement(TYPE, JUDGEMENT_FALSE, "MountDead",
				 "docker kill it, umount that mount, docker start it; 'docker: "
				 "{repair: [fuse-daemon]}' has Phoenix do so",
				 "the storage of %s is dead: %s; %zu of %zu mounts, whatever "
				 "docker ps says",
				 owner(mount, text), strerror(mount->error_number), count,
				 mounts->count);
	mount = first(mounts, MOUNT_HANGS, &count);
	if (mount)
		return judgement(TYPE, JUDGEMENT_FALSE, "MountHangs",
				 "look at its fuse-overlayfs (stopped? waiting for a disk?); kill "
				 "it, and restart the container",
				 "the storage of %s did not answer within %d ms; %zu of %zu mounts",
				 owner(mount, text), MOUNT_MS, count, mounts->count);
	mount = first_without_userxattr(mounts);
	if (mount)
		return judgement(TYPE, JUDGEMENT_FALSE, "WithoutUserxattr",
				 "use a Docker of 20.10.24 or later, or storage: {driver: "
				 "fuse-overlayfs}",
				 "overlay at %.160s is mounted without userxattr: removing a "
				 "directory of an image fails there (EIO)",
				 mount->mount.point);
	mount = first(mounts, MOUNT_UNASKED, &count);
	if (mounts->problem < 0 || mount)
		return judgement(TYPE, JUDGEMENT_UNKNOWN, "NotChecked",
				 "kill the processes phoenix-look and fuse-overlayfs that hang",
				 "%zu of %zu mounts were not looked at: %s", count, mounts->count,
				 mounts->problem < 0 ? strerror(-mounts->problem) :
						       "there was no time left");
	return judgement(TYPE, JUDGEMENT_TRUE, "AllAnswer", "", "%zu mounts", mounts->count);
}
