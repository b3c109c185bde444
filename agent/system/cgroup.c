/*
 * An init that knows cgroups mounts them; a container whose process 1 is a sleep or an application
 * has none, and then dockerd does not start ("no cgroup mount found in mountinfo"). On a hybrid host
 * the controllers are on v1 hierarchies, whatever else is mounted: those are what runc needs.
 */
#include "agent/system/cgroup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/system/file.h"
#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"

#define MOUNT_FLAGS (MS_NOSUID | MS_NODEV | MS_NOEXEC)
#define TEXT_MAXIMUM (1024 * 1024)
#define LEAF CGROUP_DIRECTORY "/init"
#define MOVE_ROUNDS 16 /* a process may fork while we move it */

/* v1 hierarchies that dockerd cannot do without, as far as the host has them. */
static const char *const needed[] = { "devices", "memory", "cpu", "pids", "freezer" };

/* --- pure ------------------------------------------------------------------------------------------ */

int cgroup_layout_parse(const char *text, struct cgroup_layout *ret_layout)
{
	struct cgroup_layout layout = { 0 };

	while (*text) {
		size_t length = strcspn(text, "\n");
		const char *controllers = memchr(text, ':', length), *path;
		size_t kept;

		if (!controllers)
			return -EBADMSG;
		controllers++;
		path = memchr(controllers, ':', length - (size_t)(controllers - text));
		if (!path)
			return -EBADMSG;
		kept = (size_t)(path - controllers);
		if (kept == 0) {
			layout.unified = true;
		} else if (layout.count < CGROUP_HIERARCHIES_MAXIMUM &&
			   kept < sizeof(layout.hierarchies[0].controllers)) {
			memcpy(layout.hierarchies[layout.count].controllers, controllers, kept);
			layout.count++;
			layout.legacy |= !text_has_prefix(controllers, "name=");
		}
		text += length + (text[length] == '\n');
	}
	*ret_layout = layout;
	return 0;
}

/* Whether a comma-separated list holds a word. */
static bool list_has(const char *list, size_t length, const char *word)
{
	size_t size = strlen(word);

	while (length > 0) {
		const char *comma = memchr(list, ',', length);
		size_t item = comma ? (size_t)(comma - list) : length;

		if (item == size && memcmp(list, word, size) == 0)
			return true;
		list += item;
		length -= item;
		if (length > 0) {
			list++;
			length--;
		}
	}
	return false;
}

struct mount_line {
	char point[256];
	char type[32];
	char options[512]; /* of the super block: the v1 controllers are among them */
};

/* "36 35 98:0 / /point rw,noatime shared:1 - type source options" */
static bool mount_line_parse(const char *line, size_t length, struct mount_line *ret_line)
{
	char copy[2048];
	char *tail;

	if (length >= sizeof(copy))
		return false;
	memcpy(copy, line, length);
	copy[length] = '\0';
	tail = strstr(copy, " - ");
	return tail && sscanf(copy, "%*s %*s %*s %*s %255s", ret_line->point) == 1 &&
	       sscanf(tail, " - %31s %*s %511s", ret_line->type, ret_line->options) == 2;
}

typedef bool (*mount_line_fn)(const struct mount_line *line, const void *user);

static bool any_mount(const char *mountinfo, mount_line_fn matches, const void *user)
{
	while (*mountinfo) {
		size_t length = strcspn(mountinfo, "\n");
		struct mount_line line;

		if (mount_line_parse(mountinfo, length, &line) && matches(&line, user))
			return true;
		mountinfo += length + (mountinfo[length] == '\n');
	}
	return false;
}

static bool is_unified(const struct mount_line *line, const void *user)
{
	return strcmp(line->type, "cgroup2") == 0 && strcmp(line->point, CGROUP_DIRECTORY) == 0;
}

static bool is_directory_mount(const struct mount_line *line, const void *user)
{
	return strcmp(line->point, CGROUP_DIRECTORY) == 0;
}

static bool has_controller(const struct mount_line *line, const void *user)
{
	return strcmp(line->type, "cgroup") == 0 &&
	       text_has_prefix(line->point, CGROUP_DIRECTORY "/") &&
	       list_has(line->options, strlen(line->options), user);
}

static bool layout_has(const struct cgroup_layout *layout, const char *controller)
{
	for (size_t i = 0; i < layout->count; i++) {
		const char *list = layout->hierarchies[i].controllers;

		if (list_has(list, strlen(list), controller))
			return true;
	}
	return false;
}

