#include "controller/host/lxc/foreign.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/tree/tree.h"

#define CONFIG "config"
#define DOCKER_ROOT "var/lib/docker"
#define STATUS_MAXIMUM (16 * 1024 * 1024)
#define NAMES_MAXIMUM 1024

static int open_container_dir(const char *lxc_path, const char *name, int *ret_dir,
			      struct ph_error *error)
{
	PH_AUTO_CLOSE int path = -1;
	struct stat status;
	int code;

	if (!name_is_valid(name))
		return error_set(error, -EINVAL, name, NULL, "a name is [a-z0-9][a-z0-9-]{0,62}");
	code = tree_open_root(lxc_path, &path, error);
	if (code < 0)
		return code;
	if (tree_stat(path, name, &status) == -ENOENT)
		return error_set(error, -ENOENT, lxc_path, "lxc-ls shows what there is",
				 "there is no container '%s'", name);
	return tree_open_dir(path, name, ret_dir, error);
}

/* liblxc runs hooks that it names as the host's root. */
static int check_owner(int file, struct ph_error *error)
{
	struct stat status;

	if (fstat(file, &status) < 0)
		return error_errno(error, -errno, CONFIG, NULL, "stat");
	if (status.st_uid == 0 && !(status.st_mode & (S_IWGRP | S_IWOTH)))
		return 0;
	return error_set(error, -EPERM, CONFIG, "chown root it, and chmod go-w it",
			 "others than root could have written its configuration (owner %u, mode %o)",
			 status.st_uid, status.st_mode & 07777);
}

int foreign_read_config(const char *lxc_path, const char *name, char **ret_text,
			size_t *ret_length, struct lxc_config *ret_config, struct ph_error *error)
{
	PH_AUTO_CLOSE int dir = -1;
	PH_AUTO_CLOSE int file = -1;
	PH_AUTO_FREE char *text = NULL;
	size_t length;
	int code = open_container_dir(lxc_path, name, &dir, error);

	if (code == 0)
		code = tree_open_plain(dir, CONFIG, &file, error);
	if (code == 0)
		code = check_owner(file, error);
	if (code == 0)
		code = tree_read_small(dir, CONFIG, LXC_CONFIG_TEXT_MAXIMUM, &text, &length, error);
	if (code == 0)
		code = lxc_config_parse(text, length, ret_config, error);
	if (code < 0)
		return code;
	*ret_text = take_pointer(text);
	*ret_length = length;
	return 0;
}

/* ---- its file system ---- */

bool foreign_package_version(const char *status, const char *package, char *version, size_t size)
{
	PH_AUTO_FREE char *head = ph_format("Package: %s\n", package);
	const char *at = status, *end, *line;

	while ((at = strstr(at, head)) && at != status && at[-1] != '\n')
		at++;
	if (!at)
		return false;
	end = strstr(at, "\n\n");
	line = strstr(at, "\nStatus: install ok installed\n");
	if (!line || (end && line > end))
		return false;
	line = strstr(at, "\nVersion: ");
	if (!line || (end && line > end))
		return false;
	line += strlen("\nVersion: ");
	snprintf(version, size, "%.*s", (int)strcspn(line, "\n"), line);
	for (char *byte = version; *byte; byte++)
		if ((unsigned char)*byte < 0x20 || (unsigned char)*byte > 0x7e)
			*byte = '?';
	return true;
}

static void look_at_packages(int root, struct foreign *foreign)
{
	static const char *const packages[] = { "docker-ce", "docker.io" };
	PH_AUTO_FREE char *status = NULL;
	char version[64];

	if (tree_read_small(root, "var/lib/dpkg/status", STATUS_MAXIMUM, &status, NULL, NULL) < 0)
		return;
	for (size_t i = 0; i < ARRAY_LENGTH(packages) && !foreign->docker[0]; i++)
		if (foreign_package_version(status, packages[i], version, sizeof(version)))
			snprintf(foreign->docker, sizeof(foreign->docker), "%s %s", packages[i],
				 version);
}

static int by_name(const void *left, const void *right)
{
	return strcmp(left, right);
}

/* Ids are the names of files; anything else there is none of Docker's. */
static void look_at_images(int image, const char *driver, struct foreign *foreign)
{
	PH_AUTO_FREE char *path = ph_format("%s/imagedb/content/sha256", driver);
	PH_AUTO_DIR DIR *entries = NULL;
	struct dirent *entry;
	int dir = -1;

	if (tree_open_dir(image, path, &dir, NULL) < 0)
		return;
	entries = fdopendir(dir);
	while (entries && foreign->image_count < FOREIGN_IMAGES_MAXIMUM &&
	       (entry = readdir(entries))) {
		if (strspn(entry->d_name, "0123456789abcdef") != 64)
			continue;
		foreign->images = ph_realloc(foreign->images, (foreign->image_count + 1) *
								      sizeof(*foreign->images));
		snprintf(foreign->images[foreign->image_count++], sizeof(*foreign->images), "%.12s",
			 entry->d_name);
	}
	if (!entries)
		close(dir);
}

