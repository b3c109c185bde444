#include "controller/cli/consent.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

int consent_ask(const struct invocation *invocation, const char *question, struct ph_error *error)
{
	char answer[16] = "";

	if (invocation_value(invocation, "yes"))
		return 0;
	if (!isatty(STDIN_FILENO))
		return error_set(error, -ECANCELED, NULL, "look at what would be done and give --yes",
				 "there is no terminal to ask on, so nothing was changed");
	fflush(stdout);
	fprintf(stderr, "%s [y/N] ", question);
	if (!fgets(answer, sizeof(answer), stdin) || (answer[0] != 'y' && answer[0] != 'Y'))
		return error_set(error, -ECANCELED, NULL, NULL, "nothing was changed");
	return 0;
}
