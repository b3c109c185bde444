/*
 * The walk. Directories wait as paths on a stack and are opened again from the two roots when their
 * turn comes: any depth needs two descriptors. A directory's times are set after its own entries
 * were made; what is made deeper does not touch them any more.
 */
#include "controller/host/tree/copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "controller/host/tree/copy_file.h"
#include "controller/host/tree/resolve.h"
#include "controller/host/tree/tree.h"

struct link_entry {
	dev_t device;
	ino_t inode;
	char *path; /* owned; where the first name was made */
};

struct copy {
	const struct tree_copy *options; /* borrowed */
	int source;                      /* borrowed */
	int target;                      /* borrowed */
	char **waiting;                  /* owned; paths of directories still to do */
	size_t waiting_count;
	size_t waiting_capacity;
	struct link_entry *links; /* owned; open addressing by inode */
	size_t link_count;
	size_t link_capacity; /* a power of two */
	char at[PATH_MAX];    /* of the entry in work, for the error */
};

static void copy_fini(struct copy *copy)
{
	for (size_t i = 0; i < copy->waiting_count; i++)
		free(copy->waiting[i]);
	for (size_t i = 0; i < copy->link_capacity; i++)
		free(copy->links[i].path);
	free(copy->waiting);
	free(copy->links);
}

static void wait_for(struct copy *copy, const char *path)
{
	if (copy->waiting_count == copy->waiting_capacity) {
		copy->waiting_capacity = copy->waiting_capacity ? 2 * copy->waiting_capacity : 64;
		copy->waiting = ph_realloc(copy->waiting,
					   copy->waiting_capacity * sizeof(*copy->waiting));
	}
	copy->waiting[copy->waiting_count++] = ph_strdup(path);
}

/* The slot where this inode is or belongs. */
static struct link_entry *link_slot(struct copy *copy, dev_t device, ino_t inode)
{
	size_t slot = (size_t)(inode * UINT64_C(0x9e3779b97f4a7c15)) & (copy->link_capacity - 1);

	while (copy->links[slot].path &&
	       (copy->links[slot].inode != inode || copy->links[slot].device != device))
		slot = (slot + 1) & (copy->link_capacity - 1);
	return &copy->links[slot];
}

static void links_grow(struct copy *copy)
{
	struct link_entry *old = copy->links;
	size_t count = copy->link_capacity;

	copy->link_capacity = count ? 2 * count : 256;
	copy->links = ph_alloc_array(copy->link_capacity, sizeof(*copy->links));
	for (size_t i = 0; i < count; i++)
		if (old[i].path)
			*link_slot(copy, old[i].device, old[i].inode) = old[i];
	free(old);
}

/* Where an earlier name of this inode was made, or NULL; remembers this one then. */
static const char *link_of(struct copy *copy, const struct stat *status)
{
	struct link_entry *entry;

	if (2 * (copy->link_count + 1) > copy->link_capacity)
		links_grow(copy);
	entry = link_slot(copy, status->st_dev, status->st_ino);
	if (entry->path)
		return entry->path;
	*entry = (struct link_entry){ status->st_dev, status->st_ino, ph_strdup(copy->at) };
	copy->link_count++;
	return NULL;
}

static int make_link(struct copy *copy, const char *first, int target_dir, const char *name)
{
	struct tree_place place;
	PH_AUTO_CLOSE int parent = -1;
	int result = tree_place_parse(first, &place);

	if (result < 0)
		return result;
	parent = tree_openat2(copy->target, place.parent, O_PATH | O_DIRECTORY,
			      TREE_RESOLVE_WRITE);
	if (parent < 0)
		return parent;
	return linkat(parent, place.leaf, target_dir, name, 0) < 0 ? -errno : 0;
}

