#include "controller/cli/commands.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/schema.h"
#include "common/str.h"
#include "controller/cli/output.h"

size_t command_find(const char *const *words, size_t count, const struct command **ret_command)
{
	for (size_t i = 0; i < command_count; i++) {
		const char *space = strchr(commands[i].name, ' ');
		size_t length = space ? (size_t)(space - commands[i].name) : 0;

		if (count > 0 && !space && strcmp(words[0], commands[i].name) == 0) {
			*ret_command = &commands[i];
			return 1;
		}
		if (count > 1 && space && strlen(words[0]) == length &&
		    strncmp(words[0], commands[i].name, length) == 0 &&
		    strcmp(words[1], space + 1) == 0) {
			*ret_command = &commands[i];
			return 2;
		}
	}
	return 0;
}

bool command_is_group(const char *word)
{
	size_t length = strlen(word);

	for (size_t i = 0; i < command_count; i++)
		if (strncmp(commands[i].name, word, length) == 0 && commands[i].name[length] == ' ')
			return true;
	return false;
}

const char *command_suggest(const char *const *words, size_t count)
{
	const char *names[64] = { NULL };
	const char *suggestion = NULL;
	char joined[128];

	for (size_t i = 0; i < command_count && i + 1 < ARRAY_LENGTH(names); i++)
		names[i] = commands[i].name;
	if (count > 1) {
		snprintf(joined, sizeof(joined), "%.60s %.60s", words[0], words[1]);
		suggestion = schema_suggest(joined, names);
	}
	return suggestion || count == 0 ? suggestion : schema_suggest(words[0], names);
}

static const struct command_option *find_in(const struct command_option *options, const char *name,
					    size_t length)
{
	for (size_t i = 0; i < OPTIONS_MAXIMUM && options[i].name; i++) {
		if (length == 1 && options[i].letter == name[0])
			return &options[i];
		if (length > 1 && strlen(options[i].name) == length &&
		    strncmp(options[i].name, name, length) == 0)
			return &options[i];
	}
	return NULL;
}

const struct command_option *command_option(const struct command *command, const char *name,
					    size_t length)
{
	const struct command_option *option = find_in(global_options, name, length);

	return option || !command ? option : find_in(command->options, name, length);
}

const struct command_option *command_option_any(const char *name, size_t length)
{
	const struct command_option *option = command_option(NULL, name, length);

	for (size_t i = 0; i < command_count && !option; i++)
		option = find_in(commands[i].options, name, length);
	return option;
}

const char *invocation_value(const struct invocation *invocation, const char *name)
{
	for (size_t i = 0; i < OPTIONS_MAXIMUM && invocation->command->options[i].name; i++)
		if (strcmp(invocation->command->options[i].name, name) == 0)
			return invocation->values[i];
	return NULL;
}

int invocation_number(const struct invocation *invocation, const char *name, uint64_t *ret_value,
		      struct ph_error *error)
{
	const char *value = invocation_value(invocation, name);

	if (!value)
		return 0;
	if (text_to_u64(value, UINT64_MAX, ret_value) < 0)
		return error_set(error, -EINVAL, NULL, "give a whole number",
				 "option --%s: '%s' is not a number", name, value);
	return 0;
}

int invocation_connect(struct invocation *invocation, struct ph_error *error)
{
	return client_open(invocation->socket, invocation->timeout_ms, &invocation->client, error);
}

int invocation_check_names(const struct invocation *invocation, struct ph_error *error)
{
	for (size_t i = 0; i < invocation->argument_count; i++)
		if (!name_is_valid(invocation->arguments[i]))
			return error_set(error, -EINVAL, NULL, "see: phoenixctl list",
					 "'%s' is no container's name", invocation->arguments[i]);
	return 0;
}

int invocation_each_name(struct invocation *invocation,
			 int (*act)(struct invocation *invocation, const char *name,
				    struct ph_error *error),
			 struct ph_error *error)
{
	struct ph_error first = { 0 };

	for (size_t i = 0; i < invocation->argument_count; i++) {
		struct ph_error one = { 0 };
		int r = act(invocation, invocation->arguments[i], &one);

		if (r == 0)
			continue;
		if (!error_is_set(&first))
			first = one;
		else
			output_error(&one);
		if (r == CLIENT_UNREACHABLE || r == -EPIPE)
			break;
	}
	*error = first;
	return first.code;
}
