/*
 * One table says what lies where and whose it is. Places are made from their parent's descriptor;
 * one that exists is only taken when root or its rightful owner made it, because phoenixd may write
 * into RUN and its group into the spool.
 */
#include "controller/host/tree/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/host/tree/resolve.h"
#include "controller/host/tree/tree.h"

/* A mount of its own is allowed here: the administrator may put STATE/data on another disk. */
#define RESOLVE_PLACE (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)

enum owner_kind {
	OWNER_ROOT,
	OWNER_USER,          /* phoenixd's */
	OWNER_CONTROL_GROUP, /* root, and the group of the control socket */
	OWNER_USER_GROUP,    /* root, and phoenixd's group */
};

struct place {
	enum paths_place base;  /* itself for the two configured directories */
	const char *name;       /* in the base */
	mode_t mode;
	enum owner_kind owner;
};

static const struct place places[PATHS_COUNT] = {
	[PATHS_STATE] = { PATHS_STATE, NULL, 0711, OWNER_ROOT },
	[PATHS_DB] = { PATHS_STATE, "db", 0700, OWNER_USER },
	[PATHS_SPOOL] = { PATHS_STATE, "spool", 01770, OWNER_CONTROL_GROUP },
	[PATHS_IMAGES] = { PATHS_STATE, "images", 0700, OWNER_ROOT },
	[PATHS_BUNDLES] = { PATHS_STATE, "bundles", 0755, OWNER_ROOT },
	[PATHS_CONTAINERS] = { PATHS_STATE, "containers", 0711, OWNER_ROOT },
	[PATHS_DATA] = { PATHS_STATE, "data", 0711, OWNER_ROOT },
	[PATHS_RUN] = { PATHS_RUN, NULL, 01775, OWNER_USER_GROUP },
	[PATHS_AGENTS] = { PATHS_RUN, "agents", 0711, OWNER_ROOT },
	[PATHS_NETWORK] = { PATHS_RUN, "network", 0700, OWNER_ROOT },
};

static const char *base_path(const struct config *config, enum paths_place place)
{
	return places[place].base == PATHS_STATE ? config->state_dir : config->run_dir;
}

static struct tree_owner owner_of(const struct config *config, enum paths_place place)
{
	struct tree_owner owner = { .mode = places[place].mode };

	switch (places[place].owner) {
	case OWNER_ROOT:
		break;
	case OWNER_USER:
		owner.uid = config->uid;
		owner.gid = config->gid;
		break;
	case OWNER_CONTROL_GROUP:
		owner.gid = config->control_gid;
		break;
	case OWNER_USER_GROUP:
		owner.gid = config->gid;
		break;
	}
	return owner;
}

int paths_format(const struct config *config, enum paths_place place, const char *name,
		 const char *below, char path[PATHS_SIZE], struct ph_error *error)
{
	const char *part = places[place].name;
	int length;

	if (name && !name_is_valid(name))
		return error_set(error, -EINVAL, name, NULL,
				 "not a name: small letters, digits and '-' only");
	length = snprintf(path, PATHS_SIZE, "%s%s%s%s%s%s%s", base_path(config, place),
			  part ? "/" : "", part ? part : "", name ? "/" : "", name ? name : "",
			  below ? "/" : "", below ? below : "");
	if (length >= PATHS_SIZE)
		return error_errno(error, -ENAMETOOLONG, base_path(config, place), NULL, "path");
	return 0;
}

/* Give an open directory its owner and mode, unless a stranger made it. */
static int claim(int fd, const char *where, const struct tree_owner *owner, struct ph_error *error)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return error_errno(error, -errno, where, NULL, "fstat");
	if (status.st_uid != 0 && status.st_uid != owner->uid)
		return error_set(error, -EPERM, where, "remove it; phoenix-host makes it again",
				 "belongs to user %u, not to root", status.st_uid);
	if ((status.st_uid != owner->uid || status.st_gid != owner->gid) &&
	    fchown(fd, owner->uid, owner->gid) < 0)
		return error_errno(error, -errno, where, NULL, "chown");
	if ((status.st_mode & 07777) != owner->mode && fchmod(fd, owner->mode) < 0)
		return error_errno(error, -errno, where, NULL, "chmod");
	return 0;
}

