/*
 * Rebuild and discard: a container's other root file system. What the operations do stands in
 * rebuild.c; here is what others have to know of roots.
 */
#pragma once

#include <stdbool.h>

#include "common/error.h"
#include "proto/host.pb-c.h"

/*
 * Whether a root file system of an image, made by a method that is named as phoenix-host names it,
 * is one of wanted_image. CLONE_AUTO wants any method.
 */
bool rebuild_is_root(const char *image, const char *method, const char *wanted_image,
		     Phoenix__CloneMethod wanted);

/* Check that phoenix-host tells of roots: 0, or -EOPNOTSUPP when it is too old for it. */
int rebuild_check_observed(const Phoenix__ContainerObservation *seen, const char *name,
			   struct ph_error *error);
