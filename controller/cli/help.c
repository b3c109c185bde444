/* Help on a terminal, from the table. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/cli/commands.h"

static void print_options(const struct command_option *options)
{
	for (size_t i = 0; i < OPTIONS_MAXIMUM && options[i].name; i++) {
		char name[64];

		snprintf(name, sizeof(name), "-%c, --%s%s%s", options[i].letter, options[i].name,
			 options[i].value ? " " : "", options[i].value ? options[i].value : "");
		printf("  %-23s %s\n", name, options[i].help);
	}
}

static void print_exit_codes(void)
{
	puts("\nExit status:");
	for (size_t i = 0; exit_codes[i][0]; i++)
		printf("  %-4s %s\n", exit_codes[i][0], exit_codes[i][1]);
}

static void print_command(const struct command *command)
{
	printf("Usage: phoenixctl %s%s%s%s\n\n%c%s.\n\n%s\n", command->name,
	       command->options[0].name ? " [OPTIONS]" : "", command->arguments ? " " : "",
	       command->arguments ? command->arguments : "", toupper(command->summary[0]),
	       command->summary + 1, command->description);
	if (command->options[0].name)
		puts("\nOptions:");
	print_options(command->options);
	puts("\nOptions of every command:");
	print_options(global_options);
	printf("\nExample: %s\n", command->example);
}

static void print_summaries(const char *group)
{
	for (size_t i = 0; i < command_count; i++)
		if (text_has_prefix(commands[i].name, group))
			printf("  %-14s %s\n", commands[i].name, commands[i].summary);
}

static void print_overview(void)
{
	puts("Usage: phoenixctl [OPTIONS] COMMAND [ARGUMENTS]\n\n"
	     "Runs Docker in AppArmor-confined LXC containers.\n\nCommands:");
	print_summaries("");
	puts("\nOptions of every command:");
	print_options(global_options);
	puts("\nphoenixctl COMMAND --help explains a command.");
}

void help_print(const struct command *command)
{
	if (command)
		print_command(command);
	else
		print_overview();
	print_exit_codes();
}

void help_print_group(const char *group)
{
	char prefix[64];

	snprintf(prefix, sizeof(prefix), "%.60s ", group);
	printf("Usage: phoenixctl %s COMMAND [ARGUMENTS]\n\nCommands:\n", group);
	print_summaries(prefix);
	puts("\nphoenixctl COMMAND --help explains a command.");
}

int command_help(struct invocation *invocation, struct ph_error *error)
{
	const char *const *words = invocation->arguments;
	const struct command *command = NULL;
	const char *suggestion;
	char remedy[128];
	size_t used = command_find(words, invocation->argument_count, &command);

	if (invocation->argument_count == 1 && command_is_group(words[0])) {
		help_print_group(words[0]);
		return EXIT_OK;
	}
	if (used == invocation->argument_count) {
		help_print(command);
		return EXIT_OK;
	}
	suggestion = command_suggest(words, invocation->argument_count);
	snprintf(remedy, sizeof(remedy), suggestion ? "did you mean '%s'?" : "see: phoenixctl help",
		 suggestion);
	return error_set(error, -EINVAL, NULL, remedy, "there is no command '%s%s%s'", words[0],
			 invocation->argument_count > 1 ? " " : "",
			 invocation->argument_count > 1 ? words[1] : "");
}
