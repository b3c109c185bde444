/* phoenixctl schema: for editors and other programs; what phoenixctl itself goes by is in fleet/. */
#include "controller/cli/schema.h"

#include <stdio.h>

#include "controller/cli/commands.h"
#include "controller/cli/output.h"

static const char text[] = {
#include "controller/cli/fleet.schema.inc"
	'\0',
};

const char *schema_text(void)
{
	return text;
}

int command_schema(struct invocation *invocation, struct ph_error *error)
{
	fputs(schema_text(), stdout);
	return output_check(error);
}
