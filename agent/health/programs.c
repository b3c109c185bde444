#include "agent/health/programs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/str.h"

static const char *const names[] = { "docker", "dockerd", "containerd", "runc",
				     "fuse-overlayfs" };

/* Packages of Debian put programs nowhere else. */
static bool is_of_package(const char *path)
{
	return text_has_prefix(path, "/usr/bin/") || text_has_prefix(path, "/usr/sbin/") ||
	       text_has_prefix(path, "/bin/") || text_has_prefix(path, "/sbin/");
}

static void look_in(struct program *program, const char *directory, size_t length)
{
	char path[128];
	struct stat status;

	snprintf(path, sizeof(path), "%.*s/%s", (int)length, directory, program->name);
	if (stat(path, &status) < 0 || !S_ISREG(status.st_mode) || !(status.st_mode & 0111))
		return;
	if (program->path[0]) {
		program->is_shadow |= is_of_package(path) && !is_of_package(program->path);
		return;
	}
	text_copy(program->path, sizeof(program->path), path);
	program->bytes = (uint64_t)status.st_size;
	program->changed_s = status.st_mtim.tv_sec;
}

void programs_read(const char *search_path, const char *driver, struct programs *ret_programs)
{
	*ret_programs = (struct programs){ 0 };
	for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
		struct program *program = &ret_programs->items[ret_programs->count];

		if (text_equal(names[i], "fuse-overlayfs") && !text_empty(driver) &&
		    !text_equal(driver, "fuse-overlayfs"))
			continue;
		ret_programs->count++;
		program->name = names[i];
		for (const char *directory = search_path; directory;) {
			size_t length = strcspn(directory, ":");

			look_in(program, directory, length);
			directory = directory[length] ? directory + length + 1 : NULL;
		}
	}
}

#define TYPE "ProgramsInPlace"

static void add_path(char *list, size_t size, const char *path)
{
	size_t length = strlen(list);

	snprintf(list + length, size - length, "%s%s", length ? ", " : "", path);
}

struct judgement programs_judge(const struct programs *programs)
{
	char shadows[256] = "";

	for (size_t i = 0; i < programs->count; i++)
		if (!programs->items[i].path[0])
			return judgement(TYPE, JUDGEMENT_FALSE, "Missing",
					 "apt-get install --reinstall its package in the container",
					 "the program %s is not there (any more)",
					 programs->items[i].name);
	for (size_t i = 0; i < programs->count; i++)
		if (programs->items[i].is_shadow)
			add_path(shadows, sizeof(shadows), programs->items[i].path);
	if (shadows[0])
		return judgement(TYPE, JUDGEMENT_FALSE, "Shadowed",
				 "remove what you did not put there yourself; then verify again",
				 "found before the packages' own: %s", shadows);
	return judgement(TYPE, JUDGEMENT_TRUE, "AsInstalled", "", "%zu programs",
			 programs->count);
}

void program_stamp(const struct program *program, char *text, size_t size)
{
	if (!program->path[0])
		text_copy(text, size, "missing");
	else
		snprintf(text, size, "%s, %" PRIu64 " bytes, %" PRId64, program->path,
			 program->bytes, program->changed_s);
}
