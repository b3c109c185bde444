/*
 * The lists name modules in three ways: "overlay 147456 1 - Live ..." in /proc/modules, and paths of
 * files that may be compressed, "kernel/net/ipv4/netfilter/ip_tables.ko.xz", alone in modules.builtin
 * and before a colon in modules.dep.
 */
#include "controller/host/preflight/modules.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "common/str.h"

/* Whether a name of so many bytes is the module's. */
static bool is_name(const char *found, size_t length, const char *name)
{
	if (length != strlen(name))
		return false;
	for (size_t i = 0; i < length; i++) {
		char left = found[i] == '-' ? '_' : found[i];

		if (left != (name[i] == '-' ? '_' : name[i]))
			return false;
	}
	return true;
}

/* Whether a path of so many bytes is that of the module's file. */
static bool is_file(const char *path, size_t length, const char *name)
{
	const char *slash = memrchr(path, '/', length);
	const char *file = slash ? slash + 1 : path;
	size_t rest = length - (size_t)(file - path);
	const char *suffix = memmem(file, rest, ".ko", 3);

	return suffix && is_name(file, (size_t)(suffix - file), name);
}

/* Whether a list has the module: its lines begin with the name, or with the path of its file. */
static bool has_module(const char *list, const char *name, const char *ends, bool is_path)
{
	for (const char *line = list; line && *line;) {
		size_t length = strcspn(line, ends);

		if (is_path ? is_file(line, length, name) : is_name(line, length, name))
			return true;
		line = strchr(line, '\n');
		line += line != NULL;
	}
	return false;
}

/* "nodev\toverlay" or "\text4". */
static bool has_filesystem(const char *list, const char *type)
{
	for (const char *line = list; line && *line;) {
		size_t length = strcspn(line, "\n");
		const char *tab = memchr(line, '\t', length);

		if (tab && strlen(type) == length - (size_t)(tab + 1 - line) &&
		    strncmp(tab + 1, type, strlen(type)) == 0)
			return true;
		line = line[length] ? line + length + 1 : NULL;
	}
	return false;
}

enum modules_state modules_judge(const struct modules_texts *texts, const char *name,
				 const char *filesystem)
{
	if (filesystem && has_filesystem(texts->filesystems, filesystem))
		return MODULES_READY;
	if (has_module(texts->loaded, name, " \n", false) ||
	    has_module(texts->builtin, name, "\n", true))
		return MODULES_READY;
	if (texts->loaded && has_module(texts->dependencies, name, ":\n", true))
		return MODULES_LOADABLE;
	/* The list of types is complete for what is there; more can only come as a module. */
	if (filesystem && texts->filesystems && !texts->loaded)
		return MODULES_ABSENT;
	if (texts->loaded && texts->builtin && texts->dependencies)
		return MODULES_ABSENT;
	return MODULES_UNKNOWN;
}
