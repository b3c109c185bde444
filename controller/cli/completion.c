/*
 * The bash completion, from the table. Names come from phoenixctl itself, which prints valid names
 * only; they are compared and never evaluated (compgen -W would expand them).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/cli/commands.h"

static const char functions[] =
	"# bash completion for phoenixctl; made by: phoenixctl completion bash\n"
	"\n"
	"_phoenixctl_match()\n"
	"{\n"
	"\tlocal candidate\n"
	"\twhile read -r candidate; do\n"
	"\t\t[[ $candidate == \"$word\"* ]] && COMPREPLY+=(\"$candidate\")\n"
	"\tdone\n"
	"}\n"
	"\n"
	"_phoenixctl_kind()\n"
	"{\n"
	"\tcase $1 in\n"
	"\tcontainers) _phoenixctl_match < <(\"$program\" list --names 2>/dev/null);;\n"
	"\timages) _phoenixctl_match < <(\"$program\" image list --names 2>/dev/null);;\n"
	"\tfiles) compopt -o filenames 2>/dev/null; _phoenixctl_match < <(compgen -f -- \"$word\");;\n"
	"\tdirectories) compopt -o filenames 2>/dev/null; _phoenixctl_match < <(compgen -d -- "
	"\"$word\");;\n"
	"\tcommands) _phoenixctl_match < <(printf '%s\\n' $commands);;\n"
	"\tshells) _phoenixctl_match <<<bash;;\n"
	"\tesac\n"
	"}\n"
	"\n"
	"_phoenixctl()\n"
	"{\n"
	"\tlocal program=$1 word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
	"\tlocal i options= first= rest= name_words=1\n"
	"\tlocal -a words=()\n"
	"\tCOMPREPLY=()\n"
	"\t[[ $word == = ]] && word=\n"
	"\t[[ $previous == = ]] && previous=${COMP_WORDS[COMP_CWORD-2]}\n";

static const char *const kind_names[] = {
	[WORDS_NONE] = "",       [WORDS_CONTAINERS] = "containers", [WORDS_IMAGES] = "images",
	[WORDS_FILES] = "files", [WORDS_COMMANDS] = "commands",     [WORDS_SHELLS] = "shells",
};

/* What completes an option's value. */
static const char *value_kind(const struct command_option *option)
{
	if (strcmp(option->value, "FILE") == 0)
		return "files";
	if (strcmp(option->value, "DIR") == 0)
		return "directories";
	return strcmp(option->value, "NAME") == 0 ? "containers" : "";
}

static void print_value_cases(const struct command_option *options)
{
	for (size_t i = 0; i < OPTIONS_MAXIMUM && options[i].name; i++)
		if (options[i].value)
			printf("\t--%s|-%c) _phoenixctl_kind '%s'; return;;\n", options[i].name,
			       options[i].letter, value_kind(&options[i]));
}

/* Options that take a value are skipped with it; bash has split "--name=value" and "unix:PATH". */
static void print_word_loop(void)
{
	puts("\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	     "\t\tcase ${COMP_WORDS[i]} in");
	for (size_t i = 0; i < OPTIONS_MAXIMUM && global_options[i].name; i++)
		if (global_options[i].value)
			printf("\t\t--%s|-%c|\\\n", global_options[i].name,
			       global_options[i].letter);
	for (size_t i = 0; i < command_count; i++)
		for (size_t j = 0; j < OPTIONS_MAXIMUM && commands[i].options[j].name; j++)
			if (commands[i].options[j].value)
				printf("\t\t--%s|-%c|\\\n", commands[i].options[j].name,
				       commands[i].options[j].letter);
	puts("\t\t--none)\n"
	     "\t\t\t((i++))\n"
	     "\t\t\t[[ ${COMP_WORDS[i]-} == = ]] && ((i++))\n"
	     "\t\t\twhile [[ ${COMP_WORDS[i+1]-} == : ]]; do ((i += 2)); done;;\n"
	     "\t\t-*) ;;\n"
	     "\t\t*) words+=(\"${COMP_WORDS[i]}\");;\n"
	     "\t\tesac\n"
	     "\tdone");
}

static void print_option_words(const struct command_option *options)
{
	for (size_t i = 0; i < OPTIONS_MAXIMUM && options[i].name; i++)
		printf("--%s ", options[i].name);
}

static void print_command_case(const struct command *command)
{
	bool has_two = strchr(command->name, ' ') != NULL;

	printf("\t\"%s\"%s%s%s)\n\t\toptions=\"", command->name, has_two ? "" : "|\"",
	       has_two ? "" : command->name, has_two ? "" : " \"*");
	print_option_words(command->options);
	printf("\" first=%s rest=%s name_words=%d;;\n", kind_names[command->completes[0]],
	       kind_names[command->completes[1]], has_two ? 2 : 1);
}

/* The first words of all commands, each once: the table keeps a group's commands together. */
static void print_first_words(void)
{
	const char *last = "";

	for (size_t i = 0; i < command_count; i++) {
		size_t length = strcspn(commands[i].name, " ");

		if (strncmp(commands[i].name, last, length + 1) != 0)
			printf("%.*s ", (int)length, commands[i].name);
		last = commands[i].name;
	}
}

/* For groups: the second words. */
static void print_group_cases(void)
{
	const char *last = "";

	for (size_t i = 0; i < command_count; i++) {
		const char *space = strchr(commands[i].name, ' ');
		size_t length = space ? (size_t)(space - commands[i].name) : 0;

		if (!space || strncmp(commands[i].name, last, length + 1) == 0)
			continue;
		last = commands[i].name;
		printf("\t\"%.*s\"|\"%.*s \"*) first=commands commands=\"", (int)length, last,
		       (int)length, last);
		for (size_t j = i; j < command_count; j++)
			if (strncmp(commands[j].name, last, length + 1) == 0)
				printf("%s ", commands[j].name + length + 1);
		puts("\";;");
	}
}

void completion_print(void)
{
	fputs(functions, stdout);
	fputs("\tlocal commands=\"", stdout);
	print_first_words();
	puts("\"\n\tcase $previous in");
	print_value_cases(global_options);
	for (size_t i = 0; i < command_count; i++)
		print_value_cases(commands[i].options);
	puts("\tesac");
	print_word_loop();
	puts("\tcase \"${words[*]:0:2}\" in\n\t\"\") first=commands name_words=0;;");
	for (size_t i = 0; i < command_count; i++)
		print_command_case(&commands[i]);
	print_group_cases();
	fputs("\tesac\n\tif [[ $word == -* ]]; then\n\t\toptions+=\"", stdout);
	print_option_words(global_options);
	puts("\"\n"
	     "\t\t_phoenixctl_match < <(printf '%s\\n' $options)\n"
	     "\telif ((${#words[@]} <= name_words)); then\n"
	     "\t\t_phoenixctl_kind \"$first\"\n"
	     "\telse\n"
	     "\t\t_phoenixctl_kind \"$rest\"\n"
	     "\tfi\n"
	     "}\n"
	     "complete -F _phoenixctl phoenixctl");
}

int command_completion(struct invocation *invocation, struct ph_error *error)
{
	if (!text_equal(invocation->arguments[0], "bash"))
		return error_set(error, -EINVAL, NULL, "phoenixctl completion bash",
				 "there is no completion for '%s'", invocation->arguments[0]);
	completion_print();
	return EXIT_OK;
}