bool cgroup_is_mounted(const char *mountinfo, const struct cgroup_layout *layout)
{
	if (!layout->legacy)
		return any_mount(mountinfo, is_unified, NULL);
	for (size_t i = 0; i < ARRAY_LENGTH(needed); i++)
		if (layout_has(layout, needed[i]) &&
		    !any_mount(mountinfo, has_controller, needed[i]))
			return false;
	return true;
}

/* --- on this machine --------------------------------------------------------------------------------- */

static int facts_read(struct cgroup_layout *ret_layout, char **ret_mountinfo,
		      struct ph_error *error)
{
	PH_AUTO_FREE char *text = NULL;
	int result = file_read_virtual("/proc/self/cgroup", TEXT_MAXIMUM, &text, error);

	if (result == 0 && cgroup_layout_parse(text, ret_layout) < 0)
		result = error_set(error, -EBADMSG, "/proc/self/cgroup", NULL,
				   "its lines are not ID:CONTROLLERS:PATH");
	if (result == 0 && !ret_layout->unified && ret_layout->count == 0)
		result = error_set(error, -ENOTSUP, "/proc/self/cgroup",
				   "use a kernel with cgroups, and no cgroup namespace without them",
				   "this kernel offers no cgroups");
	if (result == 0)
		result = file_read_virtual("/proc/self/mountinfo", TEXT_MAXIMUM, ret_mountinfo,
					   error);
	return result;
}

int cgroup_check(struct ph_error *error)
{
	struct cgroup_layout layout;
	PH_AUTO_FREE char *mountinfo = NULL;
	int result = facts_read(&layout, &mountinfo, error);

	return result < 0 ? result : cgroup_is_mounted(mountinfo, &layout);
}

static int mount_error(const char *path, struct ph_error *error)
{
	return error_errno(error, -errno, path,
			   "let the container mount cgroups (the confinement profile and "
			   "lxc.mount.auto decide)",
			   "mount");
}

static int unified_mount(struct ph_error *error)
{
	if (mount("cgroup2", CGROUP_DIRECTORY, "cgroup2", MOUNT_FLAGS, NULL) < 0)
		return mount_error(CGROUP_DIRECTORY, error);
	return 0;
}

/* Mount one v1 hierarchy: 0, or -errno of mount() with the path in path. */
static int hierarchy_mount(const char *controllers, char *path, size_t size)
{
	const char *name = text_has_prefix(controllers, "name=") ? controllers + 5 : controllers;
	PH_AUTO_FREE char *options = ph_format("%s%s", name == controllers ? "" : "none,",
					       controllers);

	snprintf(path, size, CGROUP_DIRECTORY "/%s", name);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return -errno;
	if (mount("cgroup", path, "cgroup", MOUNT_FLAGS, options) < 0) {
		int code = -errno;

		rmdir(path);
		return code;
	}
	return 0;
}

/* "cpu,cpuacct" is looked for under either name. */
static void hierarchy_alias(const char *controllers)
{
	const char *comma = strchr(controllers, ',');
	char path[256];

	if (!comma || text_has_prefix(controllers, "name="))
		return;
	for (const char *word = controllers; word; word = comma ? comma + 1 : NULL) {
		comma = strchr(word, ',');
		snprintf(path, sizeof(path), CGROUP_DIRECTORY "/%.*s",
			 (int)(comma ? comma - word : (ptrdiff_t)strlen(word)), word);
		if (symlink(controllers, path) < 0 && errno != EEXIST)
			return;
	}
}

static bool is_needed(const char *controllers)
{
	for (size_t i = 0; i < ARRAY_LENGTH(needed); i++)
		if (list_has(controllers, strlen(controllers), needed[i]))
			return true;
	return false;
}

static int legacy_mount(const struct cgroup_layout *layout, const char *mountinfo,
			struct ph_error *error)
{
	char path[256] = CGROUP_DIRECTORY;

	if (!any_mount(mountinfo, is_directory_mount, NULL) &&
	    mount("tmpfs", CGROUP_DIRECTORY, "tmpfs", MOUNT_FLAGS, "mode=755") < 0)
		return mount_error(CGROUP_DIRECTORY, error);
	for (size_t i = 0; i < layout->count; i++) {
		const char *controllers = layout->hierarchies[i].controllers;
		char first[96];
		int result;

		text_copy(first, sizeof(first), controllers);
		first[strcspn(first, ",")] = '\0';
		if (any_mount(mountinfo, has_controller, first))
			continue;
		result = hierarchy_mount(controllers, path, sizeof(path));
		/* A named or an optional hierarchy that the host keeps to itself is not missed. */
		if (result < 0 && is_needed(controllers)) {
			errno = -result;
			return mount_error(path, error);
		}
		if (result == 0)
			hierarchy_alias(controllers);
	}
	return 0;
}

