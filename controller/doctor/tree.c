/*
 * Trees are read whole before anything is judged: a variable may be declared in one file and used in another,
 * and a damaged file is proven guilty by what happens to the others when it is mended.
 */
#include "controller/doctor/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/str.h"

#define SEE_PATH "see that the path is right and that you may read it"

/* Left by package managers and editors; rc.apparmor passes over them too. */
static const char *const left_overs[] = { ".dpkg-new", ".dpkg-old",    ".dpkg-dist",
					  ".dpkg-bak", ".dpkg-remove", ".rpmsave",
					  ".rpmorig",  ".rpmnew",      ".orig",
					  ".pacsave",  ".pacnew",      ".phoenix-saved",
					  "~" };

static bool is_left_over(const char *path)
{
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	if (name[0] == '.' || strcmp(name, "README") == 0)
		return true;
	for (size_t i = 0; i < ARRAY_LENGTH(left_overs); i++)
		if (text_has_suffix(name, left_overs[i]))
			return true;
	return false;
}

bool doctor_text_is_policy(const struct doctor_text *text)
{
	return !strchr(text->path, '/') && !is_left_over(text->path);
}

static enum doctor_file kind_of(const char *path)
{
	return text_has_prefix(path, "tunables/") ? DOCTOR_TUNABLES : DOCTOR_PROFILES;
}

/* Features of the kernel and programs' caches are no policy text. */
static bool is_passed_over(const char *path)
{
	static const char *const folders[] = { "abi", "cache", "cache.d", "disable",
					       "force-complain" };

	for (size_t i = 0; i < ARRAY_LENGTH(folders); i++)
		if (strcmp(path, folders[i]) == 0)
			return true;
	return false;
}

static int read_bytes(int fd, size_t size, struct doctor_text *text)
{
	size_t got = 0;

	text->bytes = calloc(1, size + 1);
	if (!text->bytes)
		return -ENOMEM;
	while (got < size) {
		ssize_t n = read(fd, text->bytes + got, size - got);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			break;
		got += n > 0 ? (size_t)n : 0;
	}
	text->size = got;
	return 0;
}

/* Where a symlink ends: the path below the tree, NULL when that is not below it. */
static char *target_of(const char *directory, const char *path)
{
	PH_AUTO_FREE char *full = realpath(path, NULL);
	size_t length = strlen(directory);

	if (!full || strncmp(full, directory, length) || full[length] != '/')
		return NULL;
	return strdup(full + length + 1);
}

static int refuse_size(const char *full, struct ph_error *error)
{
	return error_set(error, -E2BIG, full, "name the directory of the policy itself",
			 "the tree is too big for one of AppArmor policy");
}

/* full is a symlink, or NULL. */
static int add_folder(struct doctor_tree *tree, const char *path, const char *full,
		      struct ph_error *error)
{
	struct doctor_folder *folder;

	if (is_passed_over(path))
		return 0;
	if (tree->folder_count == DOCTOR_FILES_MAXIMUM)
		return refuse_size(path, error);
	folder = &tree->folders[tree->folder_count++];
	*folder = (struct doctor_folder){ .path = strdup(path) };
	if (full) {
		folder->target = target_of(tree->directory, full);
		folder->target = folder->target ?: realpath(full, NULL);
	}
	return folder->path && (!full || folder->target) ? 0 : -ENOMEM;
}

static int add_text(struct doctor_tree *tree, const char *path, const char *full,
		    struct ph_error *error)
{
	PH_AUTO_CLOSE int fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct doctor_text *text;
	struct stat stat, link;
	int r;

