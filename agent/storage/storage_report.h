/*
 * The storage report of a container: facts, the choice with its reasons, and what the drivers that
 * work here cost. Plain blocking code for a worker's child; leaves nothing behind.
 */
#pragma once

#include "agent/storage/choose.h"
#include "common/error.h"
#include "proto/model.pb-c.h"

/*
 * Make the report of a data-root; about two seconds. That every driver is refused is part of it. It
 * is the caller's, freed with message_free().
 */
int storage_report_make(const char *data_root, const struct storage_wanted *wanted,
			Phoenix__StorageReport **ret_report, struct ph_error *error);

/*
 * Write in words how two drivers compare: used is the one in use, other passes too. Pure; "" when
 * either was not measured.
 */
void storage_compare(const Phoenix__StorageCost *used, const Phoenix__StorageCost *other,
		     char *text, size_t size);
