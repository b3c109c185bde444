/*
 * A root more, beside those there are. The order of a rebuild: record (the new root is prepared, not
 * complete: its image has a user), root filesystem, record (complete), mounts of the current root,
 * record (the roots have changed places), and then what the record does not name any more. So at
 * every moment the record's current root is whole, and its kept one is.
 *
 * What is whole is given up in the record before it is touched. What is not goes first: it may be
 * what has filled the disk that the record has to be written to. Where there is no room for that
 * record, a rename, which needs none, makes of the whole what is not.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "controller/host/image/clone_build.h"
#include "controller/host/image/clone_choose.h"
#include "controller/host/image/clone_dir.h"
#include "controller/host/image/clone_record.h"

static const struct clone_root none;

/* ---- what there is --------------------------------------------------------------------------- */

static int load(const struct config *config, const char *name, struct clone *clone, int *ret_dir,
		struct ph_error *error)
{
	PH_AUTO_CLOSE int dir = -1;
	int result = clone_dir_open(config, name, &dir, error);

	if (result == 0)
		result = clone_record_load(dir, name, clone, error);
	if (result == -ENOENT)
		return error_set(error, result, name, "create it: phoenixctl apply",
				 "the container has no clone");
	if (result == 0 && !clone->current.complete)
		result = error_set(error, -EAGAIN, name, "apply the fleet file again",
				   "the clone was never finished");
	if (result < 0)
		return result;
	clone->kept.complete &= clone_dir_has_root(&clone->kept, dir);
	clone->prepared.complete &= clone_dir_has_root(&clone->prepared, dir);
	*ret_dir = take_fd(&dir);
	return 0;
}

/* The smallest number that no root has; 0 was that of the creation. */
static unsigned int free_number(const struct clone *clone)
{
	unsigned int number = 1;

	while ((clone->current.number == number) ||
	       (clone->kept.image[0] && clone->kept.number == number))
		number++;
	return number;
}

/*
 * Without room for a record: what is taken for whole no longer is removed, which makes some. On btrfs
 * that is there only when the removal is on the disk.
 */
static int give_up_on_full_disk(const struct config *config, const struct clone *clone,
				const struct clone_root *gone, int dir, struct ph_error *error)
{
	int result;

	error_clear(error);
	result = clone_dir_break_root(gone, dir, error);
	if (result == 0)
		result = clone_dir_remove_root(config, clone->name, gone->number, dir, error);
	if (result < 0)
		return result;
	syncfs(dir);
	return clone_record_save(dir, clone, error);
}

/* Forget one of clone's own roots, and remove it. */
static int give_up(const struct config *config, struct clone *clone, struct clone_root *root,
		   int dir, struct ph_error *error)
{
	const struct clone_root gone = *root;
	int result = 0;

	if (!gone.complete)
		result = clone_dir_remove_root(config, clone->name, gone.number, dir, error);
	if (result < 0)
		return result;
	*root = none;
	result = clone_record_save(dir, clone, error);
	if (gone.complete && (result == -ENOSPC || result == -EDQUOT))
		result = give_up_on_full_disk(config, clone, &gone, dir, error);
	else if (gone.complete && result == 0)
		clone_dir_remove_root(config, clone->name, gone.number, dir, NULL); /* or later */
	return result;
}

/* ---- rebuilding: the steps in their order ---------------------------------------------------- */

static bool is_wanted(const struct clone_root *root, const struct clone_request *request)
{
	return clone_root_is(root, request->image, request->method);
}

/* Whether a rebuild has a use for the prepared root: it is wanted, and there is no other such one. */
static bool is_prepared(const struct clone *clone, const struct clone_request *request)
{
	return is_wanted(&clone->prepared, request) && !is_wanted(&clone->current, request) &&
	       !is_wanted(&clone->kept, request);
}

/* Only what is whole stays, and prepared only what is wanted. Positive: something has gone. */
static int settle(const struct config *config, const struct clone_request *request,
		  struct clone *clone, int dir, struct ph_error *error)
{
	bool gives_up_kept = clone->kept.image[0] && !clone->kept.complete;
	bool gives_up_prepared = clone->prepared.image[0] && !is_prepared(clone, request);
	int result = 0;

	if (gives_up_kept)
		result = give_up(config, clone, &clone->kept, dir, error);
	if (result == 0 && gives_up_prepared)
		result = give_up(config, clone, &clone->prepared, dir, error);
	return result < 0 ? result : gives_up_kept || gives_up_prepared;
}

/*
 * Plan the new root, and write it down while nobody can remove its image. That lock is taken behind
 * the clone's, and by a creation before it: two requests for one name are kept apart by the verbs.
 */
static int register_root(const struct config *config, const struct clone_request *request,
			 struct clone *clone, int dir, struct ph_error *error)
{
	PH_AUTO_CLOSE int lock = -1;
	struct clone next = *clone;
	int result = clone_choose(config, request, &next.prepared, error);

