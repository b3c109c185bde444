/* Drift as events: told when it begins, changes or ends, never at every poll. */
#pragma once

struct registry;

/* Compare every container with what was asked for and tell what is new since the last time. */
void drift_events_tell(struct registry *registry);