int cgroup_ensure_mounted(struct ph_error *error)
{
	struct cgroup_layout layout;
	PH_AUTO_FREE char *mountinfo = NULL;
	int result = facts_read(&layout, &mountinfo, error);

	if (result < 0)
		return result;
	if (cgroup_is_mounted(mountinfo, &layout))
		return CGROUP_ALREADY;
	result = layout.legacy ? legacy_mount(&layout, mountinfo, error) : unified_mount(error);
	return result < 0 ? result : CGROUP_CHANGED;
}

/* Move what is in the root into the leaf. Returns how many were moved, -EBUSY when it never empties. */
static int processes_move(void)
{
	int moved = 0;

	for (int round = 0; round < MOVE_ROUNDS; round++) {
		PH_AUTO_FREE char *text = NULL;
		int result = file_read_virtual(CGROUP_DIRECTORY "/cgroup.procs", TEXT_MAXIMUM,
					       &text, NULL);

		if (result < 0)
			return result;
		if (!text[0])
			return moved;
		for (char *pid = strtok(text, "\n"); pid; pid = strtok(NULL, "\n")) {
			/* "0" is a process that our pid namespace does not show: it cannot be moved. */
			result = strcmp(pid, "0") == 0 ?
				       -ESRCH :
				       file_write_virtual(LEAF "/cgroup.procs", pid);
			if (result < 0 && result != -ESRCH)
				return result;
			moved += result == 0;
		}
	}
	return -EBUSY;
}

/* Enable what the root has and its children lack. Returns how many were enabled. */
static int controllers_enable(struct ph_error *error)
{
	PH_AUTO_FREE char *available = NULL, *enabled = NULL;
	int count = 0;
	int result = file_read_virtual(CGROUP_DIRECTORY "/cgroup.controllers", 4096, &available,
				       error);

	if (result == 0)
		result = file_read_virtual(CGROUP_DIRECTORY "/cgroup.subtree_control", 4096,
					   &enabled, error);
	if (result < 0)
		return result;
	enabled[strcspn(enabled, "\n")] = '\0';
	for (char *at = enabled; *at; at++)
		if (*at == ' ')
			*at = ',';
	for (char *word = strtok(available, " \n"); word; word = strtok(NULL, " \n")) {
		char switched[64];

		if (list_has(enabled, strlen(enabled), word))
			continue;
		snprintf(switched, sizeof(switched), "+%s", word);
		result = file_write_virtual(CGROUP_DIRECTORY "/cgroup.subtree_control", switched);
		if (result < 0)
			return error_errno(error, result,
					   CGROUP_DIRECTORY "/cgroup.subtree_control",
					   "delegate the container's cgroup to its root", switched);
		count++;
	}
	return count;
}

int cgroup_delegate(struct ph_error *error)
{
	struct cgroup_layout layout;
	PH_AUTO_FREE char *mountinfo = NULL;
	int result = facts_read(&layout, &mountinfo, error), moved = 0;

	if (result < 0)
		return result;
	if (layout.legacy || !cgroup_is_mounted(mountinfo, &layout))
		return CGROUP_ALREADY;
	/* The real root has no type, and may hold processes and children alike. */
	if (access(CGROUP_DIRECTORY "/cgroup.type", F_OK) == 0) {
		PH_AUTO_FREE char *held = NULL;

		result = file_read_virtual(CGROUP_DIRECTORY "/cgroup.procs", TEXT_MAXIMUM, &held,
					   error);
		if (result < 0)
			return result;
		if (held[0] && mkdir(LEAF, 0755) < 0 && errno != EEXIST)
			return error_errno(error, -errno, LEAF,
					   "delegate the container's cgroup to its root",
					   "make a cgroup");
		if (held[0])
			moved = processes_move();
		if (moved < 0)
			return error_errno(error, moved, LEAF, NULL, "move the processes here");
	}
	result = controllers_enable(error);
	if (result < 0)
		return result;
	return result + moved > 0 ? CGROUP_CHANGED : CGROUP_ALREADY;
}
