/*
 * Processes of a container as the host's kernel shows them: read from the host's own /proc only,
 * never from a procfs that a container can mount over. A process is opened once (a descriptor of
 * its /proc directory): what is read through it belongs to that process or fails, whatever happens
 * to its number. Knows nothing of containers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

/* Open /proc/PID; a descriptor that the caller closes, -ESRCH when there is no such process. */
int process_open(pid_t pid);

struct process_status {
	char name[32];       /* what it calls itself, control bytes replaced */
	pid_t parent;        /* host pid */
	unsigned int levels; /* pid namespaces it is visible in, the host's included */
	pid_t inner;         /* its pid in the innermost of them */
	uid_t uid;           /* effective, host id */
};

/* Read a process's status; -ESRCH when it has gone. */
int process_read_status(int process, struct process_status *ret_status);

/* Whether it runs: one that has ended and waits for its parent does not. */
bool process_is_alive(int process);

/* Read when it started, in clock ticks since boot; identifies a start together with the pid. */
int process_read_start(int process, uint64_t *ret_ticks);

/* Read a small file of the process's /proc directory into text; never more than size bytes. */
int process_read_file(int process, const char *file, char *text, size_t size);

/* Read what it executes; "/memfd:NAME (deleted)" for a memfd. */
int process_read_exe(int process, char *text, size_t size);

/* Whether its user namespace maps exactly id 0 to base for count ids, for uids and gids. */
bool process_has_map(int process, uint32_t base, uint32_t count);

/* Whether two processes are in the same namespace ("pid", "net", ...). */
bool process_same_namespace(int left, int right, const char *kind);

/* Kill with SIGKILL by pidfd and wait at most timeout_ms for the end; -ETIME when it goes on. */
int process_kill(pid_t pid, int process, int timeout_ms);
