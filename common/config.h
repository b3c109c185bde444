/*
 * The configuration file that phoenixd and phoenix-host share (/etc/phoenix/phoenix.yaml). Reads
 * YAML with line-exact errors; every key has a default, so no file is a valid configuration.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/address.h"
#include "common/error.h"
#include "common/log.h"

#define CONFIG_LXC_PATHS_MAXIMUM 8
#define CONFIG_LXC_PATH_SIZE 128

struct config {
	char user[64];          /* as written: a name or a number */
	uid_t uid;              /* of user */
	gid_t gid;              /* primary group of user */
	gid_t control_gid;      /* peers of this group may use the control socket */
	char run_dir[96];       /* short enough for sun_path with agents/NAME/agent.sock */
	char state_dir[256];
	char agent[256];        /* path of the static agent binary */
	char profiles_dir[256];
	char bridge[16];        /* at most 15 characters: IFNAMSIZ */
	uint32_t subnet;        /* host byte order */
	uint32_t prefix_length; /* 8..29 */
	bool dns;
	bool has_vsock;         /* agents may also come over vsock, to: */
	struct address vsock;
	char lxc_paths[CONFIG_LXC_PATHS_MAXIMUM][CONFIG_LXC_PATH_SIZE]; /* whose containers may be adopted */
	size_t lxc_path_count;
	enum log_level log_level;
};

/* Fill with the defaults of the documentation (docs/configuration.md). */
void config_init(struct config *config);

/*
 * Read a file over the defaults. Unknown keys, wrong types and values out of range are refused with
 * file:line and what to write instead. A missing file is an error only when required is true.
 */
int config_load(const char *path, bool required, struct config *ret_config,
		struct ph_error *error);
