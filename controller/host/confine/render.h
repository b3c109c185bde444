/*
 * The profile's text for this host: the file from profiles_dir with its variables set and the lines
 * for features that this host has. Text in, text out; loads nothing. The file explains its own two
 * kinds of marks: "@{PHOENIX_NAME}=..." and "#?feature rule".
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define CONFINE_PROFILE "lxc-phoenix-v2"
#define CONFINE_PROFILE_STACKED "lxc-phoenix-v2-stacked"
#define CONFINE_DATA_ROOT "/var/lib/docker"
#define CONFINE_TEMPLATE_MAXIMUM (256 * 1024)

/* What "#?NAME" may say. */
enum confine_feature {
	CONFINE_FEATURE_ABI = 1 << 0,         /* abi: the parser's 3.0 feature set is installed */
	CONFINE_FEATURE_CGROUP1 = 1 << 1,     /* cgroup1: the host has v1 hierarchies */
	CONFINE_FEATURE_MQUEUE = 1 << 2,      /* mqueue */
	CONFINE_FEATURE_NOSYMFOLLOW = 1 << 3, /* nosymfollow */
	CONFINE_FEATURE_USERNS = 1 << 4,      /* userns */
	CONFINE_FEATURE_IO_URING = 1 << 5,    /* io_uring */
};

struct confine_render {
	const char *data_root; /* borrowed; Docker's, as the container sees it; NULL: the default */
	uint32_t features;     /* enum confine_feature */
};

/* The feature of that name, 0 when there is none. */
uint32_t confine_feature_by_name(const char *name);

#define CONFINE_FEATURES_MAXIMUM 8

/* The names of a set of features, constants in the order of the alphabet; returns how many. */
size_t confine_feature_names(uint32_t features, const char *names[CONFINE_FEATURES_MAXIMUM]);

/*
 * Render a template. -EINVAL with the field or the line named when the data-root has bytes outside
 * [A-Za-z0-9._/-] or is no plain absolute path, when the template has an unknown mark or lacks a
 * variable, and when a rule would break runc's sysctl reopen (clash.h). The caller frees the text.
 */
int confine_render_text(const char *source, const struct confine_render *render, char **ret_text,
			struct ph_error *error);

/* Read the template from profiles_dir and render it. */
int confine_render(const char *profiles_dir, const struct confine_render *render, char **ret_text,
		   struct ph_error *error);

/* SHA-256 of a profile's text in hex. */
void confine_text_hash(const char *text, char ret_hash[65]);
