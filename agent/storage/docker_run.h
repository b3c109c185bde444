/*
 * One run of the Docker checks: what its steps share. Internal to the room.
 */
#pragma once

#include "agent/storage/docker_checks.h"
#include "agent/storage/nested.h"
#include "agent/storage/report.h"
#include "agent/system/command.h"
#include "common/error.h"

#define DOCKER_INFO_MS 15000
#define DOCKER_IMPORT_MS 60000
#define DOCKER_RUN_MS 120000
#define DOCKER_LABEL "phoenix-verify" /* of containers and images of ours */

struct docker_run {
	const struct verify_wanted *wanted; /* borrowed */
	struct report *report;              /* borrowed */
	char nonce[33];
	char directory[256];  /* owned on disk: the image's content; "" once removed */
	char image[80];       /* "phoenix-verify:NONCE" */
	char built[80];       /* the image built upon it; "" when there is none */
	char name[64];        /* of the first nested container */
	char second[64];      /* of the one that is started again */
	char layer[512];      /* directory of the first one's layer, "" when the driver tells none */
	struct nested_words words;
	int input;            /* write end of the nested program's stdin; -1 once closed */
};

/* Run `docker ARGUMENTS...` on the local socket; the list ends with NULL. As command_succeed(). */
int docker_run_command(const char *const *arguments, uint32_t deadline_ms,
		       struct command_result *ret_result, struct ph_error *error);

/* End the current check. */
void docker_run_add(struct docker_run *run, const char *id, const char *expected,
		    const char *remedy, const struct outcome *outcome);

/* End the current check with what an attempt gave: its error, or a pass with these words. */
void docker_run_judge(struct docker_run *run, const char *id, const char *expected,
		      const char *remedy, int result, const struct ph_error *error,
		      const char *got);

/* ---- docker_image.c ---- */

/* Make an image of this binary and two files; returns whether Docker took it. */
bool docker_check_import(struct docker_run *run);

/* Build a second layer upon it; run->built stays "" without one, and outcome says why. */
void docker_build_layer(struct docker_run *run, struct outcome *outcome);

/* Remove the images and their content on disk. */
void docker_remove_images(struct docker_run *run, struct ph_error *error);

/* ---- docker_nested.c ---- */

/* Run the first container without a network, look at it, exec in it; returns whether it ran. */
bool docker_check_run(struct docker_run *run);

/* Run a second one from the built layers on the bridge, and start it again. */
void docker_check_second(struct docker_run *run);

/* Remove our containers. */
void docker_remove_containers(struct docker_run *run, struct ph_error *error);
