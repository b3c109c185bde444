/*
 * phoenixctl: parses the command line against the table in commands.c, connects when the command
 * needs the controller, and turns errors into words and exit codes.
 */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "common/schema.h"
#include "controller/cli/commands.h"
#include "controller/cli/table.h"

#define DEFAULT_SOCKET "unix:/run/phoenix/control.sock"

static int usage_error(const char *format, const char *what, const char *suggestion)
{
	char *clean = text_clean(what);

	fputs("phoenixctl: ", stderr);
	fprintf(stderr, format, clean);
	if (suggestion)
		fprintf(stderr, "; did you mean '%s'?", suggestion);
	fputs("\nTry: phoenixctl --help\n", stderr);
	free(clean);
	return -EINVAL;
}

/* ---- which command ---- */

/* Match one or two words; returns how many words were the command's name, 0 for none. */
static size_t match_command(const char *const *words, size_t count, const struct command **ret)
{
	for (size_t i = 0; i < command_count; i++) {
		const char *space = strchr(commands[i].name, ' ');
		char joined[64];

		if (!space && strcmp(words[0], commands[i].name) == 0) {
			*ret = &commands[i];
			return 1;
		}
		if (!space || count < 2)
			continue;
		snprintf(joined, sizeof(joined), "%s %s", words[0], words[1]);
		if (strcmp(joined, commands[i].name) == 0) {
			*ret = &commands[i];
			return 2;
		}
	}
	return 0;
}

static int unknown_command(const char *const *words, size_t count)
{
	const char *names[64] = { NULL };
	char joined[128];

	for (size_t i = 0; i < command_count; i++)
		names[i] = commands[i].name;
	snprintf(joined, sizeof(joined), "%.60s%s%.60s", words[0],
		 text_equal(words[0], "image") && count > 1 ? " " : "",
		 text_equal(words[0], "image") && count > 1 ? words[1] : "");
	return usage_error("there is no command '%s'", joined,
			   schema_suggest(joined, names));
}

/* ---- options, before or after the command ---- */

struct parsed {
	const char *words[ARGUMENTS_MAXIMUM + 2];
	size_t word_count;
	struct {
		const char *name, *value; /* name without dashes, or one letter */
	} options[2 * OPTIONS_MAXIMUM];
	size_t option_count;
	bool help;
};

static const struct command_option *find_in(const struct command_option *options, const char *name,
					    size_t length)
{
	for (size_t i = 0; i < OPTIONS_MAXIMUM && options[i].name; i++) {
		if (strlen(options[i].name) == length &&
		    strncmp(options[i].name, name, length) == 0)
			return &options[i];
		if (length == 1 && options[i].letter == name[0])
			return &options[i];
	}
	return NULL;
}

/* The option meant by a word, in the command's table first. */
static const struct command_option *find_option(const struct command *command, const char *name,
						size_t length)
{
	const struct command_option *option = NULL;

	if (command)
		option = find_in(command->options, name, length);
	return option ? option : find_in(global_options, name, length);
}

static int unknown_option(const struct command *command, const char *word)
{
	const char *names[2 * OPTIONS_MAXIMUM + 1] = { NULL };
	size_t count = 0;

	for (size_t i = 0; command && i < OPTIONS_MAXIMUM && command->options[i].name; i++)
		names[count++] = command->options[i].name;
	for (size_t i = 0; global_options[i].name; i++)
		names[count++] = global_options[i].name;
	return usage_error("there is no option '%s'", word,
			   schema_suggest(word + strspn(word, "-"), names));
}

static void set_option(struct invocation *invocation, const struct command_option *option,
		       const char *value)
{
	if (strcmp(option->name, "socket") == 0)
		invocation->socket = value;
	else if (strcmp(option->name, "json") == 0)
		invocation->json = true;
	for (size_t i = 0; i < OPTIONS_MAXIMUM; i++)
		if (&invocation->command->options[i] == option)
			invocation->values[i] = value;
}

/* The command is found first, skipping options and their values, so that options may come anywhere. */
static int find_words(int argc, char **argv, struct parsed *parsed)
{
	for (int i = 1; i < argc; i++) {
		const struct command_option *option;
		const char *word = argv[i];

		if (word[0] == '-' && word[1]) {
			const char *name = word + strspn(word, "-");

			option = find_in(global_options, name, strcspn(name, "="));
			if (option && strcmp(option->name, "help") == 0)
				parsed->help = true;
			if (option && option->value && !strchr(word, '='))
				i++;
			else if (parsed->word_count)
				break; /* an option of the command: its table decides about values */
			continue;
		}
		if (parsed->word_count == 2)
			break;
		parsed->words[parsed->word_count++] = word;
	}
	return 0;
}

