/*
 * The profile's text for a container on this host: the frame and the fragments from profiles_dir put together,
 * with the lines whose facts hold and the values of variables. Text in, text out; loads nothing. The frame
 * explains the marks: "#+ fragment", "#?fact text", "@{PHOENIX_NAME}=", "@PROFILE@".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define CONFINE_PROFILE "lxc-phoenix-v2"
#define CONFINE_PROFILE_STACKED "lxc-phoenix-v2-stacked"
#define CONFINE_PROFILE_VSOCK "lxc-phoenix-v2-vsock"
#define CONFINE_PROFILE_STACKED_VSOCK "lxc-phoenix-v2-stacked-vsock"
#define CONFINE_NAME_SIZE 64
#define CONFINE_DATA_ROOT "/var/lib/docker"
/* Of the frame, and of each fragment. */
#define CONFINE_FRAGMENT_MAXIMUM (64 * 1024)

/* What the parser, the kernel and the host allow a text to say: "#?abi", "#?cgroup1", ... */
enum confine_feature {
	CONFINE_FEATURE_ABI = 1 << 0,         /* abi: the parser's 3.0 feature set is installed */
	CONFINE_FEATURE_CGROUP1 = 1 << 1,     /* cgroup1: the host has v1 hierarchies */
	CONFINE_FEATURE_MQUEUE = 1 << 2,      /* mqueue */
	CONFINE_FEATURE_NOSYMFOLLOW = 1 << 3, /* nosymfollow */
	CONFINE_FEATURE_USERNS = 1 << 4,      /* userns */
	CONFINE_FEATURE_IO_URING = 1 << 5,    /* io_uring */
};

enum confine_kind {
	CONFINE_NAMED = 0, /* "#?named" */
	CONFINE_STACKED,   /* "#?stacked": a policy namespace of the container's own below it */
};

/* All that a text depends on; everything zero is the default container on a host that knows nothing new. */
struct confine_render {
	enum confine_kind kind;
	bool vsock;            /* "#?vsock": AF_VSOCK sockets, for the agent; else "#?no-vsock" */
	const char *data_root; /* borrowed; Docker's, as the container sees it; NULL: the default */
	const char *driver;    /* borrowed; what storage.driver says; NULL or "auto": any */
	uint32_t features;     /* enum confine_feature */
};

/* The feature of that name, 0 when there is none. */
uint32_t confine_feature_by_name(const char *name);

#define CONFINE_FEATURES_MAXIMUM 8

/* The names of a set of features, constants in the order of the alphabet; returns how many. */
size_t confine_feature_names(uint32_t features, const char *names[CONFINE_FEATURES_MAXIMUM]);

/*
 * The name of the profile: one of those above for what is the default in a container, else with eight hex
 * digits of a hash of data-root and driver behind it, so that texts that differ in one kernel have two names.
 * Features are the host's, the same for all. The driver's name is not checked here.
 */
void confine_render_name(const struct confine_render *render, char ret_name[CONFINE_NAME_SIZE]);

/*
 * Render what lies in profiles_dir. -EINVAL with the field, or the file and line, named: a data-root that has
 * bytes outside [A-Za-z0-9._/-] or is no plain absolute path, a driver that nobody knows, an unknown mark, a
 * variable that is missing or not ours, a fragment in a fragment, and a rule that would break runc's sysctl
 * reopen (clash.h). -ENOENT and its kind when a file cannot be read. The caller frees the text.
 */
int confine_render(const char *profiles_dir, const struct confine_render *render, char **ret_text,
		   struct ph_error *error);

/* SHA-256 of a profile's text in hex. */
void confine_text_hash(const char *text, char ret_hash[65]);
