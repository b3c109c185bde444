/* The table of commands against what is made from it, and the parser against the table. */
#include "tests/support/cmocka.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/cli/options.h"
#include "tests/support/capture.h"
#include "tests/support/scratch.h"

static char *printed(void (*print)(void))
{
	struct capture capture;

	capture_begin(&capture);
	print();
	return capture_end(&capture);
}

static char *help_of(const struct command *command)
{
	struct capture capture;

	capture_begin(&capture);
	help_print(command);
	return capture_end(&capture);
}

static void assert_contains(const char *text, const char *wanted, const char *where)
{
	if (!strstr(text, wanted))
		fail_msg("%s does not contain '%s'", where, wanted);
}

/* A text as the man page writes it. */
static char *as_roff(const char *text)
{
	struct str roff = STR_INIT;

	for (; *text; text++)
		str_appendf(&roff, *text == '-' ? "\\%c" : "%c", *text);
	return str_take(&roff);
}

/* ---- what is made from the table ---- */

static void every_command_is_complete(void **state)
{
	for (size_t i = 0; i < command_count; i++) {
		const struct command *command = &commands[i];

		assert_non_null(command->summary);
		assert_non_null(command->description);
		assert_non_null(command->run);
		assert_contains(command->example, "phoenixctl ", command->name);
		assert_contains(command->example, command->name, command->name);
		assert_true(command->arguments_minimum <= command->arguments_maximum);
		assert_true(command->arguments_maximum == 0 || command->arguments != NULL);
		assert_null(command->options[OPTIONS_MAXIMUM - 1].name);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(command->name, commands[j].name);
	}
}

/* The parser reads options before it knows the command: each must mean the same everywhere. */
static void an_option_means_the_same_everywhere(void **state)
{
	for (size_t i = 0; i < command_count; i++) {
		for (size_t j = 0; commands[i].options[j].name; j++) {
			const struct command_option *option = &commands[i].options[j];
			const struct command_option *by_name =
				command_option_any(option->name, strlen(option->name));
			const struct command_option *by_letter = command_option_any(&option->letter,
										    1);

			assert_true(option->letter > ' ' && strlen(option->name) > 1);
			assert_string_equal(by_letter->name, option->name);
			assert_int_equal(by_name->letter, option->letter);
			assert_int_equal(by_name->value == NULL, option->value == NULL);
		}
	}
}

static void help_tells_everything(void **state)
{
	PH_AUTO_FREE char *overview = help_of(NULL);

	for (size_t i = 0; i < command_count; i++) {
		PH_AUTO_FREE char *text = help_of(&commands[i]);

		assert_contains(overview, commands[i].name, "the overview");
		assert_contains(overview, commands[i].summary, "the overview");
		assert_contains(text, commands[i].description, commands[i].name);
		assert_contains(text, commands[i].example, commands[i].name);
		for (size_t j = 0; commands[i].options[j].name; j++) {
			char option[64];

			snprintf(option, sizeof(option), "-%c, --%s", commands[i].options[j].letter,
				 commands[i].options[j].name);
			assert_contains(text, option, commands[i].name);
			assert_contains(text, commands[i].options[j].help, commands[i].name);
		}
		for (size_t j = 0; global_options[j].name; j++)
			assert_contains(text, global_options[j].help, commands[i].name);
		for (size_t j = 0; exit_codes[j][0]; j++)
			assert_contains(text, exit_codes[j][1], commands[i].name);
	}
}

static void man_page_tells_everything(void **state)
{
	PH_AUTO_FREE char *page = printed(man_print);

	for (size_t i = 0; i < command_count; i++) {
		PH_AUTO_FREE char *name = as_roff(commands[i].name);
		PH_AUTO_FREE char *head = ph_format(".SS %s", name);

		assert_contains(page, head, "the man page");
		for (size_t j = 0; commands[i].options[j].name; j++) {
			PH_AUTO_FREE char *option = as_roff(commands[i].options[j].name);

			assert_contains(page, option, "the man page");
		}
	}
	for (size_t i = 0; exit_codes[i][0]; i++)
		assert_contains(page, exit_codes[i][1], "the man page");
}

