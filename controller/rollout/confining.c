/*
 * There is no agent in an unconfined container of somebody else: everything here is what the host sees.
 * One that was under the profile already and is down, as after the host has booted, is started under
 * it; it never goes back to being unconfined by itself.
 */
#include "controller/rollout/confining.h"

#include <errno.h>
#include <stdlib.h>

#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/container/adopt.h"
#include "controller/rollout/changes.h"

#define HOST_MS 65000

/* ---- which ---- */

bool confining_is_done(const struct container *container)
{
	return container && adopt_is(container) &&
	       container_is(container, CONTAINER_PHASE_RUNNING) &&
	       !text_empty(container->record->profile);
}

static bool was_confined(const struct container *container)
{
	return !text_empty(container->record->profile) &&
	       !container_is(container, CONTAINER_PHASE_ADOPTED);
}

static const char *before(const struct container *container)
{
	const char *profile = container->record->adoption->profile_before;

	return text_empty(profile) ? "not said" : profile;
}

static Phoenix__RolloutItem *make_item(const struct container *container)
{
	Phoenix__RolloutItem *item = ph_alloc(sizeof(*item));

	phoenix__rollout_item__init(item);
	item->name = ph_strdup(container_name(container));
	item->old = MESSAGE_COPY(container->record->spec);
	item->new_ = MESSAGE_COPY(container->record->spec);
	item->confine = true;
	item->was_confined = was_confined(container);
	item->changes = ph_alloc_array(1, sizeof(*item->changes));
	item->n_changes = 1;
	item->changes[0] = item->was_confined ?
				   ph_strdup("confinement: started under Phoenix's profile again: "
					     "it is not ready") :
				   ph_format("confinement: '%.100s' -> Phoenix's profile; it is "
					     "restarted", before(container));
	return item;
}

static int check_selected(const struct container *container, struct ph_error *error)
{
	if (adopt_is(container))
		return 0;
	return error_set(error, -EINVAL, container_name(container),
			 "name adopted ones only: phoenixctl list",
			 "Phoenix has made this container: it was not adopted");
}

static int check_host(const struct registry *registry, struct ph_error *error)
{
	const Phoenix__ProbeReply *probe = registry->probe;

	if (!probe || probe->apparmor)
		return 0;
	return error_set(error, -EOPNOTSUPP, NULL, "use a host that enforces AppArmor",
			 "this host cannot confine: %s", probe->apparmor_reason);
}

int confining_make(const struct registry *registry, const struct selector *selector,
		   const Phoenix__RolloutStrategy *strategy, Phoenix__RolloutRecord *record,
		   struct ph_error *error)
{
	size_t selected = 0, total = 0;
	int r = check_host(registry, error);

	for (struct container *other = registry->containers; other; other = other->next)
		total++;
	record->items = ph_alloc_array(total, sizeof(*record->items));
	for (struct container *container = registry->containers; container && r == 0;
	     container = container->next) {
		const Phoenix__ContainerSpec *spec = container->record->spec;

		if (!selector_matches(selector, spec->name, spec->labels, spec->n_labels))
			continue;
		selected++;
		r = check_selected(container, error);
		if (r == 0 && !(confining_is_done(container) && container_is_ready(container)))
			record->items[record->n_items++] = make_item(container);
	}
	if (r < 0)
		return r;
	if (selected == 0)
		return error_set(error, -ENOENT, NULL, "phoenixctl list shows what there is",
				 "the selection is empty: no container is meant");
	changes_set_strategy(record, strategy);
	return record->n_items ? 0 : CHANGES_EMPTY;
}

/* ---- preflight ---- */

static const Phoenix__RolloutItem *item_of(const struct hand *hand)
{
	return hand->rollout->record->items[hand->item];
}

static struct container *container_of_hand(const struct hand *hand)
{
	return registry_find(hand->rollout->rollouts->registry, item_of(hand)->name);
}

static int judge(const struct hand *hand, const Phoenix__ForeignListReply *reply,
		 struct ph_error *error)
{
	const char *name = item_of(hand)->name;
	const Phoenix__ForeignContainer *found = reply->n_containers ? reply->containers[0] : NULL;

	if (!found)
		return error_set(error, -ENOENT, name, "phoenixctl unadopt it",
				 "its owner has removed the container");
	if (!text_empty(found->obstacle))
		return error_set(error, -EPERM, name, found->remedy, "%s", found->obstacle);
	if (!found->running && !item_of(hand)->was_confined)
		return error_set(error, -EBADE, name,
				 "start it as its owner does (lxc-start), or leave it out",
				 "it does not run: there is no good state to go back to");
	return check_host(hand->rollout->rollouts->registry, error);
}

static void answered(void *user, const ProtobufCMessage *message, const struct ph_error *error)
{
	struct asking *asking = user;
	struct hand *hand = asking->hand;
	struct ph_error failure;
	int r;

	free(asking);
	if (!hand)
		return;
	hand->asking = NULL;
	if (error) {
		hand->is_waiting = true; /* phoenix-host may come back before the deadline */
		return;
	}
	r = judge(hand, (const Phoenix__ForeignListReply *)message, &failure);
	hand_ended(hand, r < 0 ? &failure : NULL);
}

void confining_check(struct hand *hand)
{
	Phoenix__ForeignListRequest request = PHOENIX__FOREIGN_LIST_REQUEST__INIT;
	struct container *container = container_of_hand(hand);
	struct ph_error error;

	hand->is_waiting = container && container->operation;
	if (hand->is_waiting)
		return;
	if (!container || !adopt_is(container)) {
		error_set(&error, -ENOENT, item_of(hand)->name, "leave it out",
			  "it is not adopted any more");
		hand_ended(hand, &error);
		return;
	}
	hand->asking = ph_alloc(sizeof(*hand->asking));
	hand->asking->hand = hand;
	request.lxc_path = container->record->adoption->lxc_path;
	request.name = item_of(hand)->name;
	host_link_call(container->registry->host, "ForeignList", &request.base, HOST_MS, answered,
		       hand->asking, NULL);
}

/* ---- what the engine asks ---- */

enum rollout_health confining_health(const struct container *container)
{
	if (!container->observed)
		return ROLLOUT_HEALTH_UNKNOWN;
	return container->observed->running ? ROLLOUT_HEALTH_READY : ROLLOUT_HEALTH_NOT_READY;
}

const struct operation_type *confining_operation(const struct hand *hand)
{
	switch (hand->action.kind) {
	case ROLLOUT_VERIFY:
		return &operation_verify;
	case ROLLOUT_REVERT:
		return item_of(hand)->was_confined ? NULL : &operation_unconfine;
	default:
		return &operation_confine;
	}
}
