/* The one list of all themes, and the walk over it. */
#include "tests/escape/select.h"

#include <stdio.h>
#include <string.h>

static const struct theme *const THEMES[] = {
	&MOUNTS,    &MOUNT_API, &FILES,		&DEVICES,	&CALLS,
	&SOCKETS,   &LABELS,	&PROCESSES,	&CGROUPS,	&NEEDED_MOUNTS,
	&NEEDED_SYSTEM,		&NEEDED_CAPABILITIES,		&CHOICES,
};

static const char *const GROUPS[] = { "denied", "allowed", "policy" };
static const char *const WALLS[] = { "userns", "apparmor", "seccomp", "devices", "namespace" };

int select_group(const char *name)
{
	for (int i = 0; i < 3; i++)
		if (!strcmp(GROUPS[i], name))
			return i;
	return -1;
}

const char *select_group_name(enum row_group group)
{
	return GROUPS[group];
}

const char *select_wall_name(unsigned number)
{
	return number < sizeof(WALLS) / sizeof(WALLS[0]) ? WALLS[number] : NULL;
}

int select_wall(const char *name)
{
	for (unsigned i = 0; select_wall_name(i); i++)
		if (!strcmp(WALLS[i], name))
			return 1 << i;
	return -1;
}

unsigned select_walls(const struct attempt *attempt, enum access access)
{
	unsigned walls = attempt->walls;

	if (access == ACCESS_DETACHED && (attempt->traits & TRAIT_UNSEEN))
		walls &= ~(unsigned)WALL_APPARMOR;
	return access == ACCESS_DETACHED ? walls | WALL_SECCOMP : walls;
}

static bool is_selected(const struct selection *selection, const struct theme *theme,
			const struct attempt *attempt, enum access access)
{
	char name[256];

	if (selection->groups && !(selection->groups & (1U << attempt->group)))
		return false;
	if (selection->walls && !(selection->walls & select_walls(attempt, access)))
		return false;
	if (selection->theme && strcmp(selection->theme, theme->name))
		return false;
	snprintf(name, sizeof(name), "%s/%s %s", theme->name, attempt->name, access_name(access));
	return !selection->name || strstr(name, selection->name);
}

static void each_access(const struct selection *selection, const struct theme *theme,
			const struct attempt *attempt, selected_fn selected, void *user)
{
	if (!attempt->accesses && is_selected(selection, theme, attempt, 0))
		selected(user, theme, attempt, 0);
	for (unsigned bit = 1; bit < ACCESS_ALL; bit <<= 1)
		if ((attempt->accesses & bit) && is_selected(selection, theme, attempt, bit))
			selected(user, theme, attempt, bit);
}

void select_each(const struct selection *selection, selected_fn selected, void *user)
{
	for (size_t i = 0; i < sizeof(THEMES) / sizeof(THEMES[0]); i++)
		for (size_t row = 0; row < THEMES[i]->count; row++)
			each_access(selection, THEMES[i], &THEMES[i]->attempts[row], selected,
				    user);
}