/* groff knows its own rules best. */
static void man_page_has_no_warnings(void **state)
{
	PH_AUTO_FREE char *page = printed(man_print);
	struct scratch scratch;
	char command[700];
	FILE *pipe;
	int first;

	if (access("/usr/bin/groff", X_OK) < 0)
		skip();
	scratch_init(&scratch);
	scratch_write(&scratch, "phoenixctl.1", page, strlen(page));
	snprintf(command, sizeof(command), "groff -man -ww -Tascii -z '%s' 2>&1", scratch.file);
	pipe = popen(command, "r");
	first = fgetc(pipe);
	assert_int_equal(pclose(pipe), 0);
	assert_int_equal(first, EOF);
	scratch_fini(&scratch);
}

static void completion_tells_everything(void **state)
{
	PH_AUTO_FREE char *script = printed(completion_print);

	for (size_t i = 0; i < command_count; i++) {
		PH_AUTO_FREE char *quoted = ph_format("\"%s\"", commands[i].name);

		assert_contains(script, quoted, "the completion");
		for (size_t j = 0; commands[i].options[j].name; j++) {
			PH_AUTO_FREE char *option = ph_format("--%s ", commands[i].options[j].name);

			assert_contains(script, option, "the completion");
		}
	}
}

/* ---- the parser ---- */

struct parsing {
	const char *name;
	const char *argv[8];
	int result;
	const char *command;   /* NULL: none */
	const char *arguments; /* joined by blanks */
	const char *option, *value;
	const char *why, *remedy; /* parts of the error */
};

static const struct parsing parsings[] = {
	{ "plain", { "list" }, 0, "list", "" },
	{ "argument", { "show", "web1" }, 0, "show", "web1" },
	{ "two words", { "image", "import", "a", "b" }, 0, "image import", "a b" },
	{ "option before", { "-f", "x", "apply" }, 0, "apply", "", "file", "x" },
	{ "option after", { "apply", "--file", "x" }, 0, "apply", "", "file", "x" },
	{ "option with =", { "apply", "--file=x=y" }, 0, "apply", "", "file", "x=y" },
	{ "empty value", { "apply", "--file=" }, 0, "apply", "", "file", "" },
	{ "attached value", { "apply", "-fx" }, 0, "apply", "", "file", "x" },
	{ "joined letters", { "events", "-jFt5" }, 0, "events", "", "tail", "5" },
	{ "a flag among them", { "events", "-jFt5" }, 0, "events", "", "follow", "" },
	{ "the last one counts", { "apply", "-f", "x", "-f", "y" }, 0, "apply", "", "file", "y" },
	{ "within the words",
	  { "image", "--spool", "d", "import", "a", "b" },
	  0,
	  "image import",
	  "a b",
	  "spool",
	  "d" },
	{ "flag within the words", { "image", "-j", "list" }, 0, "image list", "" },
	{ "a value like a command", { "-s", "list", "health" }, 0, "health", "" },
	{ "a value like an option", { "apply", "-f", "-j" }, 0, "apply", "", "file", "-j" },
	{ "standard input", { "apply", "-f", "-" }, 0, "apply", "", "file", "-" },
	{ "end of options", { "show", "--", "--json" }, 0, "show", "--json" },
	{ "many arguments", { "remove", "a", "b", "c", "d", "e" }, 0, "remove", "a b c d e" },
	{ "help", { "--help" }, OPTIONS_HELP, NULL, NULL },
	{ "help of a command", { "show", "--help" }, OPTIONS_HELP, "show", NULL },
	{ "help before it", { "-h", "image", "list" }, OPTIONS_HELP, "image list", NULL },
	{ "help of a group", { "image", "--help" }, OPTIONS_HELP, NULL, NULL },
	{ "version option", { "--version" }, 0, "version", "" },
	{ "version with a command", { "list", "-V" }, 0, "version", "" },
	{ "nothing", { NULL }, -EINVAL, .why = "no command" },
	{ "unknown command", { "aply" }, -EINVAL, .why = "'aply'", .remedy = "'apply'" },
	{ "unknown in a group",
	  { "image", "imprt" },
	  -EINVAL,
	  .why = "'image imprt'",
	  .remedy = "'image import'" },
	{ "far from anything", { "xyzzy" }, -EINVAL, .why = "'xyzzy'", .remedy = "--help" },
	{ "half a command", { "image" }, -EINVAL, .why = "only the beginning" },
	{ "unknown option",
	  { "apply", "--fil", "x" },
	  -EINVAL,
	  .why = "'--fil'",
	  .remedy = "'--file'" },
	{ "unknown option first",
	  { "--jsn", "list" },
	  -EINVAL,
	  .why = "'--jsn'",
	  .remedy = "'--json'" },
	{ "unknown option alone", { "--jsn" }, -EINVAL, .why = "'--jsn'", .remedy = "'--json'" },
	{ "another command's option",
	  { "list", "--tail", "3" },
	  -EINVAL,
	  .why = "'--tail'",
	  .remedy = "phoenixctl list --help" },
	{ "unknown letter", { "list", "-x" }, -EINVAL, .why = "'-x'" },
	{ "one letter with two dashes", { "list", "--j" }, -EINVAL, .why = "'--j'" },
	{ "no value", { "apply", "--file" }, -EINVAL, .why = "needs a value" },
	{ "no value for a letter", { "apply", "-f" }, -EINVAL, .why = "needs a value" },
	{ "value for a flag", { "list", "--json=yes" }, -EINVAL, .why = "takes no value" },
	{ "too many", { "show", "a", "b" }, -EINVAL, .why = "'b' is too much" },
	{ "too many of none", { "version", "x" }, -EINVAL, .why = "'x' is too much" },
	{ "too few", { "image", "import", "a" }, -EINVAL, .why = "NAME TAR|DIR" },
	{ "no time", { "-T", "soon", "list" }, -EINVAL, .why = "'soon'" },
	{ "too long a time", { "-T", "86401", "list" }, -EINVAL, .why = "'86401'" },
	{ "hostile word", { "\033[2J" }, -EINVAL, .why = "'?[2J'" },
};

