/*
 * A container's LXC configuration as a value, and the strict writer that turns it into text. Every
 * field has an allow-list of bytes; what does not fit is refused and never escaped, so that no value
 * can become another line or another field. Knows no file and no liblxc.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/str.h"

#define SETTINGS_LINES_MAXIMUM 96

/* Which files limit a container, and which controllers are there to do it. */
struct settings_cgroup {
	bool is_unified; /* limits through cgroup2; false: through v1 hierarchies */
	bool memory;
	bool cpu;
	bool pids;
	bool devices;
};

/* All texts are borrowed. */
struct settings {
	const char *name;
	const char *rootfs;    /* absolute host paths */
	const char *agent_dir; /* bind-mounted read-only at /dev/phoenix */
	const char *bundles_dir; /* likewise at /dev/phoenix-bundles; NULL or "": not */
	const char *data_dir;  /* bind-mounted at /var/lib/docker */
	const char *log_file;
	const char *seccomp;   /* a seccomp policy file; "" without one */
	const char *profile;   /* AppArmor profile; "" without confinement */
	const char *policy_namespace; /* stacked below the profile, with securityfs; NULL or "": none */
	const char *bridge;
	uint32_t slot;
	uint32_t id_base;      /* host id of the container's 0 */
	uint32_t id_count;
	uint32_t address;      /* host byte order */
	uint32_t prefix_length;
	uint32_t gateway;      /* host byte order */
	uint32_t mtu;          /* 0: the kernel's default */
	uint64_t memory_bytes; /* 0: no limit, as for the next two */
	uint32_t cpu_percent;
	uint32_t pids;
	struct settings_cgroup cgroup;
};

struct settings_line {
	const char *key; /* borrowed: a constant */
	char *value;     /* owned */
};

struct settings_text {
	struct settings_line lines[SETTINGS_LINES_MAXIMUM];
	size_t count;
};

/*
 * Write the settings as configuration lines. -EINVAL with the field named in the error when a value
 * has bytes outside its allow-list or is out of range; ret_text is empty then. Free it with
 * settings_text_fini().
 */
int settings_write(const struct settings *settings, struct settings_text *ret_text,
		   struct ph_error *error);

/* Free the values. */
void settings_text_fini(struct settings_text *text);

/* Join the lines to the contents of a configuration file; the caller owns the string. */
void settings_text_format(const struct settings_text *text, struct str *ret_contents);

/*
 * All values of one key joined by newlines, as liblxc reports them; NULL when the key is not there.
 * The caller frees it.
 */
char *settings_text_values(const struct settings_text *text, const char *key);
