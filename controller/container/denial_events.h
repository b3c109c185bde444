/*
 * AppArmor denials as events of the containers that the registry knows.
 */
#pragma once

#include "controller/container/registry.h"
#include "controller/denials/denials.h"

/* Begin to take denials from phoenix-host; registry->host is open already. */
struct denials *denial_events_open(struct registry *registry);
