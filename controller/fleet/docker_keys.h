/*
 * The keys below "docker" of a fleet file, and the rules that a Phoenix__DockerSpec keeps. Knows the
 * file format and nothing of how Docker is installed.
 */
#pragma once

#include "common/error.h"
#include "common/yaml.h"
#include "controller/fleet/check.h"
#include "proto/model.pb-c.h"

#define DOCKER_USERS_MAXIMUM 32
#define DOCKER_DAEMON_MAXIMUM (16 * 1024) /* bytes of the fragment as JSON */
#define DOCKER_KEY_MAXIMUM (32 * 1024)    /* bytes of a repository's key */

/*
 * Read the section "docker" of a map over what the spec has already. The key file that it may name is
 * read too. -EINVAL with FILE:LINE:COLUMN.
 */
int docker_keys_read(const struct yaml_node *map, Phoenix__ContainerSpec *spec,
		     struct ph_error *error);

/* Check docker_source and the DockerSpec of a spec: 0, or -EINVAL and the problem. */
int docker_keys_check(const Phoenix__ContainerSpec *spec, struct check_problem *ret_problem);

/*
 * Write a map of YAML as one line of JSON, for the caller to free: true, false, null and numbers that
 * are not quoted keep their type, all else is text. -EINVAL with the place of what JSON cannot say.
 */
int docker_keys_to_json(const struct yaml_node *map, char **ret_json, struct ph_error *error);
