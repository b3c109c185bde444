/* What a specification orders of a clone. */
#pragma once

#include "common/config.h"
#include "controller/host/image/clone.h"
#include "proto/host.pb-c.h"

/*
 * Write the order of a validated request's specification and ids. It borrows their texts and the one
 * of ret_resolv_conf, which the caller frees and which is NULL when the host has none to give.
 */
void clone_order(const struct config *config, const Phoenix__ContainerSpec *spec,
		 const Phoenix__IdRange *ids, struct clone_request *ret_order,
		 char **ret_resolv_conf);
