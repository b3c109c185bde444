/*
 * The kernel takes the mapping from a user namespace. One is made by a child that does nothing but
 * wait in it; its descriptor keeps the namespace when the child is gone. The child waits for the
 * end of a socket and so cannot outlive us, whenever we are killed: it would keep our locks.
 */
#include "controller/host/image/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"

static int write_map(pid_t child, const char *file, const char *map)
{
	char path[64];
	PH_AUTO_CLOSE int fd = -1;

	snprintf(path, sizeof(path), "/proc/%d/%s", child, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, map, strlen(map)) < 0)
		return -errno;
	return 0;
}

/* Give the child's namespace its map and open it. */
static int map_namespace(pid_t child, uint32_t base, uint32_t count)
{
	char map[64], path[64];
	int fd, result;

	snprintf(map, sizeof(map), "0 %u %u", base, count);
	snprintf(path, sizeof(path), "/proc/%d/ns/user", child);
	result = write_map(child, "uid_map", map);
	if (result == 0)
		result = write_map(child, "gid_map", map);
	if (result < 0)
		return result;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static void __attribute__((noreturn)) wait_in_namespace(int parent)
{
	char result = 0;

	if (unshare(CLONE_NEWUSER) < 0)
		result = (char)errno;
	if (write(parent, &result, 1) == 1)
		while (read(parent, &result, 1) < 0 && errno == EINTR)
			;
	_exit(0);
}

/* A user namespace with the map 0 -> base; its descriptor or a negative errno. */
static int make_namespace(uint32_t base, uint32_t count)
{
	int ends[2], fd;
	char failure = EIO;
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	child = fork();
	if (child == 0) {
		close(ends[0]);
		wait_in_namespace(ends[1]);
	}
	close(ends[1]);
	if (child < 0)
		fd = -errno;
	else if (read(ends[0], &failure, 1) != 1)
		fd = -EIO;
	else
		fd = failure ? -failure : map_namespace(child, base, count);
	close(ends[0]);
	if (child > 0)
		waitpid(child, NULL, 0);
	return fd;
}

int idmap_clone_mount(int dir, uint32_t base, uint32_t count, bool read_only, int *ret_mount,
		      struct ph_error *error)
{
	struct mount_attr attributes = {
		.attr_set = MOUNT_ATTR_IDMAP | MOUNT_ATTR_NODEV |
			    (read_only ? MOUNT_ATTR_RDONLY : 0),
		.propagation = MS_PRIVATE,
	};
	PH_AUTO_CLOSE int namespace = make_namespace(base, count);
	PH_AUTO_CLOSE int tree = -1;

	if (namespace < 0)
		return error_errno(error, namespace, "user namespace",
				   "allow user namespaces: user.max_user_namespaces",
				   "make a user namespace");
	tree = open_tree(dir, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (tree < 0)
		return error_errno(error, -errno, NULL, NULL, "open_tree");
	attributes.userns_fd = (uint64_t)namespace;
	if (mount_setattr(tree, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0)
		return error_errno(error, -errno, NULL, NULL, "idmap the mount (mount_setattr)");
	*ret_mount = take_fd(&tree);
	return 0;
}