static int take_option(struct invocation *invocation, int argc, char **argv, int *index)
{
	const char *word = argv[*index], *name = word + (word[1] == '-' ? 2 : 1);
	size_t length = strcspn(name, "=");
	const struct command_option *option = find_option(invocation->command, name, length);
	const char *value = name[length] == '=' ? name + length + 1 : NULL;

	if (!option || (word[1] != '-' && length != 1))
		return unknown_option(invocation->command, word);
	if (option->value && !value) {
		if (*index + 1 >= argc)
			return usage_error("option '%s' needs a value", word, NULL);
		value = argv[++*index];
	}
	if (!option->value && value)
		return usage_error("option '%s' takes no value", word, NULL);
	set_option(invocation, option, value ? value : "");
	return strcmp(option->name, "help") == 0 ? 1 : 0;
}

/* Returns 1 when help was asked for. */
static int parse(struct invocation *invocation, int argc, char **argv, size_t name_words)
{
	bool is_literal = false, wants_help = false;
	size_t words = 0;

	for (int i = 1; i < argc; i++) {
		int r;

		if (!is_literal && strcmp(argv[i], "--") == 0) {
			is_literal = true;
			continue;
		}
		if (!is_literal && argv[i][0] == '-' && argv[i][1]) {
			r = take_option(invocation, argc, argv, &i);
			if (r < 0)
				return r;
			wants_help |= r == 1;
			continue;
		}
		if (words++ < name_words)
			continue;
		if (invocation->argument_count >= invocation->command->arguments_maximum)
			return usage_error("argument '%s' is too much", argv[i], NULL);
		invocation->arguments[invocation->argument_count++] = argv[i];
	}
	if (wants_help)
		return 1;
	if (invocation->argument_count < invocation->command->arguments_minimum)
		return usage_error("'%s' needs more arguments", invocation->command->name, NULL);
	return 0;
}

/* ---- running ---- */

static int exit_code_of(int code)
{
	switch (code) {
	case CLIENT_UNREACHABLE:
		return EXIT_UNREACHABLE;
	case -ENOENT:
		return EXIT_NOT_FOUND;
	case -EINVAL:
		return EXIT_USAGE;
	case -EBADE:
		return EXIT_UNHEALTHY;
	default:
		return EXIT_OPERATION;
	}
}

static void print_error(const struct invocation *invocation, const struct ph_error *error)
{
	char text[1200];
	char *clean = text_clean(error_format(error, text, sizeof(text)));
	char *remedy = text_clean(error->remedy);

	fprintf(stderr, "phoenixctl: %s\n", clean);
	if (error->step[0])
		fprintf(stderr, "  at step: %s\n", error->step);
	if (remedy[0])
		fprintf(stderr, "  to do: %s\n", remedy);
	free(remedy);
	free(clean);
}

static int run(struct invocation *invocation)
{
	struct ph_error error = { 0 };
	int r = 0;

	if (!invocation->command->is_local)
		r = client_open(invocation->socket, &invocation->client, &error);
	if (r == 0)
		r = invocation->command->run(invocation, &error);
	fflush(stdout);
	if (r < 0)
		print_error(invocation, &error);
	client_close(invocation->client);
	return r < 0 ? exit_code_of(r) : r;
}

int main(int argc, char **argv)
{
	const char *socket = getenv("PHOENIX_SOCKET");
	struct invocation invocation = { .socket = socket ? socket : DEFAULT_SOCKET };
	struct parsed parsed = { 0 };
	size_t name_words;
	int r;

	setlocale(LC_CTYPE, "C.UTF-8");
	signal(SIGPIPE, SIG_IGN);
	find_words(argc, argv, &parsed);
	if (parsed.word_count && text_equal(parsed.words[0], "help"))
		parsed.help = true;
	if (!parsed.word_count || (parsed.help && text_equal(parsed.words[0], "help"))) {
		help_print(NULL);
		return parsed.help ? EXIT_OK : EXIT_USAGE;
	}
	name_words = match_command(parsed.words, parsed.word_count, &invocation.command);
	if (!name_words) {
		unknown_command(parsed.words, parsed.word_count);
		return EXIT_USAGE;
	}
	r = parse(&invocation, argc, argv, name_words);
	if (r < 0)
		return EXIT_USAGE;
	if (r == 1) {
		help_print(invocation.command);
		return EXIT_OK;
	}
	return run(&invocation);
}
