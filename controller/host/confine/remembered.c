/*
 * One line, key and value, replaced as a whole: a reader sees the old one or the new one. The time of the
 * inode's change is in the key because nobody can set it back, as one can the time of modification.
 */
#include "controller/host/confine/remembered.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"

#define FILE_NAME "parser"
#define LINE_SIZE 1024

char *confine_remembered_key(const char *program)
{
	struct stat about;

	if (stat(program, &about) < 0)
		return NULL;
	return ph_format("%s %ju %ju %jd %jd.%09ld %jd.%09ld", program, (uintmax_t)about.st_dev,
			 (uintmax_t)about.st_ino, (intmax_t)about.st_size,
			 (intmax_t)about.st_mtim.tv_sec, about.st_mtim.tv_nsec,
			 (intmax_t)about.st_ctim.tv_sec, about.st_ctim.tv_nsec);
}

int confine_remembered_read(const char *directory, const char *program,
			    char value[CONFINE_REMEMBERED_SIZE])
{
	PH_AUTO_FREE char *key = confine_remembered_key(program);
	PH_AUTO_FREE char *path = ph_format("%s/" FILE_NAME, directory);
	PH_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char line[LINE_SIZE];
	ssize_t length = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
	size_t start = key ? strlen(key) : 0;
	size_t rest;

	if (!key || length < 0 || (size_t)length < start + 3)
		return -ENOENT;
	line[length] = '\0';
	if (strncmp(line, key, start) != 0 || line[start] != '=' || line[length - 1] != '\n')
		return -ENOENT;
	rest = strcspn(line + start + 1, "\n");
	if (!rest || rest >= CONFINE_REMEMBERED_SIZE || start + rest + 2 != (size_t)length)
		return -ENOENT;
	memcpy(value, line + start + 1, rest);
	value[rest] = '\0';
	return 0;
}

void confine_remembered_write(const char *directory, const char *key, const char *value)
{
	PH_AUTO_FREE char *path = ph_format("%s/" FILE_NAME, directory);
	PH_AUTO_FREE char *beside = ph_format("%s/." FILE_NAME "-XXXXXX", directory);
	PH_AUTO_FREE char *line = ph_format("%s=%s\n", key, value);
	PH_AUTO_CLOSE int fd = mkostemp(beside, O_CLOEXEC);
	size_t length = strlen(line);

	if (fd < 0)
		return;
	if (length >= LINE_SIZE || write(fd, line, length) != (ssize_t)length ||
	    rename(beside, path) < 0)
		unlink(beside);
}
