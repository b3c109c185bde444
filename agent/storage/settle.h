/*
 * Settle which storage driver an install uses: what was chosen before stays while nobody asks for
 * another one, so that a second apply probes and writes nothing. Plain blocking code for a worker's
 * child.
 */
#pragma once

#include "agent/storage/choose.h"
#include "common/error.h"

/* Named outcomes. */
enum {
	STORAGE_CHOSEN = 0, /* by probing, just now */
	STORAGE_KEPT = 1,   /* as an earlier install left it; the data-root was not probed */
};

struct storage_settled {
	char driver[STORAGE_DRIVER_SIZE];
	char replaces[STORAGE_DRIVER_SIZE]; /* that daemon.json may name and is to go, "" */
	char reason[240];                   /* for a person; "" when kept */
};

/*
 * Settle the driver for a data-root. chosen is the driver that an earlier install of ours used, ""
 * for none: daemon.json may be changed from it, and from any other with the consent to lose images.
 * Errors as storage_choose().
 */
int storage_settle(const char *data_root, const char *chosen, const struct storage_wanted *wanted,
		   struct storage_settled *ret_settled, struct ph_error *error);
