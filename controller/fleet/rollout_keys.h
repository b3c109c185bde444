/* The key "rollout" of the fleet file: how changes are carried to containers that exist. */
#pragma once

#include "common/error.h"
#include "common/yaml.h"
#include "proto/model.pb-c.h"

/* Fill a strategy as it is without any key (docs/rollouts.md). Holds nothing that is to be freed. */
void rollout_keys_defaults(Phoenix__RolloutStrategy *ret_strategy);

/*
 * Read the key "rollout" below the root of the file, if it is there, into fleet->rollout. -EINVAL with
 * FILE:LINE:COLUMN, also for a strategy that cannot finish.
 */
int rollout_keys_read(const struct yaml_node *root, Phoenix__Fleet *fleet, struct ph_error *error);

/*
 * Read a strategy alone: "canary: 2, soak: 1m", as what stands under the key. The caller frees it. name
 * stands for the file in errors, which are as above.
 */
int rollout_keys_parse(const char *name, const char *text, Phoenix__RolloutStrategy **ret_strategy,
		       struct ph_error *error);

/* Check a strategy that came over a socket: as rollout_check_strategy(), and its texts. */
int rollout_keys_check(const Phoenix__RolloutStrategy *strategy, const char **ret_field,
		       struct ph_error *error);
