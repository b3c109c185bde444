/*
 * Which way a clone is made. Only clone.c includes it.
 */
#pragma once

#include "common/config.h"
#include "common/error.h"
#include "controller/host/image/clone.h"

/*
 * Fill in plan's method, and the reason for it: the wanted one, or with CLONE_AUTO the first that
 * works here and with plan's image. -EOPNOTSUPP with the reason when the wanted one does not.
 */
int clone_choose(const struct config *config, enum clone_method wanted, struct clone *plan,
		 struct ph_error *error);
