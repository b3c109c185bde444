/*
 * Fleets and specs as messages: the rules of check.h with errors for a person, and copies. The file
 * format is in parse.c, differences are in diff.c.
 */
#include "controller/fleet/fleet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/message.h"
#include "controller/fleet/check.h"

/* Name the place in a message: "container 'web1', resources.memory". */
static int fail(const Phoenix__Fleet *fleet, const struct check_problem *problem,
		struct ph_error *error)
{
	char where[200];

	if (problem->container == CHECK_NONE)
		snprintf(where, sizeof(where), "fleet, %s", problem->field);
	else
		snprintf(where, sizeof(where), "container %zu '%.64s', %s", problem->container + 1,
			 fleet->containers[problem->container]->name, problem->field);
	return error_set(error, -EINVAL, where, problem->remedy, "%s", problem->why);
}

int fleet_validate(const Phoenix__Fleet *fleet, struct ph_error *error)
{
	struct check_problem problem;

	return check_fleet(fleet, &problem) < 0 ? fail(fleet, &problem, error) : 0;
}

int fleet_spec_validate(const Phoenix__ContainerSpec *spec, struct ph_error *error)
{
	struct check_problem problem;
	char where[200];

	if (check_spec(spec, &problem) == 0)
		return 0;
	snprintf(where, sizeof(where), "container '%.64s', %s", spec->name, problem.field);
	return error_set(error, -EINVAL, where, problem.remedy, "%s", problem.why);
}

int fleet_validate_addresses(const Phoenix__Fleet *fleet, uint32_t subnet, uint32_t prefix_length,
			     struct ph_error *error)
{
	struct check_problem problem;

	if (check_addresses(fleet, subnet, prefix_length, &problem) == 0)
		return 0;
	return fail(fleet, &problem, error);
}

Phoenix__ContainerSpec *fleet_spec_copy(const Phoenix__ContainerSpec *spec)
{
	return MESSAGE_COPY(spec);
}

void fleet_free(Phoenix__Fleet *fleet)
{
	if (fleet)
		phoenix__fleet__free_unpacked(fleet, NULL);
}
