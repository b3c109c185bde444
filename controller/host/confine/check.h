/*
 * Whether all processes of a container are held by the profile they should be held by. The caller
 * brings the processes (the lxc room walks the container's cgroup); this looks at each from the
 * host and keeps count. A process that has gone meanwhile is no finding; one whose label cannot be
 * read is an offender, because nothing shows that it is confined.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "controller/host/confine/facts.h"
#include "controller/host/confine/label.h"

struct confine_check {
	const char *profile; /* borrowed: what every process has to carry, enforced */
	int proc;            /* owned: the host's /proc */
	char lax[CONFINE_LAX_SIZE]; /* the mode of AppArmor as a whole, when that does not enforce */
	uint32_t processes;  /* seen, without those that had gone */
	uint32_t offenders;
	pid_t first_offender;               /* 0: none */
	char first_text[CONFINE_LABEL_SIZE]; /* "pid 123 (dockerd): unconfined" */
};

#define CONFINE_CHECK_INIT ((struct confine_check){ .proc = -1 })
#define CONFINE_AUTO_CHECK __attribute__((cleanup(confine_check_fini)))

enum confine_check_outcome {
	CONFINE_CHECK_HELD = 0,
	CONFINE_CHECK_OFFENDED = 1,
	CONFINE_CHECK_EMPTY = 2, /* no process at all: nothing is shown */
};

/* Begin a check against a profile name that outlives it. */
int confine_check_begin(struct confine_check *check, const char *profile, struct ph_error *error);

/* Look at one process. Its type fits cgroups_visit(); user is the check. Always returns 0. */
int confine_check_visit(void *user, pid_t pid);

/* The verdict on all processes seen; with an error that names the first offender when offended. */
int confine_check_verdict(const struct confine_check *check, struct ph_error *error);

/* Close what the check holds. */
void confine_check_fini(struct confine_check *check);
