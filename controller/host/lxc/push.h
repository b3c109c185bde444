/*
 * Put the agent into a running container: a sealed memfd, lxc_attach, fexecve. Nothing is written
 * into the container's root file system. What the kernel then shows of the agent's process is
 * compared with what was meant, and a process that is not right is killed (threats R2, R30).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/config.h"
#include "common/error.h"

#define PUSH_KEY_SIZE 32

struct push_request {
	const char *name;
	const char *address; /* that the agent dials: "vsock:1:1022" */
	const char *program; /* path of the static agent */
	const char *boot_id; /* handed to the agent */
	const uint8_t *key;  /* PUSH_KEY_SIZE bytes, handed to the agent through a pipe; borrowed */
	uint32_t id_base;    /* the container's map: 0 -> id_base for id_count ids */
	uint32_t id_count;
	bool spare_living;   /* do nothing where an agent with this boot_id lives and is not stopped */
	/* Check the label of a process on its /proc directory: 0, or a negative errno with the error
	 * filled. NULL: any. */
	int (*check_label)(void *user, int process, struct ph_error *error);
	void *user;
};

struct push_result {
	pid_t pid;            /* of the agent, on the host */
	char digest[65];      /* sha256 of the program */
	uint64_t duration_us; /* from the call to the checked agent */
	uint64_t exec_us;     /* of it, from attach to exec */
	unsigned int replaced; /* agents of before that were killed */
	bool is_spared;        /* pid is one that lives; nothing else is set */
};

/*
 * Kill the agents of before and start a new one, unless a living one is to be spared. That it lives is the
 * kernel's word; that it has the boot_id is the container's, and so no more than that phoenixd waits longer. -ENODEV when the container does not run; -EPERM
 * when the started process had not the ids, namespaces, groups or label that were meant: it was
 * killed. Jobs that an earlier agent left running in processes of their own go on.
 */
int push_agent(const struct config *config, const struct push_request *request,
	       struct push_result *ret_result, struct ph_error *error);