	if (fd < 0 && errno == ENOENT)
		return 0; /* a symlink to nowhere is what disables a profile */
	if (fd < 0 || fstat(fd, &stat))
		return error_errno(error, -errno, full, SEE_PATH, "read");
	if (S_ISDIR(stat.st_mode))
		return add_folder(tree, path, full, error);
	if (!S_ISREG(stat.st_mode))
		return 0;
	if (tree->count == DOCTOR_FILES_MAXIMUM ||
	    tree->size + (size_t)stat.st_size > DOCTOR_TREE_MAXIMUM + DOCTOR_TEXT_MAXIMUM)
		return refuse_size(full, error);
	text = &tree->texts[tree->count++];
	*text = (struct doctor_text){ .path = strdup(path), .kind = kind_of(path) };
	if (lstat(full, &link) == 0 && S_ISLNK(link.st_mode)) {
		text->target = target_of(tree->directory, full);
		text->outside = !text->target;
	}
	text->too_big = (size_t)stat.st_size > DOCTOR_TEXT_MAXIMUM;
	r = read_bytes(fd, text->too_big ? 0 : (size_t)stat.st_size, text);
	tree->size += text->size;
	return r < 0 ? error_errno(error, r, full, SEE_PATH, "read") : 0;
}

static int enter_folder(struct doctor_tree *tree, const char *path, size_t depth,
			struct ph_error *error);

static int read_folder(struct doctor_tree *tree, const char *path, size_t depth,
		       struct ph_error *error)
{
	char folder[PATH_MAX], full[PATH_MAX + NAME_MAX + 2], below[PATH_MAX];
	PH_CLEANUP(cleanup_dir) DIR *entries = NULL;
	struct dirent *entry;
	struct stat stat;
	int r = 0;

	snprintf(folder, sizeof(folder), "%s/%s", tree->directory, path);
	entries = opendir(folder);
	if (!entries)
		return error_errno(error, -errno, folder, SEE_PATH, "read");
	while (r == 0 && (entry = readdir(entries))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(full, sizeof(full), "%s/%s", folder, entry->d_name);
		if ((size_t)snprintf(below, sizeof(below), "%s%s%s", path, *path ? "/" : "",
				     entry->d_name) >= sizeof(below) ||
		    lstat(full, &stat))
			continue;
		if (!S_ISDIR(stat.st_mode))
			r = add_text(tree, below, full, error);
		else if (depth == DOCTOR_DEPTH_MAXIMUM)
			r = error_set(error, -E2BIG, full,
				      "name the directory of the policy itself",
				      "the tree is too deep for one of AppArmor policy");
		else if (!is_passed_over(below))
			r = enter_folder(tree, below, depth + 1, error);
	}
	return r;
}

static int enter_folder(struct doctor_tree *tree, const char *path, size_t depth,
			struct ph_error *error)
{
	int r = add_folder(tree, path, NULL, error);

	return r < 0 ? r : read_folder(tree, path, depth, error);
}

static int by_path(const void *left, const void *right)
{
	return strcmp(((const struct doctor_text *)left)->path,
		      ((const struct doctor_text *)right)->path);
}

int doctor_tree_read(const char *directory, struct doctor_tree *ret_tree, struct ph_error *error)
{
	struct doctor_tree tree = { .directory = realpath(directory, NULL) };
	int r;

	*ret_tree = DOCTOR_TREE_INIT;
	if (!tree.directory)
		return error_errno(error, -errno, directory, SEE_PATH, "find the tree");
	tree.texts = calloc(DOCTOR_FILES_MAXIMUM, sizeof(tree.texts[0]));
	tree.folders = calloc(DOCTOR_FILES_MAXIMUM, sizeof(tree.folders[0]));
	r = tree.texts && tree.folders ? read_folder(&tree, "", 0, error) : -ENOMEM;
	if (r < 0) {
		doctor_tree_fini(&tree);
		return r;
	}
	qsort(tree.texts, tree.count, sizeof(tree.texts[0]), by_path);
	*ret_tree = tree;
	return 0;
}

void doctor_tree_fini(struct doctor_tree *tree)
{
	for (size_t i = 0; i < tree->count; i++) {
		free(tree->texts[i].path);
		free(tree->texts[i].bytes);
		free(tree->texts[i].target);
	}
	for (size_t i = 0; i < tree->folder_count; i++) {
		free(tree->folders[i].path);
		free(tree->folders[i].target);
	}
	free(tree->texts);
	free(tree->folders);
	free(tree->directory);
	*tree = DOCTOR_TREE_INIT;
}

