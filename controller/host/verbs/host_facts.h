/*
 * What phoenix-host has to know of the host beside the rooms' own facts: root's subordinate ids,
 * /dev/fuse, kernel modules, installed files and programs.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/config.h"
#include "common/error.h"
#include "controller/host/verbs/subids.h"

/* Read /etc/subuid and /etc/subgid; a missing file gives no ranges. */
void host_facts_subids(struct subids *ret_subids);

/*
 * Write the path of the seccomp policy in profiles_dir, "" when it is not installed: the one with the new mount API
 * let through, as far as systemd needs it, or without; the one with AF_VSOCK let through, or without.
 */
void host_facts_seccomp(const struct config *config, bool mount_api, bool vsock, char *path,
			size_t size);

enum host_facts_fuse {
	HOST_FACTS_FUSE_OPEN,    /* everybody may use /dev/fuse */
	HOST_FACTS_FUSE_CLOSED,  /* it is there, but not for everybody */
	HOST_FACTS_FUSE_MISSING,
};

/* Look at /dev/fuse. */
enum host_facts_fuse host_facts_fuse(void);

/* Make /dev/fuse usable for everybody; true when that was needed and done. */
bool host_facts_open_fuse(void);

/* Whether the kernel knows a file system type now. */
bool host_facts_has_filesystem(const char *type);

/* Load the kernel modules that containers need; what fails is built in or will be a finding. */
void host_facts_load_modules(void);
