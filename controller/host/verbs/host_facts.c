/* Only fixed paths of the host: nothing here comes from a request or a container. */
#include "controller/host/verbs/host_facts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/exec/exec.h"

#define FILE_MAXIMUM (256 * 1024)

/* The whole of a small file; NULL when it is not there or too long. */
static char *read_file(const char *path)
{
	PH_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	PH_AUTO_FREE char *text = ph_alloc(FILE_MAXIMUM);
	ssize_t length = fd < 0 ? -errno : io_read(fd, text, FILE_MAXIMUM);

	if (length < 0 || length == FILE_MAXIMUM)
		return NULL;
	text[length] = '\0';
	return take_pointer(text);
}

void host_facts_subids(struct subids *ret_subids)
{
	PH_AUTO_FREE char *subuid = read_file("/etc/subuid");
	PH_AUTO_FREE char *subgid = read_file("/etc/subgid");

	subids_parse(subuid, subgid, ret_subids);
}

void host_facts_seccomp(const struct config *config, bool mount_api, bool vsock, char *path,
			size_t size)
{
	struct stat status;
	int length = snprintf(path, size, "%s/seccomp%s%s", config->profiles_dir,
			      mount_api ? "-mount-api" : "", vsock ? "-vsock" : "");

	if (length < 0 || (size_t)length >= size || stat(path, &status) < 0 ||
	    !S_ISREG(status.st_mode))
		path[0] = '\0';
}

enum host_facts_fuse host_facts_fuse(void)
{
	struct stat status;

	if (lstat("/dev/fuse", &status) < 0 || !S_ISCHR(status.st_mode))
		return HOST_FACTS_FUSE_MISSING;
	return (status.st_mode & 0666) == 0666 ? HOST_FACTS_FUSE_OPEN : HOST_FACTS_FUSE_CLOSED;
}

bool host_facts_open_fuse(void)
{
	return host_facts_fuse() == HOST_FACTS_FUSE_CLOSED && chmod("/dev/fuse", 0666) == 0;
}

bool host_facts_has_filesystem(const char *type)
{
	PH_AUTO_FREE char *list = read_file("/proc/filesystems");
	PH_AUTO_FREE char *line = ph_format("\t%s\n", type);

	return list && strstr(list, line);
}

void host_facts_load_modules(void)
{
	static const char *const modules[] = { "overlay", "fuse", "veth", "br_netfilter" };

	for (size_t i = 0; i < ARRAY_LENGTH(modules); i++) {
		const char *const argv[] = { "modprobe", "-q", modules[i], NULL };

		exec_check(argv, NULL, NULL, NULL);
	}
}
