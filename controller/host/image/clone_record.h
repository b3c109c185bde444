/*
 * clone.json: what a clone is made of, and which of its roots is which. Written before anything of a
 * root is made and again when that is complete, so that a killed creation is recognised and an image
 * knows its users.
 */
#pragma once

#include "common/config.h"
#include "common/error.h"
#include "controller/host/image/clone.h"

#define CLONE_RECORD "clone.json"

/* Read the record in a clone's directory; -ENOENT, -EBADMSG. */
int clone_record_load(int dir, const char *name, struct clone *ret_clone, struct ph_error *error);

/* Write it. */
int clone_record_save(int dir, const struct clone *clone, struct ph_error *error);
