/*
 * The steps of the install flow and the state that they share. Internal to the room: install.c tells
 * the story, steps_packages.c and steps_service.c are its chapters.
 */
#pragma once

#include "agent/docker/apt.h"
#include "agent/docker/docker.h"
#include "common/flow.h"

struct install {
	struct docker_wanted wanted; /* complete */
	docker_progress_fn progress; /* may be NULL */
	void *user;
	struct flow flow;
	struct docker_facts facts; /* newest */
	struct docker_plan first;  /* what was needed at the beginning */
	struct docker_plan plan;   /* what is needed as of facts */
	struct apt apt;
	int lock; /* owned: the install lock, -1 while nothing is needed */
};

/* Tell what is going on within the current step. */
void install_say(struct install *install, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Look again and plan again. */
int install_refresh(struct install *install, struct ph_error *error);

/* Whether the plan as of the newest facts holds an action of this kind. */
bool install_needs(const struct install *install, enum plan_kind kind);

/* The wanted packages that are not installed in the wanted version; list needs DOCKER_PACKAGES_MAXIMUM + 1. Returns how
 * many. */
size_t install_missing(const struct install *install, const char **list);

/* Take our guard away; the undo of every step that may have placed it. */
int install_unguard(void *subject, struct ph_error *error);

/* Flow steps, as flow_step_fn: see the table in install.c for what each is for. */
int step_preflight(void *subject, struct ph_error *error);
/* Make dpkg's database whole again. */
int step_heal(void *subject, struct ph_error *error);
/* Place apt's sources, keys and pins. */
int step_sources(void *subject, struct ph_error *error);
/* Download the archives. */
int step_fetch(void *subject, struct ph_error *error);
/* Write daemon.json before dockerd can be started. */
int step_configure(void *subject, struct ph_error *error);
/* Unpack and configure the packages. */
int step_install(void *subject, struct ph_error *error);
/* See that every package is whole. */
int step_check(void *subject, struct ph_error *error);
/* Hold the set together, or release it; add users to the group docker. */
int step_hold(void *subject, struct ph_error *error);
/* Start dockerd, or restart it when something that it reads has changed. */
int step_activate(void *subject, struct ph_error *error);
/* Have dockerd say itself that it is as planned. */
int step_confirm(void *subject, struct ph_error *error);
