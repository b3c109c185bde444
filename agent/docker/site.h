/*
 * The places that installing Docker touches, below a root that is "" but in tests. Internal to the
 * room.
 */
#pragma once

#include "agent/docker/docker.h"

#define SITE_OS_RELEASE "/etc/os-release"
#define SITE_OS_RELEASE_VENDOR "/usr/lib/os-release"
#define SITE_DAEMON_JSON "/etc/docker/daemon.json"
#define SITE_DAEMON_JSON_BACKUP ".phoenix-backup"
#define SITE_DPKG_STATUS "/var/lib/dpkg/status"
#define SITE_DPKG_UPDATES "/var/lib/dpkg/updates"
#define SITE_POLICY "/usr/sbin/policy-rc.d"
#define SITE_POLICY_SAVED "/usr/sbin/policy-rc.d.phoenix-saved"
#define SITE_CE_KEY "/etc/apt/keyrings/phoenix-docker-ce.asc"
#define SITE_CE_LIST "/etc/apt/sources.list.d/phoenix-docker-ce.sources"
#define SITE_PIN "/etc/apt/preferences.d/phoenix-docker"
#define SITE_BUNDLE_LIST DOCKER_RUN_DIR "/bundle.list"
#define SITE_BUNDLE_LISTS DOCKER_RUN_DIR "/bundle-lists"
#define SITE_STATE "/var/lib/phoenix-agent"
#define SITE_FRAGMENT SITE_STATE "/daemon.json" /* the fragment that we have merged last */
#define SITE_HELD SITE_STATE "/held"            /* packages that we have held */
#define SITE_CONFIG_NEW DOCKER_RUN_DIR "/daemon.json" /* to be judged by dockerd */
#define SITE_GROUP "/etc/group"
#define SITE_PASSWD "/etc/passwd"
#define SITE_FUSE "/dev/fuse"
#define SITE_RESTART DOCKER_RUN_DIR "/docker-restart" /* dockerd has not read what we wrote */
#define SITE_INSTALL_LOCK DOCKER_RUN_DIR "/install.lock"
#define SITE_DOCKERD_LOG DOCKER_RUN_DIR "/dockerd.log"

/* A copy with every default filled in; texts stay borrowed. wanted may be NULL. */
struct docker_wanted site_wanted(const struct docker_wanted *wanted);

/* The path below the root, for the caller to free. */
char *site_path(const struct docker_wanted *wanted, const char *path);
