/* Everything here is somebody else's text: bounded, and no more is taken from it than is asked for. */
#include "agent/preflight/texts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/str.h"

#define MAP_LINES_MAXIMUM 340 /* the kernel's own limit */

/* The end of the line of the map that has an id; the id itself when none has. */
static uint64_t map_end(const char *map, uint64_t id)
{
	for (const char *line = map; line && *line;) {
		uint64_t first, host, count;

		if (sscanf(line, "%" SCNu64 " %" SCNu64 " %" SCNu64, &first, &host, &count) == 3 &&
		    count <= UINT32_MAX && id >= first && id - first < count)
			return first + count;
		line = strchr(line, '\n');
		line += line != NULL;
	}
	return id;
}

uint64_t texts_map_count(const char *map)
{
	uint64_t end = 0;

	for (int i = 0; i < MAP_LINES_MAXIMUM; i++) {
		uint64_t next = map_end(map, end);

		if (next == end)
			break;
		end = next;
	}
	return end;
}

void texts_runc_version(const char *output, char version[32])
{
	static const char key[] = "runc version ";
	const char *at = strstr(output, key);
	size_t length = at ? strcspn(at + strlen(key), " \n") : 0;

	version[0] = '\0';
	if (length > 0 && length < 32) {
		memcpy(version, at + strlen(key), length);
		version[length] = '\0';
	}
}

bool texts_is_complaint(const char *line)
{
	return strstr(line, "number of subordinate IDs") ||
	       (strcasestr(line, "lchown ") && strstr(line, "invalid argument")) ||
	       strstr(line, "cannot be mapped to a host ID");
}

static bool is_known(char (*lines)[TEXTS_LINE_SIZE], size_t count, const char *line)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(lines[i], line) == 0)
			return true;
	return false;
}

size_t texts_complaints(const char *log, char (*lines)[TEXTS_LINE_SIZE], size_t maximum)
{
	const char *end = log + strlen(log);
	size_t count = 0;

	while (end > log && count < maximum) {
		const char *newline = memrchr(log, '\n', (size_t)(end - log));
		const char *start = newline ? newline + 1 : log;
		size_t length = (size_t)(end - start);
		char line[TEXTS_LINE_SIZE];

		if (length >= sizeof(line))
			length = sizeof(line) - 1;
		memcpy(line, start, length);
		line[length] = '\0';
		if (texts_is_complaint(line) && !is_known(lines, count, line))
			memcpy(lines[count++], line, sizeof(line));
		end = newline ? newline : log;
	}
	return count;
}

const char *texts_cgroup(const char *mountinfo)
{
	const char *found = "none";

	for (const char *line = mountinfo; line && *line;) {
		size_t length = strcspn(line, "\n");
		const char *separator = memmem(line, length, " - ", 3);
		char point[256], type[64];

		if (separator && sscanf(line, "%*s %*s %*s %*s %255s", point) == 1 &&
		    sscanf(separator, " - %63s", type) == 1) {
			if (text_equal(point, "/sys/fs/cgroup") && text_equal(type, "cgroup2"))
				found = "v2";
			else if (text_has_prefix(point, "/sys/fs/cgroup/") &&
				 text_equal(type, "cgroup"))
				found = "v1";
		}
		line = line[length] ? line + length + 1 : NULL;
	}
	return found;
}
