/*
 * Clones: a container's own root filesystem made from an image, and its data-root.
 *
 *   STATE/containers/NAME             root:idbase 0710: only root and the container get in
 *   STATE/containers/NAME/clone.json  root; what this clone is made of
 *   STATE/containers/NAME/rootfs      the root filesystem: give it to liblxc as dir:
 *   STATE/containers/NAME/upper,work  of the overlay
 *   STATE/containers/NAME/snapshot    root 0700; of the image, with the image's own ids
 *   STATE/containers/NAME/root-N      as NAME: the parts of a root that was made later
 *   STATE/data/NAME                   idbase:idbase 0711; the data-root, bind source for
 *                                     /var/lib/docker; a nosuid,nodev,private mount of itself
 *
 * A clone may have several roots: the one it runs on, the one it had before that, which is kept for
 * going back, and one that is made beside them to be used next. clone.json alone says which is
 * which, so that changing from one to another is one write of it; a root that it does not name is
 * what an interruption left. The data-root is the same for all of them.
 *
 * Overlay when the host can (an idmapped mount of the image as the lower layer), else a snapshot of
 * the image's subvolume, mounted idmapped, else a copy whose ids are shifted, sharing blocks where
 * the file system can. Container root 0 is id base on the host in all. Everything is idempotent and may be interrupted anywhere: doing it again
 * completes it. Knows nothing of liblxc: the directory's other files (config) are not touched,
 * except that clone_destroy() removes the whole directory.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config.h"
#include "common/error.h"

enum clone_method {
	CLONE_AUTO,
	CLONE_OVERLAY,  /* in the order in which CLONE_AUTO tries them */
	CLONE_SNAPSHOT,
	CLONE_REFLINK,
	CLONE_COPY,
	CLONE_METHODS,  /* their number */
};

/* One root filesystem of a clone; none when image is "". */
struct clone_root {
	unsigned int number;    /* 0: in the clone's directory itself, else in its root-NUMBER */
	char image[64];
	char digest[65];        /* of the image it was made from */
	enum clone_method method;
	char reason[128];       /* why this method; "" in records of before there was a choice */
	uint64_t created_ms;    /* Unix time */
	bool complete;          /* false: its making was interrupted */
};

struct clone {
	char name[64];
	uint32_t id_base;
	uint32_t id_count;
	struct clone_root current;  /* always there; incomplete: an interrupted clone_create() */
	struct clone_root kept;     /* the one before it */
	struct clone_root prepared; /* the one to be used next */
};

struct clone_request {
	const char *name;
	const char *image;
	uint32_t id_base;           /* at least 65536 */
	uint32_t id_count;          /* at least 65536 */
	enum clone_method method;   /* CLONE_AUTO: the first that works here */
	const char *resolv_conf;    /* contents for /etc/resolv.conf, see network_resolv_conf();
				     * NULL: the image's stays */
};

enum clone_outcome {
	CLONE_CHANGED = 0,
	CLONE_UNCHANGED = 1,
};

/*
 * Make a container's clone and data-root and mount what has to be mounted. Sets the hostname, hosts
 * and resolv.conf inside. CLONE_UNCHANGED when it is there already, -EEXIST when the name has a
 * clone of another image or id range, -ENOENT without the image. What a failed first creation has
 * made is removed again; other files in the directory stay. ret_clone may be NULL.
 */
int clone_create(const struct config *config, const struct clone_request *request,
		 struct clone *ret_clone, struct ph_error *error);

/*
 * Let a clone's current root be what is asked for, in the sense of clone_root_is(). A kept or
 * prepared root that is that changes places with the current one, and nothing is copied; else one is
 * made. The current one of before is kept, and the kept one of before goes, if it is a third. The
 * container must not run. With prepare the root is only made where there is none, and it may run.
 * Whatever is asked for, a prepared root that is something else goes.
 * CLONE_UNCHANGED when there was nothing to do, -ENOENT without clone or image, -EAGAIN when the
 * clone was never finished, -EEXIST when it has other ids. What a failure has made is removed again,
 * and the roots are those of before. ret_clone may be NULL.
 */
int clone_rebuild(const struct config *config, const struct clone_request *request, bool prepare,
		  struct clone *ret_clone, struct ph_error *error);

/*
 * Remove all of a clone's roots but the current one; the container may run. CLONE_UNCHANGED when
 * there were none, -ENOENT without a clone. ret_clone may be NULL.
 */
int clone_discard(const struct config *config, const char *name, struct clone *ret_clone,
		  struct ph_error *error);

/* Whether a root is whole, of this image and made by this method, or by any with CLONE_AUTO. */
bool clone_root_is(const struct clone_root *root, const char *image, enum clone_method method);

/*
 * Write the path of a clone's current root filesystem, which a rebuild changes; give it to liblxc.
 * -ENOENT when there is no clone.
 */
int clone_rootfs_path(const struct config *config, const char *name, char *path, size_t size,
		      struct ph_error *error);

/*
 * Mount a clone's root filesystem and data-root where they are not mounted, as after a reboot of
 * the host; call it before every start. CLONE_UNCHANGED when all was mounted.
 */
int clone_mount(const struct config *config, const char *name, struct ph_error *error);

/* Unmount both; what is busy is detached. CLONE_UNCHANGED when nothing was mounted. */
int clone_unmount(const struct config *config, const char *name, struct ph_error *error);

/*
 * Unmount and remove STATE/containers/NAME and STATE/data/NAME with all that is in them. The
 * container must not run. CLONE_UNCHANGED when neither was there.
 */
int clone_destroy(const struct config *config, const char *name, struct ph_error *error);

/* Read what a clone is made of; -ENOENT when there is none. */
int clone_find(const struct config *config, const char *name, struct clone *ret_clone,
	       struct ph_error *error);

/* List all clones by name, incomplete ones too; the caller frees the array. */
int clone_list(const struct config *config, struct clone **ret_clones, size_t *ret_count,
	       struct ph_error *error);

/* Open the current root of a clone for the tree module; mount it first. The caller closes it. */
int clone_open_rootfs(const struct config *config, const char *name, int *ret_root,
		      struct ph_error *error);

struct clone_probe {
	enum clone_method method;         /* what CLONE_AUTO takes here */
	char reasons[CLONE_METHODS][256]; /* why not this method; "" when it works */
};

/*
 * Try the methods on the real state directory, in a mount namespace of its own; takes milliseconds,
 * leaves nothing. The caller keeps the result when it asks often.
 */
int clone_probe(const struct config *config, struct clone_probe *ret_probe,
		struct ph_error *error);

/* The same up to the first method that works: it costs what is needed to choose. */
int clone_probe_first(const struct config *config, struct clone_probe *ret_probe,
		      struct ph_error *error);

/* The method's name: "overlay", "snapshot", "reflink", "copy", "auto". */
const char *clone_method_name(enum clone_method method);
