/*
 * Clones: a container's own root filesystem made from an image, and its data-root.
 *
 *   STATE/containers/NAME             root:idbase 0710: only root and the container get in
 *   STATE/containers/NAME/clone.json  root; what this clone is made of
 *   STATE/containers/NAME/rootfs      the root filesystem: give it to liblxc as dir:
 *   STATE/containers/NAME/upper,work  of the overlay
 *   STATE/containers/NAME/snapshot    root 0700; of the image, with the image's own ids
 *   STATE/data/NAME                   idbase:idbase 0711; the data-root, bind source for
 *                                     /var/lib/docker; a nosuid,nodev,private mount of itself
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

struct clone {
	char name[64];
	char image[64];
	char digest[65];        /* of the image it was made from */
	enum clone_method method;
	char reason[128];       /* why this method; "" in records of before there was a choice */
	uint32_t id_base;
	uint32_t id_count;
	uint64_t created_ms;    /* Unix time */
	bool complete;          /* false: an interrupted clone_create() */
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

/* Open the root of a clone for the tree module; mount it first. The caller closes it. */
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
