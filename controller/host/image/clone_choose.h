/*
 * Which way a clone is made. Only clone.c includes it.
 */
#pragma once

#include "common/config.h"
#include "common/error.h"
#include "controller/host/image/clone.h"

/*
 * Fill in plan's method, and the reason for it: the wanted one, or with CLONE_AUTO the first that
 * works here and with plan's image. -EOPNOTSUPP with the reason when the wanted one is found not to.
 * Snapshots and reflinks are not tried before they are made: either they can be made or they cannot.
 */
int clone_choose(const struct config *config, enum clone_method wanted, struct clone *plan,
		 struct ph_error *error);

/*
 * A clone by the wanted method has failed with this code and error: say -EOPNOTSUPP and why when it
 * does not work here at all, else return the code.
 */
int clone_explain(const struct config *config, enum clone_method wanted, int code,
		  struct ph_error *error);
