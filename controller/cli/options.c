/*
 * Two passes. The first sorts words from options without knowing the command, which works because an
 * option's name means the same in every command (a test holds the table to it). The second knows the
 * command, and whether these options are its own.
 */
#include "controller/cli/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/schema.h"
#include "common/str.h"

#define TIMEOUT_MAXIMUM 86400 /* seconds */

struct taken {
	const char *name; /* or the letter */
	size_t length;
	const char *value; /* "" for a flag */
	const char *word;  /* as written */
};

struct scan {
	struct taken *taken; /* owned */
	size_t taken_count;
	size_t word_count;
	const char *unknown; /* the first option that no command has */
};

static int bad_usage(const struct command *command, const char *suggestion, const char *why,
		     const char *what, struct ph_error *error)
{
	char remedy[200];

	snprintf(remedy, sizeof(remedy), "%s%s%ssee: phoenixctl %s%s--help",
		 suggestion ? "did you mean '" : "", suggestion ? suggestion : "",
		 suggestion ? "'? Or " : "", command ? command->name : "", command ? " " : "");
	return error_set(error, -EINVAL, NULL, remedy, why, what);
}

/* ---- first pass ---- */

/* Note an option; *index moves on when its value is the next word. */
static int take(struct scan *scan, struct taken taken, int argc, char *const *argv, int *index,
		struct ph_error *error)
{
	const struct command_option *option = command_option_any(taken.name, taken.length);

	if (!option) {
		scan->unknown = scan->unknown ? scan->unknown : taken.word;
		return 0;
	}
	if (!option->value && taken.value)
		return bad_usage(NULL, NULL, "option '%s' takes no value", taken.word, error);
	if (option->value && !taken.value) {
		if (*index + 1 >= argc)
			return bad_usage(NULL, NULL, "option '%s' needs a value", taken.word,
					 error);
		taken.value = argv[++*index];
	}
	if (!taken.value)
		taken.value = "";
	scan->taken[scan->taken_count++] = taken;
	return 0;
}

static int take_long(struct scan *scan, int argc, char *const *argv, int *index,
		     struct ph_error *error)
{
	const char *word = argv[*index];
	struct taken taken = { .name = word + 2, .length = strcspn(word + 2, "="), .word = word };

	if (taken.length < 2) { /* "--f" is no way to write "-f" */
		scan->unknown = scan->unknown ? scan->unknown : word;
		return 0;
	}
	if (taken.name[taken.length] == '=')
		taken.value = taken.name + taken.length + 1;
	return take(scan, taken, argc, argv, index, error);
}

/* "-jF", "-ffleet.yaml": letters, the last of which may have its value attached. */
static int take_letters(struct scan *scan, int argc, char *const *argv, int *index,
			struct ph_error *error)
{
	const char *word = argv[*index];
	int r = 0;

	for (const char *letter = word + 1; *letter && r == 0; letter++) {
		const struct command_option *option = command_option_any(letter, 1);
		struct taken taken = { .name = letter, .length = 1, .word = word };

		if (option && option->value && letter[1])
			taken.value = letter + 1;
		r = take(scan, taken, argc, argv, index, error);
		if (!option || option->value)
			break;
	}
	return r;
}

static int scan_words(struct scan *scan, int argc, char *const *argv, const char **words,
		      struct ph_error *error)
{
	bool is_literal = false;
	int r = 0;

	for (int i = 1; i < argc && r == 0; i++) {
		if (is_literal || argv[i][0] != '-' || !argv[i][1])
			words[scan->word_count++] = argv[i];
		else if (strcmp(argv[i], "--") == 0)
			is_literal = true;
		else if (argv[i][1] == '-')
			r = take_long(scan, argc, argv, &i, error);
		else
			r = take_letters(scan, argc, argv, &i, error);
	}
	return r;
}

/* ---- second pass ---- */

static bool is_given(const struct scan *scan, const char *name)
{
	for (size_t i = 0; i < scan->taken_count; i++) {
		const struct taken *taken = &scan->taken[i];
		const struct command_option *option = command_option(NULL, taken->name,
								     taken->length);

		if (option && text_equal(option->name, name))
			return true;
	}
	return false;
}

static int unknown_option(const struct command *command, const char *word, struct ph_error *error)
{
	const char *names[2 * OPTIONS_MAXIMUM + 1] = { NULL };
	char name[48], suggested[64];
	const char *suggestion;
	size_t count = 0;

	for (size_t i = 0; command && i < OPTIONS_MAXIMUM && command->options[i].name; i++)
		names[count++] = command->options[i].name;
	for (size_t i = 0; i < OPTIONS_MAXIMUM && global_options[i].name; i++)
		names[count++] = global_options[i].name;
	text_copy(name, sizeof(name), word + strspn(word, "-"));
	name[strcspn(name, "=")] = '\0';
	suggestion = schema_suggest(name, names);
	if (suggestion)
		snprintf(suggested, sizeof(suggested), "--%s", suggestion);
	return bad_usage(command, suggestion ? suggested : NULL, "there is no option '%s' here",
			 word, error);
}

