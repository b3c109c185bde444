/*
 * Every command of phoenixctl, described once: the help, the completion and the man page are made
 * from this table, so they cannot disagree with what is parsed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controller/cli/client.h"

/* Exit codes, as documented. */
enum {
	EXIT_OK = 0,
	EXIT_OPERATION = 1,
	EXIT_USAGE = 2,
	EXIT_UNHEALTHY = 3,
	EXIT_NOT_FOUND = 4,
	EXIT_UNREACHABLE = 75,
};

#define OPTIONS_MAXIMUM 8
#define ARGUMENTS_MAXIMUM 16

struct command_option {
	const char *name;  /* without "--" */
	char letter;       /* '\0': none */
	const char *value; /* what it takes, "FILE"; NULL: a flag */
	const char *help;
};

/* What a command was called with. */
struct invocation {
	const struct command *command;
	const char *socket;      /* address of the controller */
	bool json;
	const char *arguments[ARGUMENTS_MAXIMUM];
	size_t argument_count;
	const char *values[OPTIONS_MAXIMUM]; /* by position in the command's table; "" for a flag */
	struct client *client;   /* connected when the command needs one */
};

struct command {
	const char *name;        /* "image import": one or two words */
	const char *arguments;   /* "NAME TAR|DIR" */
	const char *summary;     /* one line, no full stop */
	const char *description; /* paragraphs for help and man page */
	const char *example;
	size_t arguments_minimum, arguments_maximum;
	bool completes_names;    /* its first argument is a container's name */
	bool is_local;           /* needs no controller */
	struct command_option options[OPTIONS_MAXIMUM]; /* ended by an empty name */
	int (*run)(struct invocation *invocation, struct ph_error *error);
};

extern const struct command commands[];
extern const size_t command_count;
extern const struct command_option global_options[];
extern const char *const exit_codes[][2]; /* number, meaning; ended by NULL */

/* The value of an option; NULL when it was not given. */
const char *invocation_value(const struct invocation *invocation, const char *name);

/* Read an option as a number; -EINVAL with the error filled. Untouched when not given. */
int invocation_number(const struct invocation *invocation, const char *name, uint64_t *ret_value,
		      struct ph_error *error);

/* Print the overview, or one command's help. */
void help_print(const struct command *command);

/* Print the bash completion. */
void completion_print(void);

/* Print the man page phoenixctl(1). */
void man_print(void);

/* The commands; each returns an exit code, or a negative errno with the error filled. */
int command_apply(struct invocation *invocation, struct ph_error *error);
int command_list(struct invocation *invocation, struct ph_error *error);
int command_show(struct invocation *invocation, struct ph_error *error);
int command_health(struct invocation *invocation, struct ph_error *error);
int command_verify(struct invocation *invocation, struct ph_error *error);
int command_events(struct invocation *invocation, struct ph_error *error);
int command_remove(struct invocation *invocation, struct ph_error *error);
int command_image_import(struct invocation *invocation, struct ph_error *error);
int command_image_build(struct invocation *invocation, struct ph_error *error);
int command_image_list(struct invocation *invocation, struct ph_error *error);
int command_image_remove(struct invocation *invocation, struct ph_error *error);
int command_version(struct invocation *invocation, struct ph_error *error);
int command_completion(struct invocation *invocation, struct ph_error *error);
int command_man(struct invocation *invocation, struct ph_error *error);
