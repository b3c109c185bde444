/*
 * Labels of processes as the host's kernel gives them: text to value, and reading one from a
 * process. Only the host's own procfs is asked, through a descriptor checked to be procfs: a
 * container can mount anything over its own /proc, never over ours. Knows nothing of containers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/error.h"

#define CONFINE_LABEL_SIZE 512

enum confine_mode {
	CONFINE_MODE_UNCONFINED,
	CONFINE_MODE_ENFORCE,
	CONFINE_MODE_COMPLAIN,
	CONFINE_MODE_KILL,
	CONFINE_MODE_MIXED, /* a stack whose profiles differ */
	CONFINE_MODE_OTHER, /* one that this version does not know */
};

struct confine_label {
	char name[CONFINE_LABEL_SIZE]; /* "lxc-phoenix-v2", "a//&:ns:b", "unconfined" */
	enum confine_mode mode;
};

/*
 * Take a label's text apart: "NAME (MODE)" or "unconfined", with or without a newline and a zero
 * byte behind it. -EINVAL for anything else, -ENAMETOOLONG for a name that does not fit.
 */
int confine_label_parse(const char *text, size_t length, struct confine_label *ret_label);

/*
 * Whether the label holds its process under the profile: the profile is the label or one of its
 * stack, and the mode is enforce (or kill, which is enforce with a signal).
 */
bool confine_label_enforces(const struct confine_label *label, const char *profile);

/* Write the label as the kernel does; never more than size bytes. Returns text. */
char *confine_label_format(const struct confine_label *label, char *text, size_t size);

/* "enforce", "complain", ...; a constant. */
const char *confine_mode_name(enum confine_mode mode);

/* Open the host's /proc; a descriptor that the caller closes. -ENOTSUP when it is not procfs. */
int confine_proc_open(struct ph_error *error);

/*
 * Read the label of a process through a descriptor of its /proc/PID directory, so that a reused
 * number cannot answer for another process. -ESRCH when it has gone, -ENOTSUP when the kernel keeps
 * no AppArmor labels.
 */
int confine_label_read(int process, struct confine_label *ret_label);

/* The same by number, below a descriptor from confine_proc_open(). */
int confine_label_read_pid(int proc, pid_t pid, struct confine_label *ret_label);
