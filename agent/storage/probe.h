/*
 * Find out the facts that a storage driver is chosen from, by using the real data-root: every answer
 * is a behaviour, not a name. Plain blocking code for a worker's child; nothing of it is left.
 */
#pragma once

#include "agent/storage/facts.h"
#include "common/error.h"

/*
 * Probe data_root, at most some seconds. A driver that does not work is a fact; the error is for a
 * data-root that cannot be used at all (missing, read-only, full, no root's rights).
 */
int storage_probe(const char *data_root, struct storage_facts *ret_facts, struct ph_error *error);

/* Name the file system of a statfs type: "ext4", "zfs"; hexadecimal for others. */
void storage_filesystem_name(unsigned long type, char *name, size_t size);
