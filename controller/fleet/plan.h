/*
 * What apply would do and why, without doing it. Pure: fleet, what there is, and the host's abilities
 * are arguments.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "proto/control.pb-c.h"

/* What changing a field of a container that exists means. */
struct plan_effect {
	const char *field;  /* as fleet_spec_diff() names it */
	const char *effect; /* what apply does about it, or why it cannot */
	bool is_fixed;      /* apply refuses */
};

/* The effect of a field; never NULL. */
const struct plan_effect *plan_effect_of(const char *field);

/* Everything is borrowed. */
struct plan_world {
	Phoenix__ContainerStatus *const *containers;
	size_t container_count;
	const Phoenix__ProbeReply *probe;
	const Phoenix__ImageListReply *images;
};

/* Check that this host can hold a container as wanted: 0, or the error of a refused apply. */
int plan_check_host(const Phoenix__ProbeReply *probe, const Phoenix__ContainerSpec *spec,
		    struct ph_error *error);

/* Check that there is the image of a container that has yet to be made: 0, or -ENOENT. */
int plan_check_image(const Phoenix__ImageListReply *images, const Phoenix__ContainerSpec *spec,
		     struct ph_error *error);

/*
 * Check that this host can clone as wanted for a container that has yet to be made: 0, or
 * -EOPNOTSUPP with the host's reason. What a host says nothing about is left to it.
 */
int plan_check_clone(const Phoenix__ProbeReply *probe, const Phoenix__ContainerSpec *spec,
		     struct ph_error *error);

/* Check that apply can make a container out of an old one: 0, or -EOPNOTSUPP with the field. */
int plan_check_changes(const Phoenix__ContainerSpec *old, const Phoenix__ContainerSpec *new,
		       struct ph_error *error);

/* Fill the error of a fleet that names an adopted container: -EEXIST. */
int plan_refuse_adopted(const char *name, struct ph_error *error);

/* Make the plan of a valid fleet; free it with message_free(). */
Phoenix__PlanReply *plan_make(const struct plan_world *world, const Phoenix__Fleet *fleet,
			      bool prune);
