/*
 * What the parser has told of itself between runs of the workers: asking costs a process and tens of milliseconds, and the
 * answer changes only with the file. Knows no AppArmor.
 */
#pragma once

#define CONFINE_REMEMBERED_SIZE 64

/*
 * Read what DIRECTORY remembers of the program at this absolute path: 0 and the value, or -ENOENT when
 * nothing is remembered of this very file (path, device, inode, size, times of change).
 */
int confine_remembered_read(const char *directory, const char *program,
			    char value[CONFINE_REMEMBERED_SIZE]);

/*
 * Remember a value, a line shorter than CONFINE_REMEMBERED_SIZE; a failure only means that the program is
 * asked again. KEY is from confine_remembered_key().
 */
void confine_remembered_write(const char *directory, const char *key, const char *value);

/* Name the file as it is now, before it is asked: allocated for the caller, NULL when it cannot be looked at. */
char *confine_remembered_key(const char *program);
