/*
 * The first group below the root that looks like a manager's names the container; whatever stands
 * behind it in the path may be the container's own doing.
 */
#include "controller/host/lxc/census.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/lxc/process.h"

#define CGROUP_SIZE 8192
#define ID_SHOWN 12 /* of Docker's 64 digits */

static const struct manager {
	const char *mark; /* in a line of /proc/PID/cgroup */
	const char *end;  /* the name goes up to one of these bytes */
	const char *kind;
	size_t shown; /* 0: all of the name */
} MANAGERS[] = {
	{ "/phoenix.payload.", "/\n", "phoenix", 0 },
	{ "/lxc.payload.", "/\n", "lxc", 0 },
	{ "/lxc/", "/\n", "lxc", 0 },
	{ "/docker-", ".\n/", "docker", ID_SHOWN },
	{ "/docker/", "/\n", "docker", ID_SHOWN },
	{ "/libpod-", ".\n/", "podman", ID_SHOWN },
	{ "/machine.slice/machine-", ".\n/", "machine", 0 },
	{ "/machine.slice/systemd-nspawn@", ".\n/", "machine", 0 },
};

static void copy_name(const char *text, size_t length, char name[64])
{
	if (length > 63)
		length = 63;
	for (size_t i = 0; i < length; i++)
		name[i] = text[i] > 0x20 && text[i] < 0x7f && !strchr("\"'\\", text[i]) ? text[i] : '?';
	name[length] = '\0';
}

/* The mark that stands first in the line decides: what is behind it is inside the container. */
static const struct manager *find_manager(const char *line, size_t length, const char **ret_name)
{
	const struct manager *found = NULL;
	const char *first = line + length;

	for (size_t i = 0; i < ARRAY_LENGTH(MANAGERS); i++) {
		const char *at = memmem(line, length, MANAGERS[i].mark, strlen(MANAGERS[i].mark));

		if (!at || at >= first)
			continue;
		first = at;
		found = &MANAGERS[i];
		*ret_name = at + strlen(MANAGERS[i].mark);
	}
	return found;
}

bool census_classify(const char *cgroup, struct census_entry *ret_entry)
{
	ret_entry->kind = "other";
	ret_entry->name[0] = '\0';
	while (*cgroup) {
		size_t length = strcspn(cgroup, "\n"), named;
		const char *name = NULL;
		const struct manager *manager = find_manager(cgroup, length, &name);

		if (manager) {
			named = strcspn(name, manager->end);
			if (manager->shown && named > manager->shown)
				named = manager->shown;
			copy_name(name, named, ret_entry->name);
			ret_entry->kind = manager->kind;
			return true;
		}
		cgroup += length + (cgroup[length] == '\n');
	}
	return false;
}

/* Whether the process is number 1 of a pid namespace that is a child of ours. */
static bool is_init_below(int process)
{
	char text[8192];
	const char *levels;
	char *end;

	if (process_read_file(process, "status", text, sizeof(text)) < 0)
		return false;
	levels = strstr(text, "\nNSpid:\t");
	if (!levels)
		return false;
	strtol(levels + strlen("\nNSpid:\t"), &end, 10);
	return *end == '\t' && strtol(end, &end, 10) == 1 && *end == '\n';
}

static bool has_own_ids(int process)
{
	char text[256];
	unsigned long inside, outside, length;

	return process_read_file(process, "uid_map", text, sizeof(text)) == 0 &&
	       sscanf(text, "%lu %lu %lu", &inside, &outside, &length) == 3 &&
	       !(inside == 0 && outside == 0);
}

static uint64_t started_ms(int process)
{
	uint64_t ticks, since_boot_ms;
	struct timespec now;
	long rate = sysconf(_SC_CLK_TCK);

	if (rate <= 0 || process_read_start(process, &ticks) < 0)
		return 0;
	clock_gettime(CLOCK_BOOTTIME, &now);
	since_boot_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	return clock_wall_ms() - since_boot_ms + ticks * 1000 / (uint64_t)rate;
}

/* A sandbox hides processes; what has a host name and mounts of its own as well is a container. */
static bool is_whole(int process)
{
	PH_AUTO_CLOSE int host = process_open(getpid());

	return host >= 0 && !process_same_namespace(process, host, "uts") &&
	       !process_same_namespace(process, host, "mnt");
}

static bool look_at(pid_t pid, struct census_entry *entry)
{
	PH_AUTO_CLOSE int process = process_open(pid);
	PH_AUTO_FREE char *cgroup = NULL;
	struct process_status status;

	if (process < 0 || !is_init_below(process) || process_read_status(process, &status) < 0)
		return false;
	cgroup = ph_alloc(CGROUP_SIZE);
	*entry = (struct census_entry){ .init = pid, .own_ids = has_own_ids(process) };
	if (process_read_file(process, "cgroup", cgroup, CGROUP_SIZE) < 0)
		return false;
	if (!census_classify(cgroup, entry)) {
		if (!is_whole(process))
			return false;
		copy_name(status.name, strlen(status.name), entry->name);
	}
	entry->since_ms = started_ms(process);
	return true;
}

static int by_name(const void *left, const void *right)
{
	const struct census_entry *first = left, *second = right;
	int kind = strcmp(first->kind, second->kind);

	return kind ? kind : strcmp(first->name, second->name);
}

int census_take(struct census *ret_census, struct ph_error *error)
{
	PH_AUTO_DIR DIR *proc = opendir("/proc");
	struct census census = { 0 };
	struct census_entry entry;
	struct dirent *each;

	if (!proc)
		return error_errno(error, -errno, "/proc", "mount procfs there", "open");
	while ((each = readdir(proc))) {
		char *end;
		long pid = strtol(each->d_name, &end, 10);

		if (*end || pid <= 1 || !look_at((pid_t)pid, &entry))
			continue;
		census.is_cut = census.count == CENSUS_MAXIMUM;
		if (census.is_cut)
			break;
		census.entries = ph_realloc(census.entries, (census.count + 1) * sizeof(entry));
		census.entries[census.count++] = entry;
	}
	if (census.count)
		qsort(census.entries, census.count, sizeof(entry), by_name);
	*ret_census = census;
	return 0;
}

void census_fini(struct census *census)
{
	free(census->entries);
	*census = (struct census){ 0 };
}
