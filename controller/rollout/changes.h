/*
 * What a rollout would change: a fleet's wishes against what the containers are now, each difference
 * with its reason; what a container that exists cannot become is refused here, before anything is
 * touched. Pure.
 */
#pragma once

#include <stdbool.h>

#include "common/error.h"
#include "proto/host.pb-c.h"
#include "proto/rollout.pb-c.h"

struct changes_input {
	const Phoenix__Fleet *fleet;
	/* Whether the operator meant it; NULL: all. */
	bool (*selects)(void *user, const Phoenix__ContainerSpec *spec);
	/* What the container of a name is now; NULL: there is none. */
	const Phoenix__ContainerSpec *(*current)(void *user, const char *name);
	/* What phoenix-host told of it; NULL, or NULL given: not known. */
	const Phoenix__ContainerObservation *(*observed)(void *user, const char *name);
	void *user;
	bool push_agents; /* also where nothing else changes */
};

/* Named outcome: every selected container is as the fleet says. */
enum { CHANGES_EMPTY = 1 };

/*
 * Make the items of a rollout, each with old, new and its changes, and give the record the fleet's
 * strategy. 0; CHANGES_EMPTY; -ENOENT: a container does not exist, or nothing was selected; -EOPNOTSUPP: a
 * change that needs the container to be made anew.
 */
int changes_make(const struct changes_input *input, Phoenix__RolloutRecord *record,
	      struct ph_error *error);

/* Give a record a copy of a strategy; NULL: the default one. */
void changes_set_strategy(Phoenix__RolloutRecord *record, const Phoenix__RolloutStrategy *strategy);
