/*
 * Scope-bound ownership: declare, initialise and bind the cleanup in one line; hand over with an
 * explicit take. Every cleanup function accepts the empty value (NULL, -1).
 */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#define PH_CLEANUP(function) __attribute__((cleanup(function)))

/* Defines name_cleanup(), which passes the variable's value to free_function. */
#define PH_DEFINE_CLEANUP(type, free_function)                                                     \
	__attribute__((unused)) static inline void free_function##_cleanup(type *value)            \
	{                                                                                          \
		free_function(*value);                                                             \
	}                                                                                          \
	struct ph_require_semicolon

static inline void cleanup_free(void *pointer)
{
	free(*(void **)pointer);
}

static inline void cleanup_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

static inline void cleanup_file(FILE **file)
{
	if (*file)
		fclose(*file);
}

static inline void cleanup_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

#define PH_AUTO_FREE PH_CLEANUP(cleanup_free)
#define PH_AUTO_CLOSE PH_CLEANUP(cleanup_close)
#define PH_AUTO_FILE PH_CLEANUP(cleanup_file)
#define PH_AUTO_DIR PH_CLEANUP(cleanup_dir)

/* Take the value out of a bound variable and leave the empty value: the caller owns it now. */
#define take_pointer(pointer)                                                                      \
	({                                                                                         \
		__typeof__(pointer) _taken = (pointer);                                            \
		(pointer) = NULL;                                                                  \
		_taken;                                                                            \
	})

static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

#define container_of(pointer, type, member)                                                        \
	((type *)((char *)(pointer) - __builtin_offsetof(type, member)))
