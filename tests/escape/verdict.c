/*
 * What an attempt's child may say of it. The errno classes live here alone, so that no row can call
 * an absent object a refusal.
 */
#include "tests/escape/escape.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void set(struct verdict *verdict, enum outcome outcome, const char *step, int error)
{
	verdict->outcome = outcome;
	verdict->error = error;
	snprintf(verdict->step, sizeof(verdict->step), "%s", step);
}

void verdict_done(struct verdict *verdict, const char *detail)
{
	set(verdict, OUTCOME_DONE, "", 0);
	snprintf(verdict->detail, sizeof(verdict->detail), "%s", detail ? detail : "");
}

void verdict_refused(struct verdict *verdict, const char *step, int error)
{
	bool absent = error == ENOENT || error == ENXIO || error == ENODEV;

	set(verdict, absent ? OUTCOME_ABSENT : OUTCOME_REFUSED, step, error);
}

void verdict_broken(struct verdict *verdict, const char *step, int error)
{
	set(verdict, OUTCOME_BROKEN, step, error);
}

void verdict_of(struct verdict *verdict, const char *step, long result)
{
	if (result < 0)
		verdict_refused(verdict, step, errno);
	else
		verdict_done(verdict, NULL);
}

void verdict_passed(struct verdict *verdict, const char *step, long result, int error)
{
	if (result < 0 && (error == EPERM || error == EACCES || error == ENOSYS))
		verdict_refused(verdict, step, error);
	else
		verdict_done(verdict, result < 0 ? strerror(error) : NULL);
}
