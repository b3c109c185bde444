/*
 * Docker by behaviour: an image made of this very binary, a container run from it without a
 * registry and without a network, looked at from inside and, while it waits, by the host from
 * outside. `docker info` proves nothing of this.
 */
#pragma once

#include "agent/storage/report.h"

#define DOCKER_HOST "unix:///var/run/docker.sock" /* named: no context in ~/.docker sends us away */
#define DOCKER_CONTENT_PREFIX "phoenix-verify-image-" /* of directories on the data-root */

/* Run the checks. Work files live in a directory of their own below data_root; no image, container
 * or file of ours is left. hold_fd as in struct verify_wanted. */
void docker_checks(const struct verify_wanted *wanted, struct report *report);
