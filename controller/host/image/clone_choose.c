#include "controller/host/image/clone_choose.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/str.h"
#include "controller/host/image/image.h"
#include "controller/host/tree/subvolume.h"

/* "" for images that are subvolumes: a host may have others, of a time when it could not make any. */
static int ask_image(const struct config *config, const char *name, char reason[256],
		     struct ph_error *error)
{
	PH_AUTO_CLOSE int image = -1;
	int result = image_open_rootfs(config, name, &image, error);

	reason[0] = '\0';
	if (result == 0 && !subvolume_is(image))
		snprintf(reason, 256, "the image %s is no subvolume: remove it and import it again",
			 name);
	return result;
}

static int refuse(enum clone_method wanted, const char *reason, struct ph_error *error)
{
	const char *name = clone_method_name(wanted);

	return error_set(error, -EOPNOTSUPP, name,
			 "write 'clone: auto', or put state_dir where it works",
			 "a clone by %s cannot be made here: %s", name, reason);
}

int clone_explain(const struct config *config, enum clone_method wanted, int code,
		  struct ph_error *error)
{
	struct clone_probe probe;

	if (wanted == CLONE_AUTO || clone_probe(config, &probe, NULL) < 0 ||
	    !probe.reasons[wanted][0])
		return code;
	return refuse(wanted, probe.reasons[wanted], error);
}

static int take_wanted(const struct config *config, enum clone_method wanted, struct clone_root *plan,
		       struct ph_error *error)
{
	struct clone_probe probe = { 0 };
	char *reason = probe.reasons[wanted];
	int result = 0;

	if (wanted == CLONE_OVERLAY)
		result = clone_probe_first(config, &probe, error);
	if (wanted == CLONE_SNAPSHOT)
		result = ask_image(config, plan->image, reason, error);
	if (result == 0 && reason[0]) {
		result = refuse(wanted, reason, error);
		return clone_explain(config, wanted, result, error);
	}
	plan->method = wanted;
	text_copy(plan->reason, sizeof(plan->reason), "asked for");
	return result;
}

static int take_first(const struct config *config, struct clone_root *plan, struct ph_error *error)
{
	struct clone_probe probe;
	int result = clone_probe_first(config, &probe, error);

	if (result == 0 && probe.method == CLONE_SNAPSHOT) {
		result = ask_image(config, plan->image, probe.reasons[CLONE_SNAPSHOT], error);
		if (result == 0 && probe.reasons[CLONE_SNAPSHOT][0])
			probe.method = CLONE_REFLINK; /* as on every btrfs */
	}
	if (result < 0)
		return result;
	plan->method = probe.method;
	if (probe.method == CLONE_OVERLAY)
		text_copy(plan->reason, sizeof(plan->reason), "the first that works here");
	else
		snprintf(plan->reason, sizeof(plan->reason), "no %s: %.100s",
			 clone_method_name(probe.method - 1), probe.reasons[probe.method - 1]);
	return 0;
}

/* What the plan says of the image as it is now. */
static int take_image(const struct clone_request *request, const struct image *image,
		      struct clone_root *plan, struct ph_error *error)
{
	if (image->highest_id >= request->id_count && image->highest_id != UINT32_MAX)
		return error_set(error, -EOVERFLOW, request->image,
				 "give the container a longer id range",
				 "the image has files of id %u, the range has %u ids",
				 image->highest_id, request->id_count);
	text_copy(plan->image, sizeof(plan->image), request->image);
	text_copy(plan->digest, sizeof(plan->digest), image->digest);
	return 0;
}

int clone_choose(const struct config *config, const struct clone_request *request,
		 struct clone_root *ret_plan, struct ph_error *error)
{
	struct clone_root plan = { .created_ms = clock_wall_ms() };
	struct image image;
	int result = image_find(config, request->image, &image, error);

	if (result == 0)
		result = take_image(request, &image, &plan, error);
	if (result == 0)
		result = request->method == CLONE_AUTO ?
				 take_first(config, &plan, error) :
				 take_wanted(config, request->method, &plan, error);
	if (result == 0)
		*ret_plan = plan;
	return result;
}

int clone_choose_hold(const struct config *config, const struct clone_request *request,
		      struct clone_root *plan, int *ret_lock, struct ph_error *error)
{
	PH_AUTO_CLOSE int lock = -1;
	struct image image;
	int result = image_hold(config, request->image, &image, &lock, error);

	if (result == 0)
		result = take_image(request, &image, plan, error);
	if (result == 0)
		*ret_lock = take_fd(&lock);
	return result;
}
