/* The man page, from the table: man(7) macros only. */
#include <stdbool.h>
#include <stdio.h>

#include "controller/cli/commands.h"

/* Characters that roff would take for its own, or make prettier than they are. */
static const char *escape(char character)
{
	switch (character) {
	case '-':
		return "\\-";
	case '\\':
		return "\\e";
	case '\'':
		return "\\(aq";
	case '`':
		return "\\(ga";
	case '^':
		return "\\(ha";
	case '~':
		return "\\(ti";
	default:
		return NULL;
	}
}

static void print_roff(const char *text)
{
	for (bool at_start = true; *text; text++) {
		const char *escaped = escape(*text);

		if (at_start && *text == '.')
			fputs("\\&", stdout);
		if (escaped)
			fputs(escaped, stdout);
		else
			putchar(*text);
		at_start = *text == '\n';
	}
}

static void print_options(const struct command_option *options)
{
	for (size_t i = 0; i < OPTIONS_MAXIMUM && options[i].name; i++) {
		printf(".TP\n.BR \\-%c \", \" \\-\\-", options[i].letter);
		print_roff(options[i].name);
		if (options[i].value)
			printf(" \" %s\"", options[i].value);
		putchar('\n');
		print_roff(options[i].help);
		puts(".");
	}
}

static void print_command(const struct command *command)
{
	printf(".SS ");
	print_roff(command->name);
	if (command->arguments) {
		putchar(' ');
		print_roff(command->arguments);
	}
	putchar('\n');
	print_roff(command->summary);
	puts(".\n.PP");
	print_roff(command->description);
	putchar('\n');
	print_options(command->options);
	puts(".PP\nExample:\n.PP\n.RS 4\n.nf");
	print_roff(command->example);
	puts("\n.fi\n.RE");
}

void man_print(void)
{
	puts(".TH PHOENIXCTL 1 \"\" \"Phoenix " PH_VERSION "\" \"Phoenix\"\n"
	     ".SH NAME\nphoenixctl \\- run Docker in AppArmor\\-confined LXC containers\n"
	     ".SH SYNOPSIS\n.B phoenixctl\n[OPTIONS] COMMAND [ARGUMENTS]\n"
	     ".SH DESCRIPTION\nThe command line of the controller,\n.BR phoenixd ,\n"
	     "over its control socket. Options may stand before and after the command.\n"
	     ".SH OPTIONS");
	print_options(global_options);
	puts(".SH COMMANDS");
	for (size_t i = 0; i < command_count; i++)
		print_command(&commands[i]);
	puts(".SH EXIT STATUS");
	for (size_t i = 0; exit_codes[i][0]; i++) {
		printf(".TP\n.B %s\n", exit_codes[i][0]);
		print_roff(exit_codes[i][1]);
		puts(".");
	}
	puts(".SH ENVIRONMENT\n.TP\n.B PHOENIX_SOCKET\nAddress of the controller.\n"
	     ".TP\n.B PHOENIX_SPOOL\nThe controller\\(aqs spool directory.\n"
	     ".TP\n.B NO_COLOR\nNo colours, whatever the terminal.\n"
	     ".SH FILES\n.TP\n.I /run/phoenix/control.sock\nThe control socket.\n"
	     ".TP\n.I /etc/phoenix/phoenix.yaml\nThe configuration of the controller.\n"
	     ".SH SEE ALSO\n.BR lxc (7),\n.BR apparmor (7)");
}

int command_man(struct invocation *invocation, struct ph_error *error)
{
	man_print();
	return EXIT_OK;
}
