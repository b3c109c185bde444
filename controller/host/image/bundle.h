/*
 * Bundles: package archives for hosts without a network, at STATE/bundles/NAME. A bundle is flat:
 * SHA256SUMS (the manifest), Packages (apt's index) and the .deb files. It is imported from an archive
 * in the spool like an image, and shown read-only to every container at /dev/phoenix-bundles. Knows
 * nothing of what is in the packages.
 */
#pragma once

#include "common/config.h"
#include "controller/host/image/image.h"

/*
 * Import an archive as a bundle: unpacked as images are, then every file is checked against the
 * manifest, and nothing may be there that it does not name. Outcomes as image_import(); digest is the
 * manifest's. -EBADMSG names the file that differs. Nothing remains of an import that fails.
 */
int bundle_import(const struct config *config, const struct image_import *request,
		  struct image *ret_bundle, struct ph_error *error);

/* Find a bundle by name; -ENOENT with the remedy when there is none. */
int bundle_find(const struct config *config, const char *name, struct image *ret_bundle,
		struct ph_error *error);

/* List the bundles by name; the caller frees the array. */
int bundle_list(const struct config *config, struct image **ret_bundles, size_t *ret_count,
		struct ph_error *error);

/* Remove a bundle. IMAGE_UNCHANGED when there is none. Containers keep what they have installed. */
int bundle_remove(const struct config *config, const char *name, struct ph_error *error);
