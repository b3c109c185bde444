/*
 * The far side of a command: what a forked child does until exec. Internal to command.c. Nothing here
 * allocates after the fork.
 */
#pragma once

#include <limits.h>
#include <sys/types.h>

#include "agent/system/command.h"

#define COMMAND_STREAMS 3
#define COMMAND_INHERITED 4
#define COMMAND_ENVIRONMENT_MAXIMUM 64

struct command_child {
	const struct command *command;
	const char *environment[COMMAND_ENVIRONMENT_MAXIMUM];
	char path_variable[1024];
	char inherited[COMMAND_INHERITED][512];
	char program[PATH_MAX];
	int input;
	int ends[COMMAND_STREAMS]; /* the child's ends, -1: none */
	int failure;               /* errno goes here; close-on-exec */
};

/* Prepare everything that exec needs: environment and program. -ENOENT when there is no program. */
int command_child_init(struct command_child *child, const struct command *command);

/* Close the descriptors that are still open in the parent. May be called again. */
void command_child_fini(struct command_child *child);

/* In the forked child: become the program, in a session of its own. parent is who forked. */
_Noreturn void command_child_run(struct command_child *child, pid_t parent);

/* In the forked child: fork once more and become a daemon; the middle process ends at once. */
_Noreturn void command_child_detach(struct command_child *child);
