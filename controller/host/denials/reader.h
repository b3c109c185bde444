/*
 * The process that reads denials, for as long as somebody watches: source to line to origin to tally
 * to messages. It opens what it reads from as root and then becomes an ordinary user without
 * capabilities for good, because every name in the lines is a container's choice.
 */
#pragma once

#include "common/config.h"
#include "common/error.h"
#include "common/worker.h"

struct reader_config {
	const struct config *config; /* borrowed: whom to become */
	uint32_t first_id;           /* where the id ranges of containers begin */
	pid_t parent;                /* phoenix-host */
};

/*
 * Read until killed, sending DenialsItem messages, the first of which tells the source. Returns 0
 * when there is no source, a negative errno with error filled when the source ended.
 */
int reader_run(struct worker_output *output, const struct reader_config *config,
	       struct ph_error *error);