static int set_option(struct invocation *invocation, const struct command_option *option,
		      const char *value, struct ph_error *error)
{
	uint64_t seconds;

	for (size_t i = 0; i < OPTIONS_MAXIMUM; i++)
		if (&invocation->command->options[i] == option)
			invocation->values[i] = value;
	if (strcmp(option->name, "socket") == 0)
		invocation->socket = value;
	if (strcmp(option->name, "json") == 0)
		invocation->json = true;
	if (strcmp(option->name, "timeout") != 0)
		return 0;
	if (text_to_u64(value, TIMEOUT_MAXIMUM, &seconds) < 0)
		return error_set(error, -EINVAL, NULL, "give whole seconds, at most 86400",
				 "option --timeout: '%s' is no such number", value);
	invocation->timeout_ms = (uint32_t)seconds * 1000;
	return 0;
}

static int set_options(struct invocation *invocation, const struct scan *scan,
		       struct ph_error *error)
{
	int r = 0;

	for (size_t i = 0; i < scan->taken_count && r == 0; i++) {
		const struct taken *taken = &scan->taken[i];
		const struct command_option *option = command_option(invocation->command,
								     taken->name, taken->length);

		r = option ? set_option(invocation, option, taken->value, error) :
			     unknown_option(invocation->command, taken->word, error);
	}
	return r;
}

static int check_count(const struct invocation *invocation, struct ph_error *error)
{
	const struct command *command = invocation->command;

	if (invocation->argument_count > command->arguments_maximum)
		return bad_usage(command, NULL, "argument '%s' is too much",
				 invocation->arguments[command->arguments_maximum], error);
	if (invocation->argument_count < command->arguments_minimum)
		return bad_usage(command, NULL, "arguments are missing: %s", command->arguments,
				 error);
	return 0;
}

static int no_command(struct invocation *invocation, const struct scan *scan,
		      struct ph_error *error)
{
	const char *const *words = invocation->words;
	bool is_group = scan->word_count == 1 && command_is_group(words[0]);
	char joined[128];

	if (is_given(scan, "help") && is_group)
		invocation->group = words[0];
	if (is_given(scan, "help") && (is_group || scan->word_count == 0))
		return OPTIONS_HELP;
	if (scan->word_count == 0 && scan->unknown)
		return unknown_option(NULL, scan->unknown, error);
	if (scan->word_count == 0)
		return bad_usage(NULL, NULL, "%s", "no command was given", error);
	if (is_group)
		return error_set(error, -EINVAL, NULL, "see: phoenixctl help",
				 "'%s' is only the beginning of a command", words[0]);
	snprintf(joined, sizeof(joined), "%.60s%s%.60s", words[0],
		 command_is_group(words[0]) ? " " : "", command_is_group(words[0]) ? words[1] : "");
	return bad_usage(NULL, command_suggest(words, scan->word_count), "there is no command '%s'",
			 joined, error);
}

static int understand(struct invocation *invocation, const struct scan *scan,
		      struct ph_error *error)
{
	static const char *const version[] = { "version" };
	bool is_version = is_given(scan, "version") && !is_given(scan, "help");
	size_t name_words = command_find(invocation->words, scan->word_count, &invocation->command);
	int r;

	if (is_version) {
		name_words = scan->word_count;
		command_find(version, 1, &invocation->command);
	}
	if (!invocation->command)
		return no_command(invocation, scan, error);
	invocation->arguments = invocation->words + name_words;
	invocation->argument_count = scan->word_count - name_words;
	if (scan->unknown)
		return unknown_option(invocation->command, scan->unknown, error);
	r = set_options(invocation, scan, error);
	if (r == 0 && is_given(scan, "help"))
		return OPTIONS_HELP;
	return r == 0 ? check_count(invocation, error) : r;
}

int options_parse(int argc, char *const *argv, struct invocation *ret_invocation,
		  struct ph_error *error)
{
	struct scan scan = { 0 };
	size_t letters = 0;
	int r;

	for (int i = 1; i < argc; i++)
		letters += strlen(argv[i]) + 1;
	scan.taken = ph_alloc_array(letters + 1, sizeof(*scan.taken));
	ret_invocation->words = ph_alloc_array((size_t)argc + 1, sizeof(*ret_invocation->words));
	r = scan_words(&scan, argc, argv, ret_invocation->words, error);
	if (r == 0)
		r = understand(ret_invocation, &scan, error);
	free(scan.taken);
	return r;
}

void options_fini(struct invocation *invocation)
{
	free(invocation->words);
	invocation->words = NULL;
	invocation->arguments = NULL;
	invocation->argument_count = 0;
}
