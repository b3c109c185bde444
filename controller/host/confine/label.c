/*
 * Labels end with the mode in parentheses and profile names may contain parentheses and blanks, so
 * the text is read from its end.
 */
#include "controller/host/confine/label.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"

#define STACK_SEPARATOR "//&"

static const char *const MODE_NAMES[] = {
	[CONFINE_MODE_UNCONFINED] = "unconfined", [CONFINE_MODE_ENFORCE] = "enforce",
	[CONFINE_MODE_COMPLAIN] = "complain",     [CONFINE_MODE_KILL] = "kill",
	[CONFINE_MODE_MIXED] = "mixed",
};

/* The per-LSM file first: attr/current belongs to whichever security module comes first. */
static const char *const LABEL_FILES[] = { "attr/apparmor/current", "attr/current" };

const char *confine_mode_name(enum confine_mode mode)
{
	if ((size_t)mode >= ARRAY_LENGTH(MODE_NAMES))
		return "other";
	return MODE_NAMES[mode];
}

static enum confine_mode mode_parse(const char *text, size_t length)
{
	for (size_t i = 0; i < ARRAY_LENGTH(MODE_NAMES); i++) {
		if (strlen(MODE_NAMES[i]) == length && !memcmp(MODE_NAMES[i], text, length))
			return (enum confine_mode)i;
	}
	return CONFINE_MODE_OTHER;
}

static bool is_printable(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	}
	return length > 0;
}

/* Where " (MODE)" begins; NULL when the text does not end so. */
static const char *find_mode(const char *text, size_t length)
{
	const char *blank;

	if (length < 4 || text[length - 1] != ')')
		return NULL;
	blank = memrchr(text, ' ', length);
	if (!blank || blank == text || blank[1] != '(' || blank + 2 == text + length - 1)
		return NULL;
	return blank;
}

int confine_label_parse(const char *text, size_t length, struct confine_label *ret_label)
{
	enum confine_mode mode = CONFINE_MODE_UNCONFINED;
	size_t name_length;
	const char *blank;

	while (length && (text[length - 1] == '\n' || text[length - 1] == '\0'))
		length--;
	if (!is_printable(text, length))
		return -EINVAL;
	blank = find_mode(text, length);
	if (blank) {
		mode = mode_parse(blank + 2, (size_t)(text + length - 1 - (blank + 2)));
		name_length = (size_t)(blank - text);
	} else if (length == strlen("unconfined") && !memcmp(text, "unconfined", length)) {
		name_length = length;
	} else {
		return -EINVAL;
	}
	if (name_length >= sizeof(ret_label->name))
		return -ENAMETOOLONG;
	memcpy(ret_label->name, text, name_length);
	ret_label->name[name_length] = '\0';
	ret_label->mode = mode;
	return 0;
}

static bool stack_contains(const char *stack, const char *profile)
{
	size_t wanted = strlen(profile);

	for (;;) {
		const char *end = strstr(stack, STACK_SEPARATOR);
		size_t length = end ? (size_t)(end - stack) : strlen(stack);

		if (length == wanted && !memcmp(stack, profile, length))
			return true;
		if (!end)
			return false;
		stack = end + strlen(STACK_SEPARATOR);
	}
}

bool confine_label_enforces(const struct confine_label *label, const char *profile)
{
	if (text_empty(profile))
		return false;
	if (label->mode != CONFINE_MODE_ENFORCE && label->mode != CONFINE_MODE_KILL)
		return false;
	return stack_contains(label->name, profile);
}

char *confine_label_format(const struct confine_label *label, char *text, size_t size)
{
	if (text_equal(label->name, "unconfined"))
		text_copy(text, size, label->name);
	else
		snprintf(text, size, "%s (%s)", label->name, confine_mode_name(label->mode));
	return text;
}

int confine_proc_open(struct ph_error *error)
{
	PH_AUTO_CLOSE int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statfs status;

	if (proc < 0)
		return error_errno(error, -errno, "/proc", "mount procfs there", "open");
	if (fstatfs(proc, &status) || status.f_type != PROC_SUPER_MAGIC)
		return error_set(error, -ENOTSUP, "/proc", "mount procfs there",
				 "it is not a procfs");
	return take_fd(&proc);
}

static int read_file(int process, const char *file, struct confine_label *ret_label)
{
	char text[CONFINE_LABEL_SIZE + 64];
	PH_AUTO_CLOSE int fd = openat(process, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t length;

	if (fd < 0)
		return -errno;
	length = read(fd, text, sizeof(text));
	if (length < 0)
		return -errno;
	if ((size_t)length == sizeof(text))
		return -ENAMETOOLONG;
	return confine_label_parse(text, (size_t)length, ret_label);
}

int confine_label_read(int process, struct confine_label *ret_label)
{
	int code = -ENOENT;

	for (size_t i = 0; i < ARRAY_LENGTH(LABEL_FILES) && code == -ENOENT; i++)
		code = read_file(process, LABEL_FILES[i], ret_label);
	/* A directory whose process has gone answers ENOENT as well. */
	if (code == -ENOENT && faccessat(process, "stat", F_OK, 0))
		return -ESRCH;
	/* Without an owner of the file the kernel answers EINVAL; another module's text is none of
	 * ours. */
	if (code == -EINVAL || code == -ENOENT)
		return -ENOTSUP;
	return code;
}

int confine_label_read_pid(int proc, pid_t pid, struct confine_label *ret_label)
{
	PH_AUTO_CLOSE int process = -1;
	char name[16];

	if (pid <= 0)
		return -EINVAL;
	snprintf(name, sizeof(name), "%d", pid);
	process = openat(proc, name, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (process < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return confine_label_read(process, ret_label);
}
