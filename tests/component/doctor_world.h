/*
 * What the doctor is tried on: a copy of this machine's own policy, with room for backups beside it.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "controller/doctor/repair.h"
#include "controller/host/exec/exec.h"
#include "tests/support/cmocka.h"
#include "tests/support/scratch.h"

#define POLICY "/etc/apparmor.d"

struct world {
	struct scratch scratch;
	char tree[300], kept[300], backups[300];
};

static inline void run(const char *const *argv)
{
	assert_int_equal(exec_check(argv, NULL, NULL, NULL), 0);
}

static inline void world_init(struct world *world)
{
	scratch_init(&world->scratch);
	snprintf(world->tree, sizeof(world->tree), "%s/tree", world->scratch.path);
	snprintf(world->kept, sizeof(world->kept), "%s/kept", world->scratch.path);
	snprintf(world->backups, sizeof(world->backups), "%s/backups", world->scratch.path);
	run((const char *const[]){ "cp", "-a", POLICY, world->tree, NULL });
}

static inline void world_fini(struct world *world)
{
	scratch_fini(&world->scratch);
}

/* Write the path of a file of the tree; returns it. */
static inline char *path_of(struct world *world, const char *file, char path[600])
{
	assert_true(snprintf(path, 600, "%s/%s", world->tree, file) < 600);
	return path;
}

/* The text of a file of the tree, below 1 MiB; owned by the caller. */
static inline char *read_file(struct world *world, const char *file)
{
	char path[600];
	FILE *stream = fopen(path_of(world, file, path), "r");
	char *text = calloc(1, 1 << 20);

	assert_non_null(stream);
	assert_non_null(text);
	assert_true(fread(text, 1, (1 << 20) - 1, stream) < (1 << 20) - 1);
	fclose(stream);
	return text;
}

static inline void write_file(struct world *world, const char *file, const char *text)
{
	char path[600];
	FILE *stream = fopen(path_of(world, file, path), "w");

	assert_non_null(stream);
	assert_int_equal(fwrite(text, 1, strlen(text), stream), strlen(text));
	assert_int_equal(fclose(stream), 0);
}

static inline void diagnose_damaged(struct world *world, struct doctor_diagnosis *diagnosis)
{
	world_init(world);
	write_file(world, "tunables/run", "{run}=/run/ /var/run/\n");
	assert_int_equal(doctor_diagnose(world->tree, diagnosis, NULL), 0);
	assert_int_equal(diagnosis->verdict, DOCTOR_REPAIRABLE);
}
