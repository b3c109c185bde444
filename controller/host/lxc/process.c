/* /proc is opened by path once per process; everything below it goes through that descriptor. */
#include "controller/host/lxc/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/str.h"

#define STATUS_SIZE 4096

int process_open(pid_t pid)
{
	char path[32];
	struct statfs file_system;
	int fd;

	if (pid <= 0)
		return -ESRCH;
	snprintf(path, sizeof(path), "/proc/%d", pid);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	if (fstatfs(fd, &file_system) < 0 || file_system.f_type != PROC_SUPER_MAGIC) {
		close(fd);
		return -EXDEV;
	}
	return fd;
}

int process_read_file(int process, const char *file, char *text, size_t size)
{
	PH_AUTO_CLOSE int fd = openat(process, file, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	length = io_read(fd, text, size - 1);
	if (length < 0)
		return (int)length;
	text[length] = '\0';
	return 0;
}

/* The text behind "\nKEY:\t", up to the end of its line; NULL without such a line. */
static const char *find_field(const char *status, const char *key)
{
	char needle[32];
	const char *found;

	snprintf(needle, sizeof(needle), "\n%s:\t", key);
	found = strstr(status, needle);
	return found ? found + strlen(needle) : NULL;
}

/* The pids in all namespaces, the outermost first. */
static void read_levels(const char *text, struct process_status *ret_status)
{
	ret_status->levels = 0;
	while (*text && *text != '\n') {
		ret_status->levels++;
		ret_status->inner = (pid_t)strtol(text, NULL, 10);
		text += strcspn(text, "\t\n");
		text += *text == '\t';
	}
}

static void copy_name(const char *status, struct process_status *ret_status)
{
	const char *name = text_has_prefix(status, "Name:\t") ? status + 6 : "?";
	size_t length = strcspn(name, "\n");

	if (length >= sizeof(ret_status->name))
		length = sizeof(ret_status->name) - 1;
	memcpy(ret_status->name, name, length);
	ret_status->name[length] = '\0';
	for (char *byte = ret_status->name; *byte; byte++)
		if ((unsigned char)*byte < 0x20 || *byte == 0x7f)
			*byte = '?';
}

int process_read_status(int process, struct process_status *ret_status)
{
	char text[STATUS_SIZE];
	const char *parent, *levels, *uid;
	int code = process_read_file(process, "status", text, sizeof(text));

	if (code < 0)
		return code;
	parent = find_field(text, "PPid");
	levels = find_field(text, "NSpid");
	uid = find_field(text, "Uid");
	if (!parent || !levels || !uid)
		return -EIO;
	copy_name(text, ret_status);
	ret_status->parent = (pid_t)strtol(parent, NULL, 10);
	read_levels(levels, ret_status);
	uid += strcspn(uid, "\t\n"); /* real, then effective */
	ret_status->uid = (uid_t)strtoul(uid, NULL, 10);
	return 0;
}

bool process_is_alive(int process)
{
	char text[1024];
	const char *name_end;

	if (process_read_file(process, "stat", text, sizeof(text)) < 0)
		return false;
	name_end = strrchr(text, ')'); /* the name in parentheses may hold anything */
	return name_end && strncmp(name_end, ") Z", 3) != 0 && strncmp(name_end, ") X", 3) != 0;
}

int process_read_start(int process, uint64_t *ret_ticks)
{
	char text[1024];
	const char *field;
	int code = process_read_file(process, "stat", text, sizeof(text));

	if (code < 0)
		return code;
	field = strrchr(text, ')'); /* the name in parentheses may hold anything */
	for (int i = 2; field && i < 22; i++) {
		field = strchr(field, ' ');
		field = field ? field + 1 : NULL;
	}
	if (!field)
		return -EIO;
	*ret_ticks = strtoull(field, NULL, 10);
	return 0;
}

int process_read_exe(int process, char *text, size_t size)
{
	ssize_t length = readlinkat(process, "exe", text, size - 1);

	if (length < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	text[length] = '\0';
	return 0;
}

static bool map_is(int process, const char *file, uint32_t base, uint32_t count)
{
	unsigned int inside, outside, length;
	char text[256], end;

	if (process_read_file(process, file, text, sizeof(text)) < 0)
		return false;
	if (sscanf(text, "%u %u %u %c", &inside, &outside, &length, &end) != 3)
		return false;
	return inside == 0 && outside == base && length == count;
}

bool process_has_map(int process, uint32_t base, uint32_t count)
{
	return map_is(process, "uid_map", base, count) && map_is(process, "gid_map", base, count);
}

bool process_same_namespace(int left, int right, const char *kind)
{
	struct stat left_status, right_status;
	char path[32];

	snprintf(path, sizeof(path), "ns/%s", kind);
	if (fstatat(left, path, &left_status, 0) < 0 || fstatat(right, path, &right_status, 0) < 0)
		return false;
	return left_status.st_ino == right_status.st_ino &&
	       left_status.st_dev == right_status.st_dev;
}

int process_kill(pid_t pid, int process, int timeout_ms)
{
	PH_AUTO_CLOSE int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd poll_end = { .fd = pidfd, .events = POLLIN };
	uint64_t ticks;

	if (pidfd < 0)
		return errno == ESRCH ? 0 : -errno;
	/* Readable through the old descriptor: the number has not passed to another process. */
	if (process_read_start(process, &ticks) < 0)
		return 0;
	if (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
		return -errno;
	for (;;) {
		int ready = poll(&poll_end, 1, timeout_ms);

		if (ready > 0)
			return 0;
		if (ready == 0)
			return -ETIME;
		if (errno != EINTR)
			return -errno;
	}
}
