#include "controller/host/image/clone_choose.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/host/image/image.h"
#include "controller/host/tree/subvolume.h"

/* A host that can take snapshots may have images of a time when it could not. */
static int ask_image(const struct config *config, const char *name, struct clone_probe *probe,
		     struct ph_error *error)
{
	char *reason = probe->reasons[CLONE_SNAPSHOT];
	PH_AUTO_CLOSE int image = -1;
	int result = image_open_rootfs(config, name, &image, error);

	if (result == 0 && !reason[0] && !subvolume_is(image))
		snprintf(reason, sizeof(probe->reasons[0]),
			 "the image %s is no subvolume: remove it and import it again", name);
	return result;
}

static int take_wanted(const struct clone_probe *probe, enum clone_method wanted,
		       struct clone *plan, struct ph_error *error)
{
	const char *name = clone_method_name(wanted);

	if (probe->reasons[wanted][0])
		return error_set(error, -EOPNOTSUPP, name,
				 "write 'clone: auto', or put state_dir where it works",
				 "a clone by %s cannot be made here: %s", name,
				 probe->reasons[wanted]);
	plan->method = wanted;
	text_copy(plan->reason, sizeof(plan->reason), "asked for");
	return 0;
}

static void take_first(const struct clone_probe *probe, struct clone *plan)
{
	enum clone_method method = CLONE_OVERLAY;

	while (method < CLONE_COPY && probe->reasons[method][0])
		method++;
	plan->method = method;
	if (method == CLONE_OVERLAY)
		text_copy(plan->reason, sizeof(plan->reason), "the first that works here");
	else
		snprintf(plan->reason, sizeof(plan->reason), "no %s: %.100s",
			 clone_method_name(method - 1), probe->reasons[method - 1]);
}

int clone_choose(const struct config *config, enum clone_method wanted, struct clone *plan,
		 struct ph_error *error)
{
	struct clone_probe probe = { 0 };
	int result = wanted == CLONE_COPY ? 0 : clone_probe(config, &probe, error);

	if (result == 0 && wanted != CLONE_COPY)
		result = ask_image(config, plan->image, &probe, error);
	if (result < 0)
		return result;
	if (wanted != CLONE_AUTO)
		return take_wanted(&probe, wanted, plan, error);
	take_first(&probe, plan);
	return 0;
}
