/*
 * Whether a kept root file system is the one that this rollout has left is told by the record of the
 * container, which names the operation; that it is still there, by phoenix-host.
 */
#include "controller/rollout/rebuilding.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "common/memory.h"
#include "common/str.h"
#include "controller/container/rebuild.h"
#include "controller/fleet/fleet.h"
#include "controller/fleet/plan.h"

#define HOST_MS 15000
#define MEGABYTE (1024 * 1024)

static const Phoenix__RolloutItem *item_of(const struct hand *hand)
{
	return hand->rollout->record->items[hand->item];
}

static struct registry *registry_of(const struct hand *hand)
{
	return hand->rollout->rollouts->registry;
}

/* ---- preflight ---- */

/* Only a copy takes what its image holds; the others share it with the image. */
static bool takes_room(const struct registry *registry, const Phoenix__ContainerSpec *spec)
{
	if (spec->clone != PHOENIX__CLONE_METHOD__CLONE_AUTO)
		return spec->clone == PHOENIX__CLONE_METHOD__CLONE_COPY;
	return fleet_clone_method(registry->probe->clone_method) == PHOENIX__CLONE_METHOD__CLONE_COPY;
}

static const Phoenix__Image *find_image(const Phoenix__ImageListReply *images, const char *name)
{
	for (size_t i = 0; i < images->n_images; i++)
		if (text_equal(images->images[i]->name, name))
			return images->images[i];
	return NULL;
}

/* Where phoenixd may not look it says nothing: phoenix-host finds out, before the container is stopped. */
static int check_room(const struct registry *registry, const Phoenix__ContainerSpec *spec,
		      const Phoenix__ImageListReply *images, struct ph_error *error)
{
	const Phoenix__Image *image = find_image(images, spec->image);
	struct statvfs space;
	uint64_t free_bytes;

	if (!image || !takes_room(registry, spec) || statvfs(registry->config->state_dir, &space) < 0)
		return 0;
	free_bytes = (uint64_t)space.f_bavail * space.f_frsize;
	if (free_bytes >= image->size_bytes)
		return 0;
	return error_set(error, -ENOSPC, registry->config->state_dir,
			 "free some: phoenixctl discard removes root file systems that are kept for going back; "
			 "or put state_dir where clones share their image",
			 "another root file system is a copy of image '%s', of %llu MiB, and %llu MiB are free",
			 image->name, (unsigned long long)image->size_bytes / MEGABYTE,
			 (unsigned long long)free_bytes / MEGABYTE);
}

/* One that is on it, or has it kept, needs neither image nor room: it only changes places. */
static bool has_root(const Phoenix__ContainerObservation *seen, const Phoenix__ContainerSpec *spec)
{
	return rebuild_is_root(seen->image, seen->clone_method, spec->image, spec->clone) ||
	       rebuild_is_root(seen->kept_image, seen->kept_clone_method, spec->image, spec->clone);
}

static int judge(const struct hand *hand, const Phoenix__ImageListReply *images,
		 struct ph_error *error)
{
	const Phoenix__ContainerSpec *spec = item_of(hand)->new_;
	const struct registry *registry = registry_of(hand);
	const struct container *container = registry_find(registry, spec->name);
	int r;

	if (container && container->observed) {
		r = rebuild_check_observed(container->observed, spec->name, error);
		if (r < 0 || has_root(container->observed, spec))
			return r;
	}
	r = plan_check_image(images, spec, error);
	if (r == 0)
		r = plan_check_clone(registry->probe, spec, error);
	return r == 0 ? check_room(registry, spec, images, error) : r;
}

/* What phoenix-host has not answered it is asked again, until the deadline; NULL: nobody wants to know. */
static struct hand *take_answer(struct asking *asking, const struct ph_error *error)
{
	struct hand *hand = asking->hand;

	free(asking);
	if (!hand)
		return NULL;
	hand->asking = NULL;
	hand->is_waiting = error != NULL;
	return error ? NULL : hand;
}

static void ask(struct hand *hand, const char *verb, const ProtobufCMessage *request,
		void (*replied)(void *user, const ProtobufCMessage *reply,
				const struct ph_error *error))
{
	struct asking *asking = ph_alloc(sizeof(*asking));

	asking->hand = hand;
	hand->asking = asking;
	host_link_call(registry_of(hand)->host, verb, request, HOST_MS, replied, asking, NULL);
}

static void images_listed(void *user, const ProtobufCMessage *message, const struct ph_error *error)
{
	struct hand *hand = take_answer(user, error);
	struct ph_error failure;
	int r;

	if (!hand)
		return;
	r = judge(hand, (const Phoenix__ImageListReply *)message, &failure);
	hand_ended(hand, r < 0 ? &failure : NULL);
}

static void probed(void *user, const ProtobufCMessage *message, const struct ph_error *error)
{
	Phoenix__ImageListRequest request = PHOENIX__IMAGE_LIST_REQUEST__INIT;
	struct hand *hand = take_answer(user, error);

	if (!hand)
		return;
	registry_set_probe(registry_of(hand), (const Phoenix__ProbeReply *)message);
	ask(hand, "ImageList", &request.base, images_listed);
}

void rebuilding_check(struct hand *hand)
{
	Phoenix__ProbeRequest request = PHOENIX__PROBE_REQUEST__INIT;

	ask(hand, "Probe", &request.base, probed);
}

/* ---- there and back ---- */

/* Whether what is kept was left by this rollout: another one may have left one of the same image. */
static bool is_kept_by(const struct container *container, const Phoenix__RolloutRecord *record)
{
	const Phoenix__KeptRoot *kept = container->record->kept;

	return kept && text_has_prefix(kept->operation, record->id);
}

void rebuilding_order(const struct hand *hand, struct operation_order *order)
{
	const struct container *container = registry_find(registry_of(hand), item_of(hand)->name);

	order->type = &operation_rebuild;
	order->only_back = hand->action.kind == ROLLOUT_REVERT;
	order->keeps = order->only_back;
	if (order->only_back && container && is_kept_by(container, hand->rollout->record))
		order->clone = container->record->kept->clone;
}

int rebuilding_check_back(const struct container *container, const Phoenix__RolloutRecord *record,
			  const Phoenix__RolloutItem *item, struct ph_error *error)
{
	const Phoenix__ContainerObservation *seen = container->observed;
	const Phoenix__ContainerSpec *old = item->old;

	if (!seen)
		return error_set(error, -EAGAIN, item->name, "try again in a few seconds",
				 "phoenix-host has not told yet which root file systems it has");
	if (is_kept_by(container, record) ?
		    rebuild_is_root(seen->kept_image, seen->kept_clone_method, old->image,
				    container->record->kept->clone) :
		    rebuild_is_root(seen->image, seen->clone_method, old->image, old->clone))
		return 0;
	return error_set(error, -ESTALE, item->name,
			 "start a rollout of the fleet file that you want: it makes a new one",
			 "its old root file system, of image '%s', was discarded or replaced since: going "
			 "back would not bring it back", old->image);
}
