/*
 * Which way a root is made. Only clone*.c include it.
 */
#pragma once

#include "common/config.h"
#include "common/error.h"
#include "controller/host/image/clone.h"

/*
 * Plan a root for a request: the image's identity, the method and the reason for it. The method is
 * the wanted one, or with CLONE_AUTO the first that works here and with the image. -EOPNOTSUPP with
 * the reason when the wanted one is found not to, -ENOENT without the image, -EOVERFLOW when it has
 * files of ids beyond the range. Snapshots and reflinks are not tried before they are made: either
 * they can be made or they cannot.
 */
int clone_choose(const struct config *config, const struct clone_request *request,
		 struct clone_root *ret_plan, struct ph_error *error);

/*
 * Look at the image of a plan once more and keep it from being removed or replaced until the
 * descriptor is closed: long enough to write down who uses it.
 */
int clone_choose_hold(const struct config *config, const struct clone_request *request,
		      struct clone_root *plan, int *ret_lock, struct ph_error *error);

/*
 * A clone by the wanted method has failed with this code and error: say -EOPNOTSUPP and why when it
 * does not work here at all, else return the code.
 */
int clone_explain(const struct config *config, enum clone_method wanted, int code,
		  struct ph_error *error);
