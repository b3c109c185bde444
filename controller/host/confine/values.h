/*
 * What a rendering puts into the text: the facts that hold, the values of the variables, the profile's name.
 * Pure. Values are refused, never escaped: a blank or a comma in a path would be another rule.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "controller/host/confine/render.h"

/* "@{PHOENIX_...}" of the frame. */
enum confine_variable {
	CONFINE_VARIABLE_DATA_ROOT,
	CONFINE_VARIABLE_OUTSIDE_DATA_ROOT, /* every path that does not begin with it and a slash */
	CONFINE_VARIABLE_OTHER_FSTYPES,     /* every type but those that the text's rules name */
	CONFINE_VARIABLE_COUNT,
};

struct confine_values {
	uint32_t facts;                       /* bits of confine_fact_by_name() */
	char *variables[CONFINE_VARIABLE_COUNT]; /* owned */
	char name[CONFINE_NAME_SIZE];
};

#define CONFINE_VALUES_INIT ((struct confine_values){ 0 })
#define CONFINE_AUTO_VALUES __attribute__((cleanup(confine_values_fini)))

/* Compute all values: -EINVAL with "data-root" or "driver" as the place. */
int confine_values_compute(const struct confine_render *render, struct confine_values *ret_values,
			   struct ph_error *error);

/* Free what the values own. */
void confine_values_fini(struct confine_values *values);

/* The bit of a fact that "#?NAME" may ask for: features, kinds and drivers; 0 when there is none. */
uint32_t confine_fact_by_name(const char *name);

/* "DATA_ROOT", ...; constants. */
const char *confine_variable_name(enum confine_variable variable);
