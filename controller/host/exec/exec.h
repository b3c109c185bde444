/*
 * Run a program of the host to its end: by argument vector, never through a shell; with a clean
 * environment, bounded output and a deadline. Knows nothing of what the programs do.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/str.h"

#define EXEC_OUTPUT_MAXIMUM (1024 * 1024)

struct exec_request {
	/* Program and arguments, NULL-terminated. A bare name is looked up in the system's four
	 * directories (/usr/sbin /usr/bin /sbin /bin), an absolute path is taken as it is. */
	const char *const *argv;
	const char *input;      /* for its standard input; NULL: empty */
	uint32_t deadline_ms;   /* 0: 30 s */
	size_t output_maximum;  /* per stream, the rest is read and dropped; 0: 64 KiB */
};

struct exec_result {
	int exit_code;     /* 0..255; -1 when a signal ended it */
	int signal;        /* that signal, else 0 */
	struct str output; /* owned; standard output */
	struct str errors; /* owned; standard error */
	bool truncated;    /* one of them was longer */
};

#define EXEC_RESULT_INIT ((struct exec_result){ 0 })

enum exec_outcome {
	EXEC_DONE = 0,
	EXEC_FAILED = 1, /* it ran and ended with another code than 0, or by a signal */
};

/*
 * Run a program and wait for it. EXEC_DONE or EXEC_FAILED with the result filled (free it with
 * exec_result_fini()); -ENOENT when there is no such program, -ETIMEDOUT when it was killed at its
 * deadline. The program dies with its caller; a daemon it leaves in the background does not.
 */
int exec_run(const struct exec_request *request, struct exec_result *ret_result,
	     struct ph_error *error);

/*
 * Run a program whose failure is an error: like exec_run(), but EXEC_FAILED becomes -EIO with the
 * first line it wrote to standard error as the reason. ret_output may be NULL; the caller frees it.
 */
int exec_check(const char *const *argv, const char *input, char **ret_output,
	       struct ph_error *error);

/* Whether a program of that bare name is installed. */
bool exec_is_installed(const char *name);

/* Free what the result owns. */
void exec_result_fini(struct exec_result *result);

#define EXEC_AUTO_RESULT __attribute__((cleanup(exec_result_fini)))

#define EXEC_PATH_SIZE 512

/* Find a program as exec_check() would: 0 and its path, -ENOENT or -EACCES when it cannot be run. */
int exec_find(const char *name, char path[EXEC_PATH_SIZE]);
