/* phoenixctl: reads the command line, runs the command, turns errors into words and exit codes. */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/str.h"
#include "controller/cli/options.h"
#include "controller/cli/output.h"

#define DEFAULT_SOCKET "unix:/run/phoenix/control.sock"
#define TIMEOUT_MS 60000

/*
 * A step's failure carries whatever errno the step met: only what comes from outside of steps says
 * something about names, input and contact.
 */
static int exit_code_of(const struct ph_error *error)
{
	if (error->code == -EBADE)
		return EXIT_UNHEALTHY;
	if (error->step[0])
		return EXIT_OPERATION;
	switch (error->code) {
	case CLIENT_UNREACHABLE:
		return EXIT_UNREACHABLE;
	case -ENOENT:
		return EXIT_NOT_FOUND;
	case -EINVAL:
		return EXIT_USAGE;
	default:
		return EXIT_OPERATION;
	}
}

/* Tell about a failure; a reader of our output who has left needs no telling. */
static int fail(const struct ph_error *error)
{
	if (error->code != -EPIPE || !text_equal(error->where, OUTPUT_NAME))
		output_error(error);
	return exit_code_of(error);
}

static int run(struct invocation *invocation)
{
	struct ph_error error = { 0 };
	int r = invocation->command->run(invocation, &error);
	int code = r;

	client_close(invocation->client);
	if (r < 0) {
		fflush(stdout);
		error.code = r;
		code = fail(&error);
	} else if (output_check(&error) < 0) {
		code = fail(&error);
	}
	return code;
}

static int print_help(const struct invocation *invocation)
{
	struct ph_error error;

	if (invocation->group)
		help_print_group(invocation->group);
	else
		help_print(invocation->command);
	return output_check(&error) < 0 ? fail(&error) : EXIT_OK;
}

int main(int argc, char **argv)
{
	const char *socket = getenv("PHOENIX_SOCKET");
	struct invocation invocation = { .socket = text_empty(socket) ? DEFAULT_SOCKET : socket,
					 .timeout_ms = TIMEOUT_MS };
	struct ph_error error = { 0 };
	int code, r;

	setlocale(LC_CTYPE, "C.UTF-8");
	signal(SIGPIPE, SIG_IGN); /* a write that fails says so, and cleaning up goes on */
	r = options_parse(argc, argv, &invocation, &error);
	if (r < 0)
		code = fail(&error);
	else if (r == OPTIONS_HELP)
		code = print_help(&invocation);
	else
		code = run(&invocation);
	options_fini(&invocation);
	return code;
}
