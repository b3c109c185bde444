/*
 * The fleet file: what the operator wants, read from YAML into Phoenix__Fleet with errors that name
 * file, line and column, and the same rules for a Phoenix__Fleet that came over a socket. Pure but
 * for fleet_load(). Knows neither which containers exist nor what this host can do.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "proto/model.pb-c.h"

#define FLEET_VERSION 1
#define FLEET_TEXT_MAXIMUM (1024 * 1024)
#define FLEET_CONTAINERS_MAXIMUM 1000
#define FLEET_LABELS_MAXIMUM 32
#define FLEET_GROUPS_MAXIMUM 64
#define FLEET_PIDS_DEFAULT 4096 /* memory and processors have no limit by default */

/* One field in which two specs differ; texts as in the fleet file, "unlimited" for a limit of 0. */
struct fleet_difference {
	const char *field; /* "resources.memory"; static */
	char *old;         /* owned; "" where there was none */
	char *new;         /* owned */
};

struct fleet_differences {
	struct fleet_difference *items; /* owned; in the order of the file format */
	size_t count;
};

/*
 * Parse a fleet file's text: defaults and the groups that match merged into each container, all validated. file names
 * it in errors only. -EINVAL with FILE:LINE:COLUMN and what to write instead. End with
 * fleet_free().
 */
int fleet_parse(const char *file, const char *text, size_t length, Phoenix__Fleet **ret_fleet,
		struct ph_error *error);

/* Read and parse a fleet file; "-" is standard input. */
int fleet_load(const char *path, Phoenix__Fleet **ret_fleet, struct ph_error *error);

/* Check a decoded fleet as if its sender were hostile. -EINVAL names the container and field. */
int fleet_validate(const Phoenix__Fleet *fleet, struct ph_error *error);

/* Check one spec, as fleet_validate() does. */
int fleet_spec_validate(const Phoenix__ContainerSpec *spec, struct ph_error *error);

/*
 * Check that the addresses which the fleet asks for lie within the pool and are neither its
 * network, its gateway (the first) nor its broadcast address. subnet is in host byte order.
 */
int fleet_validate_addresses(const Phoenix__Fleet *fleet, uint32_t subnet, uint32_t prefix_length,
			     struct ph_error *error);

/* List where new differs from old; old NULL: everything that new sets. End with the fini below. */
void fleet_spec_diff(const Phoenix__ContainerSpec *old, const Phoenix__ContainerSpec *new,
		     struct fleet_differences *ret_differences);

/* Whether both ask for the same. Labels are compared as a set. */
bool fleet_spec_equal(const Phoenix__ContainerSpec *left, const Phoenix__ContainerSpec *right);

/* The word for a clone method; NULL when there is no such method. A constant. */
const char *fleet_clone_name(Phoenix__CloneMethod method);

/* The clone method of a name; CLONE_AUTO when it is none's. */
Phoenix__CloneMethod fleet_clone_method(const char *name);

/* Copy a spec deeply; free it with phoenix__container_spec__free_unpacked(copy, NULL). */
Phoenix__ContainerSpec *fleet_spec_copy(const Phoenix__ContainerSpec *spec);

/* Free the differences. */
void fleet_differences_fini(struct fleet_differences *differences);

/* Free a parsed fleet. NULL is allowed. */
void fleet_free(Phoenix__Fleet *fleet);
