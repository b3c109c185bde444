/*
 * `docker restart` does not do: it stops at the dead mount ("transport endpoint is not connected").
 * Without the mount, starting the container mounts its layer anew.
 */
#include "agent/storage/repair.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "agent/health/storage_mounts.h"
#include "agent/storage/docker_run.h"
#include "common/cleanup.h"
#include "common/str.h"

#define KILL_MS 20000
#define START_MS 60000

struct repair {
	const char *data_root;
	const char *container;
	struct storage_mount mount; /* the dead one */
};

static bool is_id(const char *text)
{
	return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

/* Whether the container has a dead mount; it is kept in the repair. */
static bool find_dead(struct repair *repair)
{
	PH_AUTO_STORAGE_MOUNTS struct storage_mounts mounts = { 0 };

	storage_mounts_read(repair->data_root, &mounts);
	for (size_t i = 0; i < mounts.count; i++) {
		if (mounts.items[i].answer != MOUNT_DEAD ||
		    !text_equal(mounts.items[i].container, repair->container))
			continue;
		repair->mount = mounts.items[i];
		return true;
	}
	return false;
}

/* That it does not run any more is as good; anything else shows when it is started. */
static int kill_container(struct repair *repair, struct ph_error *error)
{
	const char *const arguments[] = { "kill", repair->container, NULL };

	docker_run_command(arguments, KILL_MS, NULL, NULL);
	return 0;
}

/* Docker may have taken it away by now: several can lie on each other. */
static int take_mount_away(struct repair *repair, struct ph_error *error)
{
	const char *point = repair->mount.mount.point;

	if (umount2(point, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL &&
	    errno != ENOENT)
		return error_errno(error, -errno, point, "umount --lazy it by hand", "umount");
	return 0;
}

static int start_container(struct repair *repair, struct ph_error *error)
{
	const char *const arguments[] = { "start", repair->container, NULL };

	return docker_run_command(arguments, START_MS, NULL, error);
}

static int look_again(struct repair *repair, struct ph_error *error)
{
	if (find_dead(repair))
		return error_set(error, -EIO, repair->mount.mount.point,
				 "look at dockerd's log: journalctl -u docker",
				 "the storage is dead still");
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct repair *repair, struct ph_error *error);
} steps[] = {
	{ "docker kill", kill_container },
	{ "take the dead mount away", take_mount_away },
	{ "docker start", start_container },
	{ "look again", look_again },
};

int repair_fuse_daemon(const char *data_root, const char *container, char *message, size_t size,
		       struct ph_error *error)
{
	struct repair repair = { .data_root = data_root, .container = container };

	if (!is_id(container))
		return error_set(error, -EINVAL, "container", NULL,
				 "that is no id of a container of Docker's");
	if (!find_dead(&repair)) {
		snprintf(message, size, "the storage of %.12s is not dead: nothing was done",
			 container);
		return REPAIR_NEEDLESS;
	}
	for (size_t i = 0; i < ARRAY_LENGTH(steps); i++) {
		int r = steps[i].run(&repair, error);

		if (r < 0) {
			error_prefix(error, "restart %s (%.12s)", repair.mount.container_name,
				     container);
			error_step(error, steps[i].name);
			return r;
		}
	}
	snprintf(message, size, "restarted container %.64s (%.12s): its fuse-overlayfs had died",
		 repair.mount.container_name[0] ? repair.mount.container_name : "?", container);
	return REPAIR_DONE;
}
