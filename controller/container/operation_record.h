/*
 * What the store knows of operations: one record each, from before its first step until its end is saved. A record whose
 * operation has ended is never left behind the next operation: a restart would resume it after that, with an older wish.
 * So what could not be deleted is kept in mind, and deleted before anything else begins.
 */
#pragma once

#include "controller/container/registry.h"
#include "proto/state.pb-c.h"

/* Write an operation's record as it is now; a negative errno when the store refuses it. */
int operation_record_save(struct registry *registry, const Phoenix__OperationRecord *record,
			  struct ph_error *error);

/*
 * Whether an operation of an earlier phoenixd on this container is still to be resumed: false once all are. A store
 * that cannot be read counts as true.
 */
bool operation_record_waits(struct registry *registry, const char *container);

/* The operation has ended: its record is to be deleted. */
void operation_record_ended(struct registry *registry, const Phoenix__OperationRecord *record);

/* Delete the records of all that have ended; a negative errno when the store refuses one, which is tried again then. */
int operation_record_delete_ended(struct registry *registry, struct ph_error *error);

/* Free what is kept in mind of them, without touching the store. */
void operation_record_forget_ended(struct registry *registry);
