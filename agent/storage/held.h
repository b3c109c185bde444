/*
 * What a data-root already holds: read from Docker's own files, because dockerd may be stopped,
 * broken or not the one that wrote them.
 */
#pragma once

#include "agent/storage/facts.h"

/* Fill driver_now, images and container_count of the data-root that the facts name. */
void storage_held(struct storage_facts *facts);
