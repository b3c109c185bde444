/*
 * Runs one program to its end, blocking: by argument vector, with a clean environment, bounded
 * output and a deadline. Knows nothing of what the program does. For workers and command-line
 * programs only, never on a loop's thread.
 *
 * The child gets a session of its own, default signals, no descriptor but stdio (and the status
 * pipe), and PATH, HOME, LC_ALL=C.UTF-8, DEBIAN_FRONTEND=noninteractive; of the caller's environment
 * only the proxy variables and GODEBUG.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define COMMAND_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define COMMAND_OUTPUT_MAXIMUM (64 * 1024)
#define COMMAND_LINE_MAXIMUM 4096 /* longer lines are handed over in pieces */

enum command_stream {
	COMMAND_OUTPUT, /* the program's stdout */
	COMMAND_ERRORS, /* its stderr */
	COMMAND_STATUS, /* its descriptor COMMAND_STATUS_FD */
};

#define COMMAND_STATUS_FD 3

struct command {
	const char *const *argv;        /* borrowed; ends with NULL; argv[0] without '/' is searched
					   in path */
	const char *const *environment; /* further NAME=value, ends with NULL; may be NULL */
	const char *path;               /* PATH for the search and the child; NULL: COMMAND_PATH */
	int input_fd;                   /* > 0: its stdin, stays the caller's; 0: see input */
	const void *input;              /* bytes for its stdin; NULL: /dev/null */
	size_t input_length;
	uint32_t deadline_ms;  /* then SIGKILL for its process group; 0: none */
	size_t output_maximum; /* kept of each of stdout and stderr; 0: the default */
	bool with_status;      /* open COMMAND_STATUS_FD in the child */
	bool outlive;          /* do not kill it when the calling process dies */
	/* One line without its newline, as it comes; may be NULL. */
	void (*line)(void *user, enum command_stream stream, const char *line);
	void *user;
};

struct command_result {
	int exit_code; /* 0..255; -1 when a signal ended it */
	int signal;    /* 0 when it exited */
	char *output;  /* owned; terminated; when it did not fit: head, a "[... N bytes ...]"
				  line, tail */
	size_t output_length;
	char *errors; /* the same for stderr */
	size_t errors_length;
	uint64_t duration_ms;
};

/* Free the texts; the result may be empty. */
void command_result_fini(struct command_result *result);

#define PH_AUTO_COMMAND_RESULT __attribute__((cleanup(command_result_fini)))

/*
 * Run the program and wait for its end, whatever its exit code. Negative errno when it could not be
 * started (-ENOENT: not found) or passed its deadline (-ETIMEDOUT; ret_result holds what it wrote).
 * ret_result is always filled or empty and needs command_result_fini().
 */
int command_run(const struct command *command, struct command_result *ret_result,
		struct ph_error *error);

/*
 * Like command_run(), and any end but exit code 0 is an error too: -EIO, with the last line of its
 * stderr (or stdout) as the reason. ret_result may be NULL.
 */
int command_succeed(const struct command *command, struct command_result *ret_result,
		    struct ph_error *error);

/*
 * Start a program as a daemon of its own: a session, no parent of ours, stdin from /dev/null, stdout
 * and stderr appended to a file (made with mode 0600), soft limits of open files and processes
 * raised to the hard ones. Uses argv, environment and path of command. Returns once exec has
 * succeeded, or a negative errno; whether it stays alive is the caller's to watch.
 */
int command_detach(const struct command *command, const char *log_path, struct ph_error *error);

/* Write how it ended: "exited with 100", "was killed by signal 9"; text needs 48 bytes. */
char *command_result_format(const struct command_result *result, char text[48]);

/* The last non-empty line of a text, copied for the caller to free; "" when there is none. */
char *command_last_line(const char *text);
