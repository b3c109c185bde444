/*
 * What of Docker is no longer as it was applied: packages, the hold on them, daemon.json, the storage
 * driver, the users of its group. Pure: judges the facts that agent/docker observes.
 */
#pragma once

#include "agent/docker/docker.h"
#include "agent/health/judgement.h"

/* Judge DockerInstalled. */
struct judgement docker_state_judge_packages(const struct docker_facts *facts);

/* Judge PackagesHeld. */
struct judgement docker_state_judge_hold(const struct docker_facts *facts);

/* Judge DockerUsers. */
struct judgement docker_state_judge_users(const struct docker_facts *facts);

/* Judge StorageDriverAsPlanned; wanted is the driver that was chosen, "" when it is not known. */
struct judgement docker_state_judge_driver(const struct docker_facts *facts, const char *wanted);
