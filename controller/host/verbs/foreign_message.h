/* A container of others as the message that tells of it; shared by the verbs about such ones. */
#pragma once

#include "common/config.h"
#include "controller/host/lxc/census.h"
#include "controller/host/lxc/foreign.h"
#include "proto/host.pb-c.h"

/* Make the message, with its process out of the census; free it with message_free(). */
Phoenix__ForeignContainer *foreign_message(const struct config *config, const struct census *census,
					   const struct foreign *foreign, size_t images_maximum);

/* -EPERM when an LXC path is not one of those that the configuration registers. */
int foreign_check_path(const struct config *config, const char *lxc_path, struct ph_error *error);
