/*
 * Choose Docker's storage driver: a pure function from facts to {driver, reasons, findings}, so that
 * the same facts give the same choice and docs/storage.md can be tested as a table. Probes decide,
 * names do not: a file system is trusted for what it did, except where overlay on it is known to be
 * wrong whatever it says (overlay, FUSE, network file systems).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "agent/storage/facts.h"
#include "common/error.h"

#define STORAGE_NOTES_MAXIMUM 8

struct storage_wanted {
	const char *driver; /* "auto", "fuse-overlayfs", "overlay2", "vfs" */
	bool accept_vfs;    /* full copies of every layer are consented to */
	bool accept_loss;   /* a change of driver may hide the images of the old one */
};

/* Something to know that does not forbid the choice. */
struct storage_finding {
	char id[48]; /* "storage.on-tmpfs": stable, documented in docs/storage.md */
	char message[240];
	char remedy[200];
};

struct storage_decision {
	char driver[STORAGE_DRIVER_SIZE];      /* "": refused */
	char alternative[STORAGE_DRIVER_SIZE]; /* the other one that passes here, "" */
	char reasons[STORAGE_NOTES_MAXIMUM][240];
	size_t reason_count;
	struct storage_finding findings[STORAGE_NOTES_MAXIMUM];
	size_t finding_count;
	bool loses_images; /* the driver changes, and images of the old one vanish */
};

/*
 * Choose. Refusals: -EINVAL (no such driver), -ENOTSUP (nothing that was allowed can hold layers
 * here), -EPERM (it can, but needs a consent that was not given: the error names the images that
 * would vanish). ret_decision is filled in every case; reasons tell why also when it is refused.
 */
int storage_choose(const struct storage_facts *facts, const struct storage_wanted *wanted,
		   struct storage_decision *ret_decision, struct ph_error *error);

/* What a driver must not be stacked on, whatever a probe says: returns the reason, static, or NULL. */
const char *storage_stacking_problem(const char *driver, const char *filesystem);

/* Whether a word may be asked for as a driver. */
bool storage_driver_is_known(const char *driver);
