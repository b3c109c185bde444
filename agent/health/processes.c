#include "agent/health/processes.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/system/file.h"
#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"

#define FILES_MAXIMUM (1024 * 1024) /* counted of one process */

char process_state(const char *stat, const char *name)
{
	const char *begin = strchr(stat, '('), *end = strrchr(stat, ')');
	char kept[16];

	text_copy(kept, sizeof(kept), name);
	if (!begin || !end || end < begin || (size_t)(end - begin - 1) != strlen(kept) ||
	    strncmp(begin + 1, kept, strlen(kept)) != 0 || end[1] != ' ')
		return 0;
	return end[2];
}

static bool read_link(const char *pid, char *link, size_t size)
{
	char path[300];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/%s/ns/pid", pid);
	length = readlink(path, link, size - 1);
	link[length < 0 ? 0 : length] = '\0';
	return length > 0;
}

static char state_of(const char *pid, const char *name, const char *own)
{
	PH_AUTO_FREE char *text = NULL;
	char path[300], link[64], state;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	if (file_read_virtual(path, 4096, &text, NULL) < 0)
		return 0;
	state = process_state(text, name);
	if (!state || state == 'Z' || state == 'X' || !read_link(pid, link, sizeof(link)) ||
	    strcmp(link, own) != 0)
		return 0;
	return state;
}

void processes_find(const char *name, struct processes *ret_processes)
{
	PH_AUTO_DIR DIR *directory = opendir("/proc");
	struct processes found = { 0 };
	struct dirent *entry;
	char own[64];

	*ret_processes = found;
	if (!directory || !read_link("self", own, sizeof(own)))
		return;
	while (found.count < PROCESSES_MAXIMUM && (entry = readdir(directory))) {
		char state;

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		state = state_of(entry->d_name, name, own);
		if (!state)
			continue;
		found.items = ph_realloc(found.items, (found.count + 1) * sizeof(*found.items));
		found.items[found.count++] =
			(struct process){ .pid = (pid_t)strtol(entry->d_name, NULL, 10),
					  .state = state };
	}
	*ret_processes = found;
}

static uint32_t count_files(pid_t pid)
{
	PH_AUTO_DIR DIR *directory = NULL;
	struct dirent *entry;
	uint32_t count = 0;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	directory = opendir(path);
	while (directory && count < FILES_MAXIMUM && (entry = readdir(directory)))
		count += entry->d_name[0] != '.';
	return count;
}

/* The number behind "KEY" in a text of /proc; 0 when it is not there. */
static uint64_t number_behind(const char *text, const char *key)
{
	const char *found = text ? strstr(text, key) : NULL;

	return found ? strtoull(found + strlen(key), NULL, 10) : 0;
}

void process_measure(struct process *process)
{
	PH_AUTO_FREE char *status = NULL, *limits = NULL;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", process->pid);
	file_read_virtual(path, 16384, &status, NULL);
	snprintf(path, sizeof(path), "/proc/%d/limits", process->pid);
	file_read_virtual(path, 16384, &limits, NULL);
	process->resident_kib = number_behind(status, "VmRSS:");
	process->files_maximum = number_behind(limits, "Max open files");
	process->files = count_files(process->pid);
}

size_t processes_count(const char *name, char state)
{
	PH_AUTO_PROCESSES struct processes found = { 0 };
	size_t count = 0;

	processes_find(name, &found);
	for (size_t i = 0; i < found.count; i++)
		count += found.items[i].state == state;
	return count;
}

void processes_fini(struct processes *processes)
{
	free(processes->items);
	*processes = (struct processes){ 0 };
}
