/*
 * What this host can do with AppArmor, and if it cannot confine: why, and what to do about it. Only
 * looks; loads and changes nothing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

/* What stands between this host and a confined container; the first one found. */
enum confine_obstacle {
	CONFINE_ABLE = 0,
	CONFINE_NO_KERNEL,      /* the kernel has no AppArmor */
	CONFINE_DISABLED,       /* it has, switched off at boot */
	CONFINE_NO_SECURITYFS,  /* policy directory not mounted */
	CONFINE_NO_PERMISSION,  /* policy cannot be loaded from here: not root, or in a container */
	CONFINE_NOT_ENFORCING,  /* the whole of AppArmor is in complain mode or unconfined */
	CONFINE_NO_MOUNT_RULES, /* the kernel does not mediate mounts */
	CONFINE_NO_PARSER,      /* apparmor_parser is not installed */
	CONFINE_OLD_PARSER,     /* older than 3.0 */
};

struct confine_facts {
	enum confine_obstacle obstacle;
	char detail[96];         /* of the obstacle: the mode, the version; "" without */
	char parser_version[32]; /* "3.0.8"; "" without parser */
	char features_id[65];    /* names the kernel's feature set; "" without AppArmor */
	uint32_t features;       /* enum confine_feature: what the rendered text may use */
};

/* Where to look; every member NULL: the host's own places. */
struct confine_places {
	const char *module;     /* /sys/module/apparmor/parameters */
	const char *securityfs; /* /sys/kernel/security/apparmor */
	const char *policy;     /* /etc/apparmor.d */
	const char *cgroup;     /* /sys/fs/cgroup */
	const char *parser;     /* "apparmor_parser", looked up in the system's directories */
	const char *memory;     /* where the parser's answers are remembered; NULL: it is asked every time */
};

/* Look at the host. Never fails: what cannot be found out is an obstacle. places may be NULL. */
void confine_facts_detect(const struct confine_places *places, struct confine_facts *ret_facts);

#define CONFINE_LAX_SIZE 32

/*
 * Whether AppArmor as a whole enforces; if not, ret_mode is its mode ("complain"), untouched otherwise. The kernel goes
 * on showing every label and profile as enforced then: each has to be asked together with this. places may be NULL.
 */
bool confine_kernel_enforces(const struct confine_places *places, char ret_mode[CONFINE_LAX_SIZE]);

/* The same judgement on the parser's answer to --version, for tests: -EINVAL when it has none. */
int confine_parser_version(const char *output, char version[32], unsigned int *ret_major,
			   unsigned int *ret_minor);

/* Why it cannot confine, for a person; "" when it can. Constant texts. */
const char *confine_obstacle_reason(enum confine_obstacle obstacle);

/* What to do about it; "" when it can. */
const char *confine_obstacle_remedy(enum confine_obstacle obstacle);

/* Fill an error from the facts: 0 when able, -ENOTSUP otherwise. */
int confine_facts_require(const struct confine_facts *facts, struct ph_error *error);