	next.prepared.number = free_number(clone);
	if (result == 0) /* of an interruption */
		result = clone_dir_remove_root(config, clone->name, next.prepared.number, dir,
					       error);
	if (result >= 0)
		result = clone_choose_hold(config, request, &next.prepared, &lock, error);
	if (result == 0)
		result = clone_record_save(dir, &next, error);
	if (result == 0)
		*clone = next;
	return result;
}

/* On the disk before it is called complete: what is kept goes by that word one day. */
static int complete_root(const struct config *config, struct clone *clone, int dir,
			 struct ph_error *error)
{
	int result = clone_dir_unmount_root(config, clone->name, clone->prepared.number, error);

	if (result < 0)
		return result;
	if (syncfs(dir) < 0)
		return error_errno(error, -errno, clone->name, NULL, "sync the new root");
	clone->prepared.complete = true;
	return clone_record_save(dir, clone, error);
}

/* Make the prepared root. */
static int build(const struct config *config, const struct clone_request *request,
		 struct clone *clone, int dir, struct ph_error *error)
{
	int result = register_root(config, request, clone, dir, error);

	if (result < 0)
		return result;
	result = clone_build(config, request, clone, &clone->prepared, dir, error);
	if (result >= 0)
		result = complete_root(config, clone, dir, error);
	if (result == 0)
		return 0;
	clone->prepared.complete = false;
	give_up(config, clone, &clone->prepared, dir, NULL);
	return clone_explain(config, request->method, result, error);
}

/* The wanted root becomes the current one, and that the kept one. */
static int change_places(const struct config *config, const struct clone_request *request,
			 struct clone *clone, int dir, struct ph_error *error)
{
	bool goes_back = is_wanted(&clone->kept, request);
	struct clone next = *clone;
	int result = clone_dir_unmount_root(config, clone->name, clone->current.number, error);

	next.current = goes_back ? clone->kept : clone->prepared;
	next.kept = clone->current;
	next.prepared = none;
	if (result >= 0)
		result = clone_record_save(dir, &next, error);
	if (result == 0)
		*clone = next;
	return result;
}

static int rebuild(const struct config *config, const struct clone_request *request, bool prepare,
		   struct clone *clone, int dir, struct ph_error *error)
{
	bool is_there = is_wanted(&clone->current, request);
	int settled = settle(config, request, clone, dir, error), result = 0;

	if (settled < 0)
		return settled;
	if (is_there || (prepare && (is_wanted(&clone->kept, request) ||
				     is_wanted(&clone->prepared, request))))
		return settled ? CLONE_CHANGED : CLONE_UNCHANGED;
	if (!is_wanted(&clone->kept, request) && !is_wanted(&clone->prepared, request))
		result = build(config, request, clone, dir, error);
	if (result == 0 && !prepare)
		result = change_places(config, request, clone, dir, error);
	return result < 0 ? result : CLONE_CHANGED;
}

int clone_rebuild(const struct config *config, const struct clone_request *request, bool prepare,
		  struct clone *ret_clone, struct ph_error *error)
{
	struct clone clone;
	PH_AUTO_CLOSE int dir = -1;
	int result = load(config, request->name, &clone, &dir, error);

	if (result == 0 &&
	    (clone.id_base != request->id_base || clone.id_count != request->id_count))
		result = error_set(error, -EEXIST, request->name, NULL,
				   "the clone has ids %u+%u, not %u+%u", clone.id_base,
				   clone.id_count, request->id_base, request->id_count);
	if (result == 0)
		result = rebuild(config, request, prepare, &clone, dir, error);
	if (result < 0)
		return error_prefix(error, "make a root of image %s for %s", request->image,
				    request->name), result;
	clone_dir_sweep(config, &clone, dir, NULL); /* what does not go is no obstacle */
	if (ret_clone)
		*ret_clone = clone;
	return result;
}

/* ---- discarding ------------------------------------------------------------------------------ */

static int discard(const struct config *config, struct clone *clone, int dir,
		   struct ph_error *error)
{
	bool has_others = clone->kept.image[0] || clone->prepared.image[0];
	int result = 0;

	if (clone->prepared.image[0])
		result = give_up(config, clone, &clone->prepared, dir, error);
	if (result == 0 && clone->kept.image[0])
		result = give_up(config, clone, &clone->kept, dir, error);
	if (result == 0)
		result = clone_dir_sweep(config, clone, dir, error);
	if (result < 0)
		return result;
	return has_others || result > 0 ? CLONE_CHANGED : CLONE_UNCHANGED;
}

int clone_discard(const struct config *config, const char *name, struct clone *ret_clone,
		  struct ph_error *error)
{
	struct clone clone;
	PH_AUTO_CLOSE int dir = -1;
	int result = load(config, name, &clone, &dir, error);

	if (result == 0)
		result = discard(config, &clone, dir, error);
	if (result < 0)
		return error_prefix(error, "remove the kept root of %s", name), result;
	if (ret_clone)
		*ret_clone = clone;
	return result;
}
