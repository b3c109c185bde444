/*
 * Writes what a diagnosis has proven: backups first, each file at once and whole, everything taken back when the
 * tree does not load afterwards. Whatever interrupts it, a file is either the old one or the new one.
 */
#pragma once

#include "common/error.h"
#include "controller/doctor/diagnose.h"

#define DOCTOR_BACKUPS "/var/backups/phoenix-apparmor"

/*
 * Repair the tree of a diagnosis that is DOCTOR_REPAIRABLE. backups is a directory for the old files, made
 * where it is missing; ret_backup is where they went, freed by the caller. -EAGAIN when a file is not any more
 * what was examined, -EINVAL when the tree does not load afterwards: then, and on every other failure, the old
 * files are back.
 */
int doctor_repair(const struct doctor_diagnosis *diagnosis, const char *backups, char **ret_backup,
		  struct ph_error *error);

/* Append what repair would change, as a unified diff. */
void doctor_repair_diff(const struct doctor_diagnosis *diagnosis, struct str *diff);
