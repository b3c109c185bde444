/*
 * Every command of phoenixctl, described once: parsing, help, completion and man page are made from
 * this table, so they cannot disagree.
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
	EXIT_FINDINGS = 2, /* of preflight; nothing was changed here either */
	EXIT_CHANGES = 2,  /* of plan */
	EXIT_UNHEALTHY = 3,
	EXIT_NOT_FOUND = 4,
	EXIT_UNREACHABLE = 75,
};

#define OPTIONS_MAXIMUM 8
#define ARGUMENTS_ANY SIZE_MAX

struct command_option {
	const char *name; /* without "--" */
	char letter;
	const char *value; /* what it takes, "FILE"; NULL: a flag */
	const char *help;
};

/* What an argument is, for the completion. */
enum words {
	WORDS_NONE,
	WORDS_CONTAINERS,
	WORDS_IMAGES,
	WORDS_FILES,
	WORDS_COMMANDS,
	WORDS_SHELLS,
};

/* What phoenixctl was called with. */
struct invocation {
	const struct command *command; /* NULL: help without a command */
	const char *group;             /* "image": help on the commands that begin so */
	const char *socket;            /* address of the controller */
	bool json;
	uint32_t timeout_ms;          /* for questions; 0: for ever */
	const char **words;           /* owned; holds the arguments */
	const char *const *arguments; /* borrowed from words */
	size_t argument_count;
	const char *values[OPTIONS_MAXIMUM]; /* by place in the command's table; "" for a flag */
	struct client *client;               /* owned; NULL until the command connects */
};

struct command {
	const char *name;        /* "image import": one or two words */
	const char *arguments;   /* "NAME TAR|DIR" */
	const char *summary;     /* one line, no full stop */
	const char *description; /* paragraphs for help and man page */
	const char *example;
	size_t arguments_minimum, arguments_maximum;
	enum words completes[2];                        /* the first argument, the others */
	struct command_option options[OPTIONS_MAXIMUM]; /* ended by an empty name */
	int (*run)(struct invocation *invocation, struct ph_error *error);
};

extern const struct command commands[];
extern const size_t command_count;
extern const struct command_option global_options[]; /* ended by an empty name */
extern const char *const exit_codes[][2];            /* number, meaning; ended by NULL */

/* Find the command that one or two words name; returns how many were its name, 0 for none. */
size_t command_find(const char *const *words, size_t count, const struct command **ret_command);

/* Whether a word is the first of several commands' names, as "image" is. */
bool command_is_group(const char *word);

/* Find the command that mistyped words most likely mean; NULL: none is near. */
const char *command_suggest(const char *const *words, size_t count);

/* The option of a command, or a global one, by its name or letter; NULL: none. command may be NULL. */
const struct command_option *command_option(const struct command *command, const char *name,
					    size_t length);

/* Such an option of any command: options may come before the command's name. */
const struct command_option *command_option_any(const char *name, size_t length);

/* The value of an option; NULL when it was not given. */
const char *invocation_value(const struct invocation *invocation, const char *name);

/* Read an option as a number; -EINVAL with the error filled. Untouched when not given. */
int invocation_number(const struct invocation *invocation, const char *name, uint64_t *ret_value,
		      struct ph_error *error);

/* Connect to the controller: a command checks what it was given first. */
int invocation_connect(struct invocation *invocation, struct ph_error *error);

/* Check that all arguments are containers' names. */
int invocation_check_names(const struct invocation *invocation, struct ph_error *error);

/*
 * Do something with every container that was named, while the controller is there. The error is the first
 * failure's, which the caller prints; the others are printed in here.
 */
int invocation_each_name(struct invocation *invocation,
			 int (*act)(struct invocation *invocation, const char *name,
				    struct ph_error *error),
			 struct ph_error *error);

/* Print a command's help; the overview for NULL. */
void help_print(const struct command *command);

/* Print the help on the commands that begin with a word. */
void help_print_group(const char *group);

/* Print the bash completion. */
void completion_print(void);

/* Print the man page phoenixctl(1). */
void man_print(void);

/* The commands; each returns an exit code, or a negative errno with the error filled. */
int command_apply(struct invocation *invocation, struct ph_error *error);
int command_plan(struct invocation *invocation, struct ph_error *error);
int command_adopt(struct invocation *invocation, struct ph_error *error);
int command_confine(struct invocation *invocation, struct ph_error *error);
int command_unadopt(struct invocation *invocation, struct ph_error *error);
int command_discard(struct invocation *invocation, struct ph_error *error);
int command_drift(struct invocation *invocation, struct ph_error *error);
int command_schema(struct invocation *invocation, struct ph_error *error);
int command_list(struct invocation *invocation, struct ph_error *error);
int command_show(struct invocation *invocation, struct ph_error *error);
int command_health(struct invocation *invocation, struct ph_error *error);
int command_verify(struct invocation *invocation, struct ph_error *error);
int command_preflight(struct invocation *invocation, struct ph_error *error);
int command_storage(struct invocation *invocation, struct ph_error *error);
int command_events(struct invocation *invocation, struct ph_error *error);
int command_apparmor_check(struct invocation *invocation, struct ph_error *error);
int command_apparmor_repair(struct invocation *invocation, struct ph_error *error);
int command_apparmor_render(struct invocation *invocation, struct ph_error *error);
int command_apparmor_status(struct invocation *invocation, struct ph_error *error);
int command_apparmor_denials(struct invocation *invocation, struct ph_error *error);
int command_rotate_key(struct invocation *invocation, struct ph_error *error);
int command_remove(struct invocation *invocation, struct ph_error *error);
int command_bundle_build(struct invocation *invocation, struct ph_error *error);
int command_bundle_import(struct invocation *invocation, struct ph_error *error);
int command_bundle_list(struct invocation *invocation, struct ph_error *error);
int command_bundle_remove(struct invocation *invocation, struct ph_error *error);
int command_image_import(struct invocation *invocation, struct ph_error *error);
int command_image_build(struct invocation *invocation, struct ph_error *error);
int command_image_list(struct invocation *invocation, struct ph_error *error);
int command_image_remove(struct invocation *invocation, struct ph_error *error);
int command_rollout_start(struct invocation *invocation, struct ph_error *error);
int command_rollout_status(struct invocation *invocation, struct ph_error *error);
int command_rollout_show(struct invocation *invocation, struct ph_error *error);
int command_rollout_pause(struct invocation *invocation, struct ph_error *error);
int command_rollout_resume(struct invocation *invocation, struct ph_error *error);
int command_rollout_abort(struct invocation *invocation, struct ph_error *error);
int command_rollout_revert(struct invocation *invocation, struct ph_error *error);
int command_rollout_history(struct invocation *invocation, struct ph_error *error);
int command_version(struct invocation *invocation, struct ph_error *error);
int command_help(struct invocation *invocation, struct ph_error *error);
int command_completion(struct invocation *invocation, struct ph_error *error);
int command_man(struct invocation *invocation, struct ph_error *error);
