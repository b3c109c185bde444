/* Directories of distributions, and a file whose name carries the version. */
#include "controller/host/lxc/systemd_version.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/host/tree/tree.h"

#define LIBRARY "libsystemd-core-"
#define FIRST_WITHOUT_MOUNT 259
/* A directory of the container's: no more than this is read of it. */
#define ENTRIES_MAXIMUM 4096
#define VERSION_MAXIMUM 100000

/* "libsystemd-core-262.so", "libsystemd-core-262.1-2.fc44.so". */
static unsigned int version_of(const char *name)
{
	unsigned long version = 0;

	if (!text_has_prefix(name, LIBRARY) || !text_has_suffix(name, ".so"))
		return 0;
	for (const char *digit = name + strlen(LIBRARY); *digit >= '0' && *digit <= '9'; digit++) {
		version = version * 10 + (unsigned long)(*digit - '0');
		if (version > VERSION_MAXIMUM)
			return 0;
	}
	return (unsigned int)version;
}

static unsigned int find_in(int root, const char *path)
{
	PH_AUTO_DIR DIR *directory = NULL;
	const struct dirent *entry;
	unsigned int newest = 0;
	int fd;

	if (tree_open_dir(root, path, &fd, NULL) < 0)
		return 0;
	directory = fdopendir(fd);
	if (!directory) {
		close(fd);
		return 0;
	}
	for (size_t i = 0; i < ENTRIES_MAXIMUM && (entry = readdir(directory)); i++) {
		unsigned int version = version_of(entry->d_name);

		newest = version > newest ? version : newest;
	}
	return newest;
}

unsigned int systemd_version(int root)
{
	static const char *const places[] = {
		"usr/lib/x86_64-linux-gnu/systemd",
		"usr/lib/aarch64-linux-gnu/systemd",
		"usr/lib/systemd",
		"usr/lib64/systemd",
	};
	unsigned int newest = 0;

	for (size_t i = 0; i < ARRAY_LENGTH(places); i++) {
		unsigned int version = find_in(root, places[i]);

		newest = version > newest ? version : newest;
	}
	return newest;
}

bool systemd_needs_mount_api(unsigned int version)
{
	return version >= FIRST_WITHOUT_MOUNT;
}
