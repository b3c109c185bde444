/* The only openat2 of the project. */
#include "controller/host/tree/resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RENAME_RETRIES 256

int tree_openat2(int root, const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = resolve };

	/* EAGAIN: something was renamed while the kernel looked. A container can do that all day,
	 * so the number is bounded. */
	for (int i = 0; i < RENAME_RETRIES; i++) {
		long fd = syscall(SYS_openat2, root, path, &how, sizeof(how));

		if (fd >= 0)
			return (int)fd;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
	}
	return -EAGAIN;
}

const char *tree_relative(const char *path)
{
	while (*path == '/')
		path++;
	return *path ? path : ".";
}

static bool has_dot_dot(const char *path)
{
	for (const char *at = path; (at = strstr(at, "..")); at += 2)
		if ((at == path || at[-1] == '/') && (at[2] == '/' || at[2] == '\0'))
			return true;
	return false;
}

int tree_place_parse(const char *path, struct tree_place *ret_place)
{
	const char *relative = tree_relative(path);
	const char *slash = strrchr(relative, '/');
	const char *leaf = slash ? slash + 1 : relative;
	size_t parent = slash ? (size_t)(slash - relative) : 0;

	if (!*leaf || strcmp(leaf, ".") == 0 || has_dot_dot(relative))
		return -EINVAL;
	if (strlen(leaf) > NAME_MAX || parent >= sizeof(ret_place->parent))
		return -ENAMETOOLONG;
	if (parent)
		memcpy(ret_place->parent, relative, parent);
	else
		ret_place->parent[parent++] = '.';
	ret_place->parent[parent] = '\0';
	memcpy(ret_place->leaf, leaf, strlen(leaf) + 1);
	return 0;
}

int tree_reopen(int path_fd)
{
	char link[64];
	int fd;

	/* The one magic link that is followed: of our own descriptor, in the host's /proc. */
	snprintf(link, sizeof(link), "/proc/self/fd/%d", path_fd);
	fd = open(link, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}
