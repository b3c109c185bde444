/*
 * The line comes a moment after the denial, so the process may have gone already; a number that was
 * given away again is told by the process's start. File denials carry the host id as well, and id
 * ranges belong to one container each: whoever joins uid and range needs no process.
 */
#include "controller/host/denials/origin.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/str.h"

#define OUR_PROFILE "lxc-phoenix-"
#define OUR_SPACE "phoenix-"
#define OUR_GROUP "phoenix.payload."
#define GROUPS_SIZE 8192 /* a v1 host has a line per controller */
#define START_SLACK_MS 50  /* the start is in ticks, and the two clocks are read apart */

bool origin_is_ours(const struct line *line)
{
	char container[ORIGIN_NAME_SIZE];

	if (line->space[0])
		return origin_of_space(line->space, container);
	return text_has_prefix(line->profile, OUR_PROFILE);
}

static bool take_name(const char *text, size_t length, char container[ORIGIN_NAME_SIZE])
{
	char name[ORIGIN_NAME_SIZE];

	if (length >= sizeof(name))
		return false;
	memcpy(name, text, length);
	name[length] = '\0';
	if (!name_is_valid(name))
		return false;
	text_copy(container, ORIGIN_NAME_SIZE, name);
	return true;
}

bool origin_of_space(const char *space, char container[ORIGIN_NAME_SIZE])
{
	const char *end;

	if (text_has_prefix(space, "root//"))
		space += strlen("root//");
	if (!text_has_prefix(space, OUR_SPACE))
		return false;
	space += strlen(OUR_SPACE);
	end = strstr(space, "//");
	return take_name(space, end ? (size_t)(end - space) : strlen(space), container);
}

/* The first component of a path that has our prefix. */
static bool find_in_path(const char *path, size_t length, char container[ORIGIN_NAME_SIZE])
{
	const char *end = path + length;

	while (path < end) {
		const char *slash = memchr(path, '/', (size_t)(end - path));
		size_t component = (size_t)((slash ? slash : end) - path);

		if (component > strlen(OUR_GROUP) &&
		    memcmp(path, OUR_GROUP, strlen(OUR_GROUP)) == 0)
			return take_name(path + strlen(OUR_GROUP), component - strlen(OUR_GROUP),
					 container);
		path += component + 1;
	}
	return false;
}

bool origin_of_groups(const char *text, char container[ORIGIN_NAME_SIZE])
{
	while (*text) {
		const char *newline = strchrnul(text, '\n');
		const char *colon = memchr(text, ':', (size_t)(newline - text));

		colon = colon ? memchr(colon + 1, ':', (size_t)(newline - colon - 1)) : NULL;
		if (colon &&
		    find_in_path(colon + 1, (size_t)(newline - colon - 1), container))
			return true;
		text = *newline ? newline + 1 : newline;
	}
	return false;
}

static bool read_file(int directory, const char *name, char *text, size_t size)
{
	PH_AUTO_CLOSE int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, text, size - 1);

	text[length > 0 ? length : 0] = '\0';
	return length > 0;
}

/* When a process began, as wall clock; false when it cannot be read. */
static bool read_start(int process, uint64_t *ret_wall_ms)
{
	char text[1024], *field;
	uint64_t ticks, age_ms, boot_ms;

	if (!read_file(process, "stat", text, sizeof(text)))
		return false;
	field = strrchr(text, ')'); /* the name may have anything in it, the fields behind not */
	for (int i = 0; field && i < 20; i++)
		field = strchr(field + 1, ' ');
	if (!field)
		return false;
	*strchrnul(field + 1, ' ') = '\0';
	if (text_to_u64(field + 1, UINT64_MAX / 1000, &ticks) < 0)
		return false;
	boot_ms = ticks * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
	age_ms = clock_monotonic_ms() > boot_ms ? clock_monotonic_ms() - boot_ms : 0;
	*ret_wall_ms = clock_wall_ms() - age_ms;
	return true;
}

static bool ask_process(int proc, const struct line *line, char container[ORIGIN_NAME_SIZE])
{
	PH_AUTO_CLOSE int process = -1;
	char name[16], text[GROUPS_SIZE];
	uint64_t start;

	snprintf(name, sizeof(name), "%d", line->pid);
	process = openat(proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (process < 0 || !read_start(process, &start) ||
	    start > line->time_ms + START_SLACK_MS)
		return false;
	return read_file(process, "cgroup", text, sizeof(text)) &&
	       origin_of_groups(text, container);
}

void origin_find(int proc, const struct line *line, struct origin *ret_origin)
{
	struct origin origin = { .has_uid = line->has_uid, .uid = line->uid };

	if (!origin_of_space(line->space, origin.container) && line->pid > 0 && proc >= 0)
		ask_process(proc, line, origin.container);
	*ret_origin = origin;
}
