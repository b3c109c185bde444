/*
 * Tell from what Docker says whether an image failed because its files belong to ids that the
 * container's id map does not have. Text in, answer out. The text is data: an image chose parts of it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum id_map_verdict {
	ID_MAP_OTHER,   /* the text is about something else, or about ids that are mapped */
	ID_MAP_OUTSIDE, /* it names ids beyond the map */
	ID_MAP_LIKELY,  /* an id was refused, and the text does not say which */
};

struct id_map_error {
	uint64_t id;     /* the largest one that it names; with ID_MAP_OUTSIDE */
	bool is_group;   /* it is a gid */
	char path[128];  /* of the file in the image, "" when it names none; cut when longer */
};

/* Judge a text against a map that has the ids 0 to uid_count-1 and 0 to gid_count-1. */
enum id_map_verdict id_map_classify(const char *text, uint64_t uid_count, uint64_t gid_count,
				    struct id_map_error *ret_error);
