/*
 * Images: root filesystems that containers are cloned from, at STATE/images/NAME/{rootfs,
 * image.json}. Imported from an archive that somebody put into the spool; owners are as in the
 * archive (unshifted), so that one image serves every id range. Root only on the host: an image
 * holds setuid files. Knows nothing of what runs from them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config.h"
#include "common/error.h"

struct image {
	char name[64];
	char source[256];     /* for the record: what the operator named */
	char digest[65];      /* sha256 of the archive as hex */
	char system[96];      /* PRETTY_NAME of its os-release */
	uint64_t size_bytes;  /* of the contents, unpacked */
	uint64_t created_ms;  /* Unix time */
	uint32_t highest_id;  /* largest uid or gid in it: id ranges must be longer */
};

struct image_import {
	const char *name;
	const char *spool_file;     /* a plain file name inside STATE/spool */
	const char *source;         /* for the record; may be NULL */
	uint64_t bytes_maximum;     /* unpacked; 0: 64 GiB */
	uint64_t entries_maximum;   /* 0: 4 million */
};

enum image_outcome {
	IMAGE_CHANGED = 0,
	IMAGE_UNCHANGED = 1,
};

/*
 * Import an archive (tar, plain or compressed with gzip, xz or zstd) as an image. The spool file
 * stays. IMAGE_UNCHANGED when the same archive is that image already. Nothing remains of an import
 * that fails. -EBUSY with the containers' names when it would replace an image in use, -EINVAL when
 * the archive is unsafe or no system Phoenix can use, -ENOSPC, -EFBIG over a limit.
 */
int image_import(const struct config *config, const struct image_import *request,
		 struct image *ret_image, struct ph_error *error);

/* Find an image by name; -ENOENT with the remedy when there is none. */
int image_find(const struct config *config, const char *name, struct image *ret_image,
	       struct ph_error *error);

/* List the images by name; the caller frees the array. */
int image_list(const struct config *config, struct image **ret_images, size_t *ret_count,
	       struct ph_error *error);

/*
 * Find an image and keep it from being removed or replaced until the descriptor is closed, which the
 * caller does soon: nobody can remove or publish any image meanwhile.
 */
int image_hold(const struct config *config, const char *name, struct image *ret_image,
	       int *ret_lock, struct ph_error *error);

/*
 * Remove an image. IMAGE_UNCHANGED when there is none, -EBUSY with the containers' names while some
 * have a root of it, be it one that is kept.
 */
int image_remove(const struct config *config, const char *name, struct ph_error *error);

/* Open the image's root directory; the caller closes it. */
int image_open_rootfs(const struct config *config, const char *name, int *ret_root,
		      struct ph_error *error);