/* ---- the copy ---- */

static int make_folders(const char *directory, const char *path, struct ph_error *error)
{
	char full[PATH_MAX];

	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(full, sizeof(full), "%s/%.*s", directory, (int)(slash - path), path);
		if (mkdir(full, 0700) && errno != EEXIST)
			return error_errno(error, -errno, full, "make room there", "mkdir");
	}
	return 0;
}

int doctor_copy_write(const char *directory, const char *path, const char *bytes, size_t size,
		      struct ph_error *error)
{
	PH_AUTO_CLOSE int fd = -1;
	char full[PATH_MAX];
	int r = make_folders(directory, path, error);

	if (r < 0)
		return r;
	snprintf(full, sizeof(full), "%s/%s", directory, path);
	fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(error, -errno, full, "make room there", "open");
	r = io_write(fd, bytes, size);
	return r < 0 ? error_errno(error, r, full, "make room there", "write") : 0;
}

/* A symlink within the tree stays one, so that it shows what its target becomes. */
static int copy_text(const char *directory, const struct doctor_text *text, struct ph_error *error)
{
	char full[PATH_MAX], target[PATH_MAX];
	int r;

	if (!text->target)
		return doctor_copy_write(directory, text->path, text->bytes, text->size, error);
	r = make_folders(directory, text->path, error);
	snprintf(full, sizeof(full), "%s/%s", directory, text->path);
	snprintf(target, sizeof(target), "%s/%s", directory, text->target);
	if (r == 0 && symlink(target, full))
		r = error_errno(error, -errno, full, "make room there", "symlink");
	return r;
}

static int copy_folder(const char *directory, const struct doctor_folder *folder,
		       struct ph_error *error)
{
	char full[PATH_MAX], target[PATH_MAX];

	snprintf(full, sizeof(full), "%s/%s", directory, folder->path);
	if (!folder->target)
		return mkdir(full, 0700) ? error_errno(error, -errno, full, "make room there", "mkdir") : 0;
	if (folder->target[0] == '/')
		text_copy(target, sizeof(target), folder->target);
	else
		snprintf(target, sizeof(target), "%s/%s", directory, folder->target);
	return symlink(target, full) ? error_errno(error, -errno, full, "make room there", "symlink") : 0;
}

/* Feature sets that "abi <abi/3.0>," names. */
static void copy_abi(const struct doctor_tree *tree, const char *directory)
{
	char from[PATH_MAX], to[PATH_MAX];

	snprintf(from, sizeof(from), "%s/abi", tree->directory);
	snprintf(to, sizeof(to), "%s/abi", directory);
	if (access(from, X_OK) == 0 && symlink(from, to))
		return; /* the parser will say what it misses */
}

int doctor_copy_make(const struct doctor_tree *tree, char **ret_directory, struct ph_error *error)
{
	PH_AUTO_FREE char *directory = NULL;
	const char *base = getenv("TMPDIR");
	int r = 0;

	if (asprintf(&directory, "%s/phoenix-doctor.XXXXXX", base && *base ? base : "/tmp") < 0)
		return -ENOMEM;
	if (!mkdtemp(directory))
		return error_errno(error, -errno, directory, "set TMPDIR to a directory with room",
				   "make a copy of the policy");
	for (size_t i = 0; i < tree->folder_count && r == 0; i++)
		r = copy_folder(directory, &tree->folders[i], error);
	for (size_t i = 0; i < tree->count && r == 0; i++)
		if (!tree->texts[i].too_big)
			r = copy_text(directory, &tree->texts[i], error);
	if (r < 0) {
		doctor_copy_remove(directory);
		return r;
	}
	copy_abi(tree, directory);
	*ret_directory = directory;
	directory = NULL;
	return 0;
}

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *place)
{
	(void)stat;
	(void)type;
	(void)place;
	return remove(path) && errno != ENOENT ? -1 : 0;
}

void doctor_copy_remove(const char *directory)
{
	nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}