static int copy_regular(struct copy *copy, int source_dir, int target_dir, const char *name,
			const struct stat *status)
{
	const char *first = status->st_nlink > 1 ? link_of(copy, status) : NULL;
	PH_AUTO_CLOSE int source = -1;
	PH_AUTO_CLOSE int target = -1;
	int result;

	if (first)
		return make_link(copy, first, target_dir, name);
	source = tree_openat2(source_dir, name, O_RDONLY | O_NOFOLLOW | O_NOATIME | O_NONBLOCK,
			      TREE_RESOLVE_WRITE);
	if (source < 0)
		return source;
	target = openat(target_dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (target < 0)
		return -errno;
	result = copy_contents(source, target, status, copy->options->reflink);
	return result < 0 ? result : copy_attributes(source, target, status, copy->options);
}

static int copy_symlink(struct copy *copy, int source_dir, int target_dir, const char *name,
			const struct stat *status)
{
	struct timespec times[2] = { status->st_atim, status->st_mtim };
	char text[PATH_MAX];
	ssize_t length = readlinkat(source_dir, name, text, sizeof(text) - 1);
	uint32_t uid, gid;

	if (length < 0)
		return -errno;
	text[length] = '\0';
	if (copy_shift_id(copy->options, status->st_uid, &uid) < 0 ||
	    copy_shift_id(copy->options, status->st_gid, &gid) < 0)
		return -EOVERFLOW;
	if (symlinkat(text, target_dir, name) < 0 ||
	    fchownat(target_dir, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    utimensat(target_dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

static int copy_entry(struct copy *copy, int source_dir, int target_dir, const char *path,
		      const char *name)
{
	struct stat status;

	if (snprintf(copy->at, sizeof(copy->at), "%s%s%s", path, *path ? "/" : "", name) >=
	    (int)sizeof(copy->at))
		return -ENAMETOOLONG;
	if (fstatat(source_dir, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	switch (status.st_mode & S_IFMT) {
	case S_IFDIR:
		wait_for(copy, copy->at);
		return mkdirat(target_dir, name, 0700) < 0 ? -errno : 0;
	case S_IFREG:
		return copy_regular(copy, source_dir, target_dir, name, &status);
	case S_IFLNK:
		return copy_symlink(copy, source_dir, target_dir, name, &status);
	default:
		return 0; /* devices, FIFOs, sockets: not of an image */
	}
}

/* Copy a directory's own entries; directories among them wait for their turn. */
static int copy_directory(struct copy *copy, const char *path)
{
	PH_AUTO_CLOSE int source = tree_openat2(copy->source, tree_relative(path),
						O_RDONLY | O_DIRECTORY, TREE_RESOLVE_WRITE);
	PH_AUTO_CLOSE int target = tree_openat2(copy->target, tree_relative(path),
						O_RDONLY | O_DIRECTORY, TREE_RESOLVE_WRITE);
	PH_AUTO_DIR DIR *dir = NULL;
	struct dirent *entry;
	struct stat status;
	int result = 0;

	if (source < 0 || target < 0)
		return source < 0 ? source : target;
	dir = fdopendir(dup(source));
	if (!dir || fstat(source, &status) < 0)
		return -errno;
	while (result == 0 && (errno = 0, entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			result = copy_entry(copy, source, target, path, entry->d_name);
	if (result == 0 && errno)
		result = -errno;
	if (result == 0) {
		snprintf(copy->at, sizeof(copy->at), "%s", path);
		result = copy_attributes(source, target, &status, copy->options);
	}
	return result;
}

static int explain(const struct copy *copy, int code, struct ph_error *error)
{
	if (code == -EOVERFLOW)
		return error_set(error, code, copy->at,
				 "give the container an id range longer than the image's ids",
				 "its owner lies outside the id range of %u ids",
				 copy->options->id_count);
	if (code == -ENOSPC || code == -EDQUOT)
		return error_errno(error, code, copy->at,
				   "free space on the file system of the state directory", "copy");
	return error_errno(error, code, copy->at, NULL,
			   copy->options->reflink ? "copy by reflink" : "copy");
}

int tree_copy(int source, int target, const struct tree_copy *options, struct ph_error *error)
{
	__attribute__((cleanup(copy_fini))) struct copy copy = {
		.options = options,
		.source = source,
		.target = target,
	};
	int result = 0;

	wait_for(&copy, "");
	while (result == 0 && copy.waiting_count > 0) {
		PH_AUTO_FREE char *path = copy.waiting[--copy.waiting_count];

		result = copy_directory(&copy, path);
	}
	return result < 0 ? explain(&copy, result, error) : 0;
}
