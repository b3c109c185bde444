/*
 * What the commands of images and of bundles share: both are archives that phoenix-host takes out of the spool, under
 * a name.
 */
#pragma once

#include "common/error.h"
#include "controller/cli/commands.h"
#include "controller/cli/spool.h"
#include "proto/control.pb-c.h"

struct archive_kind {
	Phoenix__ImageKind kind;
	const char *noun; /* with its article, as in "an image": for what is printed */
};

extern const struct archive_kind archive_image, archive_bundle;

/* 0, or -EINVAL with what a name has to be. */
int archive_check_name(const struct archive_kind *kind, const char *name, struct ph_error *error);

/*
 * Have the controller take a spool file, on a new connection: show progress, then print the outcome or, with --json, the
 * last message. Source, in any bytes, says where it came from; its end is kept. Errors: the controller's, but for -ENOENT,
 * which is -EIO here: no archive was asked for, it is the spool that is wrong.
 */
int archive_import(struct invocation *invocation, const struct archive_kind *kind, const char *name,
		   const char *source, const struct spool *spool, struct ph_error *error);

/* Have the controller remove the one that the first argument names, and print that. Errors: the controller's. */
int archive_remove(struct invocation *invocation, const struct archive_kind *kind,
		   struct ph_error *error);