static void check_invocation(const struct parsing *parsing, const struct invocation *invocation)
{
	PH_AUTO_STR struct str joined = STR_INIT;

	if (!text_equal(invocation->command ? invocation->command->name : NULL, parsing->command))
		fail_msg("%s: another command", parsing->name);
	for (size_t i = 0; i < invocation->argument_count; i++)
		str_appendf(&joined, "%s%s", i ? " " : "", invocation->arguments[i]);
	if (parsing->arguments && !text_equal(str_text(&joined), parsing->arguments))
		fail_msg("%s: arguments '%s'", parsing->name, str_text(&joined));
	if (parsing->option) {
		const char *value = invocation_value(invocation, parsing->option);

		if (!value || strcmp(value, parsing->value) != 0)
			fail_msg("%s: --%s is '%s'", parsing->name, parsing->option,
				 value ? value : "absent");
	}
}

static void command_lines_are_understood(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(parsings); i++) {
		const struct parsing *parsing = &parsings[i];
		struct invocation invocation = { 0 };
		struct ph_error error = { 0 };
		char *argv[10] = { (char *)"phoenixctl" };
		int argc = 1, result;

		for (; parsing->argv[argc - 1]; argc++)
			argv[argc] = (char *)parsing->argv[argc - 1];
		result = options_parse(argc, argv, &invocation, &error);
		if (result != parsing->result)
			fail_msg("%s: %d (%s)", parsing->name, result, error.why);
		if (result < 0 && parsing->why)
			assert_contains(error.why, parsing->why, parsing->name);
		if (result < 0 && parsing->remedy)
			assert_contains(error.remedy, parsing->remedy, parsing->name);
		if (result >= 0)
			check_invocation(parsing, &invocation);
		options_fini(&invocation);
	}
}

static void global_options_are_set(void **state)
{
	char *argv[] = { (char *)"phoenixctl", (char *)"-s", (char *)"unix:/x", (char *)"list",
			 (char *)"-jT7" };
	struct invocation invocation = { 0 };
	struct ph_error error;

	assert_int_equal(options_parse(ARRAY_LENGTH(argv), argv, &invocation, &error), 0);
	assert_string_equal(invocation.socket, "unix:/x");
	assert_true(invocation.json);
	assert_int_equal(invocation.timeout_ms, 7000);
	options_fini(&invocation);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_command_is_complete),
		cmocka_unit_test(an_option_means_the_same_everywhere),
		cmocka_unit_test(help_tells_everything),
		cmocka_unit_test(man_page_tells_everything),
		cmocka_unit_test(man_page_has_no_warnings),
		cmocka_unit_test(completion_tells_everything),
		cmocka_unit_test(command_lines_are_understood),
		cmocka_unit_test(global_options_are_set),
	};

	return cmocka_run_group_tests_name("cli_commands", tests, NULL, NULL);
}
