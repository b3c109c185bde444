/*
 * Which rows of which themes a run is about. Knows names and groups, nothing of running them.
 */
#ifndef ESCAPE_SELECT_H
#define ESCAPE_SELECT_H

#include "tests/escape/escape.h"

/* What the command line chose; zero and NULL choose everything. */
struct selection {
	unsigned groups;   /* a bit 1 << enum row_group per group; 0: all */
	unsigned walls;	   /* any of these is claimed to stop it; 0: whatever is */
	const char *theme; /* borrowed */
	const char *name;  /* borrowed: part of "theme/name access" */
};

/* Called for every selected attempt, once per way of access. */
typedef void (*selected_fn)(void *user, const struct theme *theme, const struct attempt *attempt,
			    enum access access);

/* Call `selected` for every attempt of the selection, in the order of the tables. */
void select_each(const struct selection *selection, selected_fn selected, void *user);

/* The group of this name ("denied", "allowed", "policy"), or -1. */
int select_group(const char *name);

/* The name of a group. */
const char *select_group_name(enum row_group group);

/* The wall of this name ("userns", "apparmor", ...) as a bit, or -1. */
int select_wall(const char *name);

/* The name of the wall 1 << `number`; NULL behind the last one. */
const char *select_wall_name(unsigned number);

/* The layers that must stop an attempt by this access; a detached mount needs the new mount API. */
unsigned select_walls(const struct attempt *attempt, enum access access);

#endif