static void look_at_drivers(int data_root, struct foreign *foreign)
{
	PH_AUTO_DIR DIR *entries = NULL;
	struct dirent *entry;
	int image = -1;

	if (tree_open_dir(data_root, "image", &image, NULL) < 0)
		return;
	entries = fdopendir(image);
	while (entries && foreign->driver_count < FOREIGN_DRIVERS_MAXIMUM &&
	       (entry = readdir(entries))) {
		size_t length = strlen(entry->d_name);

		if (length >= sizeof(*foreign->drivers) ||
		    strspn(entry->d_name, "abcdefghijklmnopqrstuvwxyz0123456789-") != length)
			continue;
		strcpy(foreign->drivers[foreign->driver_count++], entry->d_name);
		look_at_images(image, entry->d_name, foreign);
	}
	if (foreign->image_count)
		qsort(foreign->images, foreign->image_count, sizeof(*foreign->images), by_name);
	if (!entries)
		close(image);
}

/* A plain directory; other kinds of storage are mounted by liblxc and have no path on the host. */
static void find_rootfs(const struct lxc_config *config, struct foreign *foreign)
{
	const char *path = lxc_config_get(config, "lxc.rootfs.path");

	if (path && strncmp(path, "dir:", 4) == 0)
		path += 4;
	if (path && path[0] == '/')
		text_copy(foreign->rootfs, sizeof(foreign->rootfs), path);
}

static void look_inside(const struct lxc_config *config, struct foreign *foreign)
{
	PH_AUTO_CLOSE int root = -1;
	PH_AUTO_CLOSE int data_root = -1;
	size_t length = 0;
	const char *mounted = lxc_config_mounted_at(config, DOCKER_ROOT, &length);

	find_rootfs(config, foreign);
	if (!foreign->rootfs[0] || tree_open_root(foreign->rootfs, &root, NULL) < 0)
		return;
	look_at_packages(root, foreign);
	if (mounted && mounted[0] == '/') {
		snprintf(foreign->data_root, sizeof(foreign->data_root), "%.*s", (int)length,
			 mounted);
		if (tree_open_root(foreign->data_root, &data_root, NULL) < 0)
			return;
	} else {
		if (tree_open_dir(root, DOCKER_ROOT, &data_root, NULL) < 0)
			return;
		snprintf(foreign->data_root, sizeof(foreign->data_root), "%.200s/" DOCKER_ROOT,
			 foreign->rootfs);
	}
	look_at_drivers(data_root, foreign);
}

/* ---- whole ---- */

int foreign_look(const char *lxc_path, const char *name, struct foreign *ret_foreign,
		 struct ph_error *error)
{
	PH_AUTO_FREE char *text = NULL;
	struct foreign foreign = { 0 };
	struct lxc_config config;
	const char *profile;
	size_t length;
	int code = foreign_read_config(lxc_path, name, &text, &length, &config, error);

	if (code == -ENOENT || code == -EINVAL)
		return code;
	text_copy(foreign.name, sizeof(foreign.name), name);
	text_copy(foreign.lxc_path, sizeof(foreign.lxc_path), lxc_path);
	if (code < 0) {
		foreign.obstacle = *error;
		error_clear(error);
		*ret_foreign = foreign;
		return 0;
	}
	profile = lxc_config_get(&config, "lxc.apparmor.profile");
	text_copy(foreign.profile, sizeof(foreign.profile), profile ? profile : "");
	if (lxc_config_id_map(&config, &foreign.id_base, &foreign.id_count, &foreign.obstacle) ==
	    -ENOENT)
		foreign.obstacle.code = -EPERM; /* it is there, and refused */
	look_inside(&config, &foreign);
	lxc_config_fini(&config);
	*ret_foreign = foreign;
	return 0;
}

void foreign_fini(struct foreign *foreign)
{
	free(foreign->images);
	foreign->images = NULL;
}

int foreign_names(const char *lxc_path, char (**ret_names)[64], size_t *ret_count,
		  struct ph_error *error)
{
	char (*names)[64] = NULL;
	PH_AUTO_DIR DIR *entries = NULL;
	struct dirent *entry;
	size_t count = 0;
	int path = -1, code = tree_open_root(lxc_path, &path, error);

	if (code < 0)
		return code;
	entries = fdopendir(path);
	while (entries && count < NAMES_MAXIMUM && (entry = readdir(entries))) {
		char config[80];
		struct stat status;

		if (!name_is_valid(entry->d_name))
			continue;
		snprintf(config, sizeof(config), "%.63s/" CONFIG, entry->d_name);
		if (tree_stat(dirfd(entries), config, &status) < 0)
			continue;
		names = ph_realloc(names, (count + 1) * sizeof(*names));
		text_copy(names[count++], sizeof(*names), entry->d_name);
	}
	if (!entries)
		close(path);
	if (count)
		qsort(names, count, sizeof(*names), by_name);
	*ret_names = names;
	*ret_count = count;
	return 0;
}
