#include "controller/host/image/image_check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/host/tree/tree.h"

#define OS_RELEASE_MAXIMUM 65536

/* What an image needs, and what is wrong without it. */
static const struct {
	const char *paths[2]; /* one of them, a regular file */
	const char *why;
	const char *remedy;
} needs[] = {
	{ { "etc/os-release", "usr/lib/os-release" },
	  "no /etc/os-release in it: this is not the root filesystem of a Linux distribution",
	  "pack the root filesystem with 'tar -C ROOTFS -c .'" },
	{ { "bin/sh", "usr/bin/sh" },
	  "no /bin/sh in it: the root filesystem is incomplete",
	  "build it with 'phoenixctl image build' or mmdebstrap" },
	{ { "var/lib/dpkg/status", NULL },
	  "no /var/lib/dpkg/status in it: Phoenix installs Docker with apt, into Debian or Ubuntu",
	  "import a Debian or Ubuntu root filesystem" },
};

static bool has_one(int rootfs, const char *const paths[2])
{
	for (int i = 0; i < 2 && paths[i]; i++) {
		PH_AUTO_CLOSE int fd = -1;

		if (tree_open_read(rootfs, paths[i], &fd, NULL) == 0)
			return true;
	}
	return false;
}

/* The only directory at the top when it holds what belongs one level up; "" otherwise. */
static void find_wrapper(int rootfs, char wrapper[NAME_MAX + 1])
{
	PH_AUTO_DIR DIR *dir = fdopendir(openat(rootfs, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *entry;
	char path[NAME_MAX + 16];
	struct stat status;
	int count = 0;

	wrapper[0] = '\0';
	while (dir && (entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		text_copy(wrapper, NAME_MAX + 1, entry->d_name);
		count++;
	}
	snprintf(path, sizeof(path), "%s/etc", wrapper);
	if (count != 1 || tree_stat(rootfs, path, &status) < 0)
		wrapper[0] = '\0';
}

/* PRETTY_NAME="…" of an os-release, as plain ASCII: it is shown in listings. */
static void read_system(int rootfs, char system[96])
{
	PH_AUTO_FREE char *text = NULL;
	char *value, *end;

	text_copy(system, 96, "unknown");
	if (tree_read_small(rootfs, "etc/os-release", OS_RELEASE_MAXIMUM, &text, NULL, NULL) < 0 &&
	    tree_read_small(rootfs, "usr/lib/os-release", OS_RELEASE_MAXIMUM, &text, NULL, NULL) < 0)
		return;
	value = strstr(text, "PRETTY_NAME=");
	if (!value || (value != text && value[-1] != '\n'))
		return;
	value += strlen("PRETTY_NAME=");
	value += *value == '"';
	end = value + strcspn(value, "\"\n");
	*end = '\0';
	for (char *at = value; *at; at++)
		if (*at < 0x20 || *at > 0x7e)
			*at = '?';
	text_copy(system, 96, value);
}

int image_check(int rootfs, char system[96], struct ph_error *error)
{
	char wrapper[NAME_MAX + 1];

	for (size_t i = 0; i < ARRAY_LENGTH(needs); i++) {
		if (has_one(rootfs, needs[i].paths))
			continue;
		find_wrapper(rootfs, wrapper);
		if (wrapper[0])
			return error_set(error, -EINVAL, wrapper,
					 "pack the root filesystem with 'tar -C ROOTFS -c .'",
					 "everything in the archive lies in the folder '%s'",
					 wrapper);
		return error_set(error, -EINVAL, needs[i].paths[0], needs[i].remedy, "%s",
				 needs[i].why);
	}
	read_system(rootfs, system);
	return 0;
}
