/*
 * A tree of AppArmor policy in memory: every text below a directory such as /etc/apparmor.d, bounded in
 * number, size and depth, and a copy of it on disk on which a parser may try things. Knows nothing of what
 * the texts mean; never writes to the directory it has read.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "common/error.h"
#include "controller/doctor/scan.h"

#define DOCTOR_FILES_MAXIMUM 8192 /* of one tree; Debian with every package of profiles has about 500 */
#define DOCTOR_DEPTH_MAXIMUM 12
#define DOCTOR_TREE_MAXIMUM ((size_t)128 << 20) /* bytes of all texts */

struct doctor_text {
	char *path;    /* owned; below the tree: "tunables/home" */
	char *bytes;   /* owned; size bytes and a zero byte */
	size_t size;
	char *target;  /* owned; of a symlink to another text of the tree: that one's path */
	bool outside;  /* a symlink to something outside the tree, which is never written */
	bool too_big;  /* above DOCTOR_TEXT_MAXIMUM: not read, bytes is "" */
	enum doctor_file kind;
};

/* What policy includes may be a directory, and one without a file in it as well. */
struct doctor_folder {
	char *path;   /* owned; below the tree */
	char *target; /* owned; of a symlink: a path below the tree, or an absolute one outside; else NULL */
};

struct doctor_tree {
	char *directory;           /* owned; absolute */
	struct doctor_text *texts; /* owned; by path */
	size_t count, size;
	struct doctor_folder *folders; /* owned; outer ones first */
	size_t folder_count;
};

#define DOCTOR_TREE_INIT ((struct doctor_tree){ 0 })

/*
 * Read a tree. Symlinks to files are followed, those to directories are noted; special files are left
 * out. -E2BIG beyond the bounds, the errno of what could not be read otherwise, with its path.
 */
int doctor_tree_read(const char *directory, struct doctor_tree *ret_tree, struct ph_error *error);

/* Free what a tree holds. */
void doctor_tree_fini(struct doctor_tree *tree);

#define DOCTOR_AUTO_TREE __attribute__((cleanup(doctor_tree_fini)))

/* Whether a text is read as policy of its own: it stands at the top and package managers did not leave it. */
bool doctor_text_is_policy(const struct doctor_text *text);

/*
 * Make a private directory with a copy of the tree, symlinks to the inside kept. The caller removes it with
 * doctor_copy_remove() and frees the path.
 */
int doctor_copy_make(const struct doctor_tree *tree, char **ret_directory, struct ph_error *error);

/* Write one text of a copy anew. */
int doctor_copy_write(const char *directory, const char *path, const char *bytes, size_t size,
		      struct ph_error *error);

/* Remove a copy and all it holds. */
void doctor_copy_remove(const char *directory);
