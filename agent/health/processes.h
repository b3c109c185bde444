/*
 * The processes that Docker here lives from, as /proc shows them. Those of nested containers, which
 * have a pid namespace of their own, are not counted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCESSES_MAXIMUM 512 /* of one name; more are not looked at */

struct process {
	pid_t pid;
	char state; /* of /proc/PID/stat: R S D T t Z X */
	uint64_t resident_kib;
	uint32_t files;         /* open descriptors */
	uint64_t files_maximum; /* soft RLIMIT_NOFILE; 0: not known */
};

struct processes {
	struct process *items; /* owned */
	size_t count;
};

/*
 * Read "PID (NAME) STATE ..." of /proc/PID/stat: whether it is a process of this name, which the
 * kernel keeps 15 bytes of, and in what state. Pure. 0 when it is not.
 */
char process_state(const char *stat, const char *name);

/* Find those with this name; zombies are left out. Only pid and state are filled. */
void processes_find(const char *name, struct processes *ret_processes);

/* Fill what one process uses; what cannot be read stays 0. */
void process_measure(struct process *process);

/* How many with this name are in this state. */
size_t processes_count(const char *name, char state);

/* Free the items. */
void processes_fini(struct processes *processes);

#define PH_AUTO_PROCESSES __attribute__((cleanup(processes_fini)))
