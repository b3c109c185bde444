/*
 * Containers in the registered LXC paths, whoever made them: their configuration, which is believed
 * only when it is root's alone, and what lies in their file systems, which a container can write and
 * which is looked at through the tree module and never followed. Looks only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config.h"
#include "common/error.h"
#include "controller/host/lxc/lxc_config.h"

#define FOREIGN_IMAGES_MAXIMUM 512
#define FOREIGN_DRIVERS_MAXIMUM 8

struct foreign {
	char name[64];
	char lxc_path[CONFIG_LXC_PATH_SIZE];
	char profile[128];    /* as configured; "" when the configuration says nothing */
	char rootfs[256];     /* a directory of the host; "" when it is none */
	char data_root[256];  /* Docker's on the host; "" when it cannot be looked at */
	uint32_t id_base, id_count; /* 0: none that can be held */
	char drivers[FOREIGN_DRIVERS_MAXIMUM][32]; /* that Docker has images for */
	size_t driver_count;
	char (*images)[16];   /* owned; the first 12 digits of their ids, ascending */
	size_t image_count;
	char docker[96];      /* "docker.io 20.10.24": what its package database claims; "" none */
	struct ph_error obstacle; /* why it cannot be adopted; not set: it can */
};

/*
 * Read a container's configuration file. -EPERM when others than root could have written it; the
 * caller ends text and config.
 */
int foreign_read_config(const char *lxc_path, const char *name, char **ret_text,
			size_t *ret_length, struct lxc_config *ret_config, struct ph_error *error);

/*
 * Look at a container; what stands in the way of its adoption is in the result, not an error.
 * -ENOENT when there is no container of that name. End with foreign_fini().
 */
int foreign_look(const char *lxc_path, const char *name, struct foreign *ret_foreign,
		 struct ph_error *error);

/* Free what it owns. */
void foreign_fini(struct foreign *foreign);

/* List the names in a registered path that have a configuration; the caller frees. */
int foreign_names(const char *lxc_path, char (**ret_names)[64], size_t *ret_count,
		  struct ph_error *error);

/*
 * Find the version of a package in the text of dpkg's status file: what a container says of itself.
 * Pure. False when it is not installed.
 */
bool foreign_package_version(const char *status, const char *package, char *version, size_t size);
