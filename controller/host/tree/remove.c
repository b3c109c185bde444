/*
 * Recursive removal. A loop over a small stack of open directories: what lies deeper than the stack
 * is moved up to the top directory by rename and met again in the next round, so depth costs
 * neither descriptors nor memory. Each directory is opened beneath its parent's descriptor without
 * following a symlink or crossing a mount; what changes under our hands is met again as well.
 *
 * A subvolume of btrfs goes as a whole. One that has others inside cannot: those lie at any depth,
 * and nothing but a subvolume itself can be renamed out of one. So it is moved up to the top
 * directory first; a stack then never spans more than two, and deep directories are moved up to the
 * root of theirs.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "controller/host/tree/rename.h"
#include "controller/host/tree/resolve.h"
#include "controller/host/tree/subvolume.h"
#include "controller/host/tree/tree.h"

#define DEPTH_MAXIMUM 48
#define IDLE_ROUNDS_MAXIMUM 64 /* rounds that hoisted nothing and yet did not finish */

struct level {
	DIR *dir; /* owned */
	bool is_subvolume;
	char name[NAME_MAX + 1]; /* in the level above */
};

struct removal {
	struct level levels[DEPTH_MAXIMUM];
	int depth;
	uint64_t hoisted; /* directories moved up; numbers their names */
};

static int level_fd(const struct removal *removal, int index)
{
	return dirfd(removal->levels[index].dir);
}

/* Open a directory below at and push it. */
static int push(struct removal *removal, int at, const char *name)
{
	struct level *level = &removal->levels[removal->depth];
	int fd = tree_openat2(at, name, O_RDONLY | O_DIRECTORY, TREE_RESOLVE_WRITE);

	if (fd < 0)
		return fd;
	level->is_subvolume = subvolume_is(fd);
	if (level->is_subvolume)
		subvolume_set_read_only(fd, false); /* the container may have */
	level->dir = fdopendir(fd);
	if (!level->dir) {
		int failure = -errno;

		close(fd);
		return failure;
	}
	snprintf(level->name, sizeof(level->name), "%s", name);
	removal->depth++;
	return 0;
}

/* Move a directory up into the one of a level above, under a name of ours. */
static int hoist(struct removal *removal, int at, const char *name, int level)
{
	char unique[64];
	int result = -EEXIST;

	for (int i = 0; i < 1000; i++) {
		snprintf(unique, sizeof(unique), ".phoenix-removed-%llu",
			 (unsigned long long)removal->hoisted++);
		result = rename_new(at, name, level_fd(removal, level), unique);
		if (result != -EEXIST)
			break;
	}
	return result;
}

/* Move a subvolume up to the top; a read-only one cannot be renamed. */
static int hoist_subvolume(struct removal *removal, int at, const char *name)
{
	PH_AUTO_CLOSE int dir =
		tree_openat2(at, name, O_RDONLY | O_DIRECTORY, TREE_RESOLVE_WRITE);

	if (dir < 0)
		return dir;
	subvolume_set_read_only(dir, false);
	return hoist(removal, at, name, 0);
}

/*
 * What an errno of one entry means for the whole: 0 to go on, or the failure. What changed between
 * two looks is no failure: this round leaves it, the directory is not empty, another round comes.
 */
static int judge(int code)
{
	switch (code) {
	case -ENOENT:
	case -ENOTEMPTY:
	case -ENOTDIR:
	case -EISDIR:
	case -ELOOP:
	case -EAGAIN:
		return 0;
	case -EXDEV:
		return -EBUSY; /* a mount */
	default:
		return code;
	}
}

/* Remove one entry of the deepest level, or descend into it. */
static int remove_entry(struct removal *removal, const char *name)
{
	int at = level_fd(removal, removal->depth - 1);
	int result;

	if (unlinkat(at, name, 0) == 0)
		return 0;
	if (errno != EISDIR)
		return judge(-errno);
	if (unlinkat(at, name, AT_REMOVEDIR) == 0)
		return 0;
	if (errno != ENOTEMPTY)
		return judge(-errno);
	result = subvolume_remove(at, name);
	if (result < 0 && result != -ENOTDIR && removal->depth > 1)
		result = hoist_subvolume(removal, at, name);
	else if (result < 0 && removal->depth < DEPTH_MAXIMUM)
		result = push(removal, at, name);
	else if (result < 0)
		result = hoist(removal, at, name, removal->levels[1].is_subvolume);
	return judge(result);
}

/* Leave the deepest level and remove its directory from the one above; the top one stays. */
static int pop(struct removal *removal)
{
	struct level *level = &removal->levels[--removal->depth];
	int result = 0;

	closedir(level->dir);
	level->dir = NULL;
	if (removal->depth > 0 &&
	    unlinkat(level_fd(removal, removal->depth - 1), level->name, AT_REMOVEDIR) < 0)
		result = judge(-errno);
	return result;
}

/* Empty the directory that is the only level, as far as one round gets. */
static int empty_once(struct removal *removal)
{
	int result = 0;

	while (removal->depth > 0 && result == 0) {
		struct dirent *entry;

		errno = 0;
		entry = readdir(removal->levels[removal->depth - 1].dir);
		if (!entry && errno)
			result = -errno;
		else if (!entry)
			result = pop(removal);
		else if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			result = remove_entry(removal, entry->d_name);
	}
	while (removal->depth > 0)
		pop(removal);
	return result;
}

static int remove_directory(int parent, const char *name)
{
	struct removal removal = { 0 };
	int idle = 0;

	while (idle < IDLE_ROUNDS_MAXIMUM) {
		uint64_t hoisted = removal.hoisted;
		int result;

		if (subvolume_remove(parent, name) == 0)
			return TREE_DONE;
		result = push(&removal, parent, name);
		if (result == 0)
			result = empty_once(&removal);
		result = judge(result);
		if (result < 0)
			return result;
		if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
			return TREE_DONE;
		if (errno == ENOTDIR && unlinkat(parent, name, 0) == 0)
			return TREE_DONE; /* swapped for something else */
		if (errno != ENOTEMPTY && errno != ENOTDIR)
			return -errno;
		if (removal.hoisted == hoisted)
			idle++;
	}
	return -ENOTEMPTY;
}

int tree_remove(int root, const char *path, struct ph_error *error)
{
	struct tree_place place;
	PH_AUTO_CLOSE int parent = -1;
	int result = tree_place_parse(path, &place);

	if (result < 0)
		return error_errno(error, result, path, NULL, "not a path to remove");
	parent = tree_openat2(root, place.parent, O_RDONLY | O_DIRECTORY,
			      TREE_RESOLVE_WRITE);
	if (parent == -ENOENT)
		return TREE_UNCHANGED;
	if (parent < 0)
		return error_errno(error, parent, path, NULL, "open directory");
	if (unlinkat(parent, place.leaf, 0) == 0)
		return TREE_DONE;
	if (errno == ENOENT)
		return TREE_UNCHANGED;
	result = errno == EISDIR ? remove_directory(parent, place.leaf) : -errno;
	if (result == -EBUSY)
		return error_set(error, result, path, "unmount it first",
				 "a file system is mounted in it");
	return result < 0 ? error_errno(error, result, path, NULL, "remove") : result;
}
