/*
 * The AppArmor policy namespace of a stacked container: made before it starts, removed with all
 * policy that was loaded into it. Its name is ours and the container's, so that what a crash has left
 * has an owner.
 */
#pragma once

#include <stdbool.h>

#include "common/error.h"

#define NAMESPACE_NAME_SIZE 80 /* "phoenix-" and a container's name */
#define NAMESPACE_LABEL_SIZE 192

enum namespace_outcome {
	NAMESPACE_CHANGED = 0,
	NAMESPACE_UNCHANGED = 1,
};

/* Write the namespace's name for a container whose name has been validated. Returns name. */
char *namespace_name(const char *container, char name[NAMESPACE_NAME_SIZE]);

/*
 * Write the label to start a stacked container with: our profile outside, the namespace's unconfined
 * inside. Returns label.
 */
char *namespace_label(const char *profile, const char *container, char label[NAMESPACE_LABEL_SIZE]);

/* Make the container's namespace, empty: what an earlier start left in it is removed before. */
int namespace_make(const char *container, struct ph_error *error);

/* Remove every namespace of ours whose container does not run, by the caller's word. */
void namespace_sweep(bool (*runs)(void *user, const char *container), void *user);

/*
 * Remove the container's namespace with its policy. NAMESPACE_UNCHANGED when there is none, or no
 * AppArmor. The container must not run: its processes would be left under the outer profile alone.
 */
int namespace_remove(const char *container, struct ph_error *error);
