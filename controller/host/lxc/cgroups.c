/*
 * A hierarchy is a directory below /sys/fs/cgroup, or that itself on cgroup2. The groups of a
 * container have the same name in all of them. Walks go by descriptors and are bounded: a container
 * may make as many groups below its own as it likes.
 */
#include "controller/host/lxc/cgroups.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "common/cleanup.h"
#include "common/str.h"

#define ROOT "/sys/fs/cgroup"
#define DEPTH_MAXIMUM 16
#define GROUPS_MAXIMUM 4096
#define PROCESSES_MAXIMUM 65536

static long file_system_of(int directory, const char *path)
{
	PH_AUTO_CLOSE int fd = openat(directory, path, O_PATH | O_CLOEXEC);
	struct statfs file_system;

	if (fd < 0 || fstatfs(fd, &file_system) < 0)
		return 0;
	return (long)file_system.f_type;
}

static int open_directory(int parent, const char *name)
{
	return openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

static int open_root(void)
{
	return open(ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void detect_unified(int root, struct settings_cgroup *cgroup)
{
	PH_AUTO_CLOSE int fd = openat(root, "cgroup.controllers", O_RDONLY | O_CLOEXEC);
	char text[512] = " ";
	ssize_t length = fd < 0 ? 0 : read(fd, text + 1, sizeof(text) - 3);

	if (length < 0)
		length = 0;
	text[1 + length] = ' ';
	text[2 + length] = '\0';
	for (char *byte = text; *byte; byte++)
		if (*byte == '\n')
			*byte = ' ';
	cgroup->is_unified = true;
	cgroup->memory = strstr(text, " memory ") != NULL;
	cgroup->cpu = strstr(text, " cpu ") != NULL;
	cgroup->pids = strstr(text, " pids ") != NULL;
	cgroup->devices = true; /* a BPF program, no controller */
}

void cgroups_detect(struct cgroups_facts *ret_facts)
{
	PH_AUTO_CLOSE int root = open_root();

	*ret_facts = (struct cgroups_facts){ .mode = CGROUPS_NONE };
	if (root < 0)
		return;
	if (file_system_of(root, ".") == CGROUP2_SUPER_MAGIC) {
		ret_facts->mode = CGROUPS_V2;
		detect_unified(root, &ret_facts->cgroup);
		return;
	}
	ret_facts->cgroup = (struct settings_cgroup){
		.memory = file_system_of(root, "memory") == CGROUP_SUPER_MAGIC,
		.cpu = file_system_of(root, "cpu") == CGROUP_SUPER_MAGIC,
		.pids = file_system_of(root, "pids") == CGROUP_SUPER_MAGIC,
		.devices = file_system_of(root, "devices") == CGROUP_SUPER_MAGIC,
	};
	if (file_system_of(root, "unified") == CGROUP2_SUPER_MAGIC)
		ret_facts->mode = CGROUPS_HYBRID;
	else if (ret_facts->cgroup.memory || ret_facts->cgroup.pids || ret_facts->cgroup.cpu)
		ret_facts->mode = CGROUPS_V1;
}

const char *cgroups_mode_name(enum cgroups_mode mode)
{
	static const char *const names[] = { "none", "v1", "hybrid", "v2" };

	return names[mode];
}

/* Calls with_hierarchy for the root of every hierarchy until one returns other than 0. */
static int each_hierarchy(int (*with_hierarchy)(int hierarchy, void *user), void *user)
{
	PH_AUTO_CLOSE int root = open_root();
	PH_AUTO_DIR DIR *entries = NULL;
	struct dirent *entry;
	int outcome = 0;

	if (root < 0)
		return -errno;
	if (file_system_of(root, ".") == CGROUP2_SUPER_MAGIC)
		return with_hierarchy(root, user);
	entries = fdopendir(open_directory(root, "."));
	while (entries && outcome == 0 && (entry = readdir(entries))) {
		PH_AUTO_CLOSE int hierarchy = -1;
		long type;

		if (entry->d_name[0] == '.')
			continue;
		hierarchy = open_directory(root, entry->d_name);
		type = hierarchy < 0 ? 0 : file_system_of(hierarchy, ".");
		if (type == CGROUP_SUPER_MAGIC || type == CGROUP2_SUPER_MAGIC)
			outcome = with_hierarchy(hierarchy, user);
	}
	return outcome;
}

/* liblxc's own ".lxc" begins with a dot. */
static bool is_group(const struct dirent *entry)
{
	return entry->d_type == DT_DIR && strcmp(entry->d_name, ".") != 0 &&
	       strcmp(entry->d_name, "..") != 0;
}

struct visit {
	const char *group;
	int (*visit)(void *user, pid_t pid);
	void *user;
	unsigned int groups_left;
	unsigned int processes_left;
};

static int visit_processes(int group, struct visit *visit)
{
	int fd = openat(group, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	PH_AUTO_FILE FILE *file = fd < 0 ? NULL : fdopen(fd, "re");
	int outcome = 0, pid;

	if (fd >= 0 && !file)
		close(fd);
	while (file && outcome == 0 && visit->processes_left > 0 && fscanf(file, "%d", &pid) == 1) {
		visit->processes_left--;
		outcome = pid > 0 ? visit->visit(visit->user, pid) : 0;
	}
	return outcome;
}

static int visit_group(int group, struct visit *visit, int depth)
{
	PH_AUTO_DIR DIR *entries = NULL;
	struct dirent *entry;
	int outcome = visit_processes(group, visit);

	if (outcome != 0 || depth == DEPTH_MAXIMUM)
		return outcome;
	entries = fdopendir(open_directory(group, "."));
	while (entries && outcome == 0 && visit->groups_left > 0 && (entry = readdir(entries))) {
		PH_AUTO_CLOSE int child = -1;

		if (!is_group(entry))
			continue;
		child = open_directory(group, entry->d_name);
		visit->groups_left--;
		outcome = child < 0 ? 0 : visit_group(child, visit, depth + 1);
	}
	return outcome;
}

/* One hierarchy is enough, and in every one the container's processes are all below its group. */
static int visit_hierarchy(int hierarchy, void *user)
{
	struct visit *visit = user;
	PH_AUTO_CLOSE int group = open_directory(hierarchy, visit->group);
	int outcome;

	if (group < 0)
		return 0;
	outcome = visit_group(group, visit, 0);
	return outcome == 0 ? 1 : outcome;
}

int cgroups_visit(const char *name, int (*visit)(void *user, pid_t pid), void *user)
{
	char group[96];
	struct visit walk = { group, visit, user, GROUPS_MAXIMUM, PROCESSES_MAXIMUM };
	int outcome;

	snprintf(group, sizeof(group), "phoenix.payload.%s", name);
	outcome = each_hierarchy(visit_hierarchy, &walk);
	if (outcome == 1)
		return 0;
	return outcome == 0 ? -ENOENT : outcome;
}

static int note_pid(void *user, pid_t pid)
{
	*(pid_t *)user = pid;
	return 2;
}

pid_t cgroups_monitor(const char *name)
{
	char group[96];
	pid_t pid = 0;
	struct visit walk = { group, note_pid, &pid, 1, 1 };

	snprintf(group, sizeof(group), "phoenix.monitor.%s", name);
	each_hierarchy(visit_hierarchy, &walk);
	return pid;
}

struct memory {
	const char *group;
	uint64_t bytes;
};

static int read_memory(int hierarchy, void *user)
{
	static const char *const files[] = { "memory.current", "memory.usage_in_bytes" };
	struct memory *memory = user;
	PH_AUTO_CLOSE int group = open_directory(hierarchy, memory->group);

	for (size_t i = 0; group >= 0 && i < ARRAY_LENGTH(files); i++) {
		PH_AUTO_CLOSE int fd = openat(group, files[i], O_RDONLY | O_CLOEXEC);
		char text[32] = "";

		if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
			continue;
		memory->bytes = strtoull(text, NULL, 10);
		return 1;
	}
	return 0;
}

uint64_t cgroups_memory(const char *name)
{
	/* Where it is on a host with cgroup v1; any other is found by looking everywhere. */
	PH_AUTO_CLOSE int hierarchy = open(ROOT "/memory", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char group[96];
	struct memory memory = { group, 0 };

	snprintf(group, sizeof(group), "phoenix.payload.%s", name);
	if (hierarchy < 0 || !read_memory(hierarchy, &memory))
		each_hierarchy(read_memory, &memory);
	return memory.bytes;
}

bool cgroups_contain(const char *name, const char *proc_cgroup)
{
	char group[96];
	size_t length;

	length = (size_t)snprintf(group, sizeof(group), ":/phoenix.payload.%s", name);
	for (const char *found = strstr(proc_cgroup, group); found;
	     found = strstr(found + length, group))
		if (found[length] == '/' || found[length] == '\n' || found[length] == '\0')
			return true;
	return false;
}

static void prune_group(int parent, const char *name, int depth, unsigned int *groups_left)
{
	PH_AUTO_CLOSE int group = open_directory(parent, name);
	PH_AUTO_DIR DIR *entries = group < 0 ? NULL : fdopendir(open_directory(group, "."));
	struct dirent *entry;

	while (entries && depth < DEPTH_MAXIMUM && *groups_left > 0 && (entry = readdir(entries))) {
		if (!is_group(entry))
			continue;
		--*groups_left;
		prune_group(group, entry->d_name, depth + 1, groups_left);
	}
	if (group >= 0)
		unlinkat(parent, name, AT_REMOVEDIR);
}

/* All monitors that end use it: it stays while one is in it. */
static void prune_pivot(int hierarchy)
{
	unsigned int groups_left = 2;

	prune_group(hierarchy, "phoenix.pivot", 0, &groups_left);
}

static int prune_hierarchy(int hierarchy, void *user)
{
	static const char *const kinds[] = { "payload", "monitor" };

	for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
		unsigned int groups_left = GROUPS_MAXIMUM;
		char group[96];

		snprintf(group, sizeof(group), "phoenix.%s.%s", kinds[i], (const char *)user);
		prune_group(hierarchy, group, 0, &groups_left);
	}
	prune_pivot(hierarchy);
	return 0;
}

void cgroups_prune(const char *name)
{
	each_hierarchy(prune_hierarchy, (void *)name);
}
