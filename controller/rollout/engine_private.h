/* What the files of the engine share: moving a record and its items from state to state. */
#pragma once

#include "controller/rollout/engine.h"
#include "controller/rollout/mutants.h"

#define ITEM(name) PHOENIX__ROLLOUT_ITEM__STATE__##name
#define ROLLOUT(name) PHOENIX__ROLLOUT_RECORD__STATE__##name
#define CAUSE(name) PHOENIX__ROLLOUT_RECORD__CAUSE__##name

/* Move the rollout; a move that the table does not hold aborts. */
void rollout_move(Phoenix__RolloutRecord *record, unsigned int to, uint64_t now_ms);

/* Move a container. deadline_ms: how long the new state may last; 0: as long as it takes. */
void rollout_move_item(Phoenix__RolloutRecord *record, Phoenix__RolloutItem *item, unsigned int to,
		       uint64_t deadline_ms, uint64_t now_ms);

/* An action on a container has failed: it counts once, and goes back. */
void rollout_fail_item(Phoenix__RolloutRecord *record, Phoenix__RolloutItem *item, uint64_t now_ms);

/* Whether nothing further happens to a container by itself. */
bool rollout_is_settled(const Phoenix__RolloutItem *item);