/* Make name in parent and claim it. */
static int make_claimed(int parent, const char *name, const char *where,
			const struct tree_owner *owner, int *ret_fd, struct ph_error *error)
{
	PH_AUTO_CLOSE int fd = -1;
	int result;

	if (mkdirat(parent, name, 0700) < 0 && errno != EEXIST)
		return error_errno(error, -errno, where, NULL, "make directory");
	fd = tree_openat2(parent, name, O_RDONLY | O_DIRECTORY, RESOLVE_PLACE);
	if (fd < 0)
		return error_errno(error, fd, where, NULL, "open directory");
	result = claim(fd, where, owner, error);
	if (result < 0)
		return result;
	*ret_fd = take_fd(&fd);
	return 0;
}

/* mkdir -p for a path of the configuration. */
static int make_configured(const char *path, struct ph_error *error)
{
	char part[PATHS_SIZE];

	for (const char *slash = path; slash; slash = strchr(slash + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		if (*part && mkdir(part, 0755) < 0 && errno != EEXIST)
			return error_errno(error, -errno, part, NULL, "make directory");
	}
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return error_errno(error, -errno, path, NULL, "make directory");
	return 0;
}

static int open_base(const struct config *config, enum paths_place base, int *ret_fd,
		     struct ph_error *error)
{
	const char *path = base_path(config, base);
	struct tree_owner owner = owner_of(config, base);
	PH_AUTO_CLOSE int fd = -1;
	int result = make_configured(path, error);

	if (result < 0)
		return result;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(error, -errno, path, NULL, "open directory");
	result = claim(fd, path, &owner, error);
	if (result < 0)
		return result;
	*ret_fd = take_fd(&fd);
	return 0;
}

int paths_open(const struct config *config, enum paths_place place, int *ret_fd,
	       struct ph_error *error)
{
	struct tree_owner owner = owner_of(config, place);
	char path[PATHS_SIZE];
	PH_AUTO_CLOSE int base = -1;
	int result = open_base(config, places[place].base, &base, error);

	if (result < 0)
		return result;
	if (!places[place].name) {
		*ret_fd = take_fd(&base);
		return 0;
	}
	result = paths_format(config, place, NULL, NULL, path, error);
	if (result < 0)
		return result;
	return make_claimed(base, places[place].name, path, &owner, ret_fd, error);
}

int paths_ensure(const struct config *config, enum paths_place place, struct ph_error *error)
{
	PH_AUTO_CLOSE int fd = -1;

	return paths_open(config, place, &fd, error);
}

int paths_ensure_all(const struct config *config, struct ph_error *error)
{
	for (int place = 0; place < PATHS_COUNT; place++) {
		int result = paths_ensure(config, (enum paths_place)place, error);

		if (result < 0)
			return result;
	}
	return 0;
}

int paths_make(const struct config *config, enum paths_place place, const char *name, uid_t uid,
	       gid_t gid, mode_t mode, struct ph_error *error)
{
	struct tree_owner owner = { uid, gid, mode };
	char path[PATHS_SIZE];
	PH_AUTO_CLOSE int parent = -1;
	PH_AUTO_CLOSE int fd = -1;
	int result = paths_format(config, place, name, NULL, path, error);

	if (result == 0)
		result = paths_open(config, place, &parent, error);
	if (result < 0)
		return result;
	return make_claimed(parent, name, path, &owner, &fd, error);
}

int paths_remove(const struct config *config, enum paths_place place, const char *name,
		 struct ph_error *error)
{
	char path[PATHS_SIZE];
	PH_AUTO_CLOSE int parent = -1;
	int result = paths_format(config, place, name, NULL, path, error);

	if (result == 0)
		result = paths_open(config, place, &parent, error);
	if (result == 0)
		result = tree_remove(parent, name, error);
	return result < 0 ? result : 0;
}
