/*
 * What each container of this host was given: image, ids, address, slot, profile, limits. Kept in
 * STATE/containers/NAME/container.json, written before anything else is made for the container, so
 * that whatever is left after a crash has an owner. The configuration for liblxc is made from it
 * anew at every start.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config.h"
#include "common/error.h"
#include "proto/host.pb-c.h"

struct placement {
	char name[64];
	char image[64];
	char profile[64]; /* "" without confinement */
	uint32_t id_base;
	uint32_t id_count;
	uint32_t address; /* host byte order */
	uint32_t slot;
	uint64_t memory_bytes; /* 0: no limit, as for the next two */
	uint32_t cpu_percent;
	uint32_t pids;
	bool vsock; /* its agent dials config.vsock */
};

/* Take a placement from a validated request. */
void placement_from_request(const Phoenix__ContainerCreateRequest *request,
			    struct placement *ret_placement);

/* Read a container's placement; -ENOENT with a remedy when there is no such container. */
int placement_load(const struct config *config, const char *name, struct placement *ret_placement,
		   struct ph_error *error);

/* Write a placement, making the container's directory. */
int placement_save(const struct config *config, const struct placement *placement,
		   struct ph_error *error);

/*
 * List the names of all directories in STATE/containers, ascending; also those whose placement is
 * missing or damaged. The caller frees the array.
 */
int placement_names(const struct config *config, char (**ret_names)[64], size_t *ret_count,
		    struct ph_error *error);

/* Whether two placements are equal in all. */
bool placement_equal(const struct placement *left, const struct placement *right);
