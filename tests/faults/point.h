/*
 * One point of the sweep: one scene with one call that fails, told, judged and checked.
 */
#pragma once

#include "tests/faults/scene.h"

struct point {
	const struct scene_type *scene;
	enum faults_kind kind;
	unsigned long at, every; /* as faults_arm() takes them */
};

/* Run it in the calling process's children. 0: as promised; 1: not, and what is wrong is on standard error. counts
 * (may be NULL) gets how many calls of each kind there were. */
int point_run(const struct point *point, unsigned long counts[FAULTS_KINDS]);
