#include "controller/rollout/changes.h"

#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/container/rebuild.h"
#include "controller/fleet/fleet.h"
#include "controller/fleet/rollout_keys.h"

#define ROOT_CHANGES_MAXIMUM 2 /* lines about root file systems */

/* Fields that a container keeps for life, and why. */
static const struct {
	const char *field, *why;
} fixed[] = {
	{ "transport", "the profile that allows it comes with the container" },
	{ "network.address", "nested containers and others' configuration hold on to it" },
};

static int check_fixed(const char *name, const struct fleet_differences *differences,
		       struct ph_error *error)
{
	for (size_t i = 0; i < differences->count; i++)
		for (size_t j = 0; j < ARRAY_LENGTH(fixed); j++)
			if (text_equal(differences->items[i].field, fixed[j].field))
				return error_set(error, -EOPNOTSUPP, name,
						 "make a container of another name beside it, or "
						 "remove it and apply again: its Docker data goes "
						 "with it", "%s cannot change from '%s' to '%s': %s",
						 fixed[j].field, differences->items[i].old,
						 differences->items[i].new, fixed[j].why);
	return 0;
}

/* What becomes of its root file systems, as far as phoenix-host has told which there are. */
static size_t describe_roots(const Phoenix__ContainerObservation *seen,
			     const Phoenix__ContainerSpec *new, char **changes)
{
	size_t count = 0;

	if (seen && rebuild_is_root(seen->image, seen->clone_method, new->image, new->clone)) {
		changes[count++] = ph_strdup("root file system: it is made so already, and stays");
		return count;
	}
	if (seen && rebuild_is_root(seen->kept_image, seen->kept_clone_method, new->image, new->clone)) {
		changes[count++] = ph_format("root file system: the kept one of image '%.64s' is taken "
					     "again, as it was left", new->image);
		return count;
	}
	changes[count++] = ph_strdup("root file system: another is made; the old one is kept, with all "
				     "that was changed in it");
	if (seen && !text_empty(seen->kept_image))
		changes[count++] = ph_format("root file system: the one that was kept before, of image "
					     "'%.64s' (%.16s), is REMOVED", seen->kept_image,
					     seen->kept_clone_method);
	return count;
}

static char **describe(const struct fleet_differences *differences, bool push_agent,
		       size_t *ret_count)
{
	char **changes = ph_alloc_array(differences->count + 1 + ROOT_CHANGES_MAXIMUM,
					sizeof(*changes));
	size_t count = 0;

	for (size_t i = 0; i < differences->count; i++)
		changes[count++] = ph_format("%s: '%.100s' -> '%.100s'", differences->items[i].field,
					     differences->items[i].old, differences->items[i].new);
	if (push_agent)
		changes[count++] = ph_strdup("agent: the controller's own is pushed again");
	*ret_count = count;
	return changes;
}

static Phoenix__RolloutItem *make_item(const struct changes_input *input,
				       const Phoenix__ContainerSpec *old,
				       const Phoenix__ContainerSpec *new,
				       const struct fleet_differences *differences)
{
	Phoenix__RolloutItem *item = ph_alloc(sizeof(*item));

	phoenix__rollout_item__init(item);
	item->name = ph_strdup(new->name);
	item->old = MESSAGE_COPY(old);
	item->new_ = MESSAGE_COPY(new);
	item->push_agent = input->push_agents;
	item->rebuild = !text_equal(old->image, new->image) || old->clone != new->clone;
	item->changes = describe(differences, input->push_agents, &item->n_changes);
	if (item->rebuild)
		item->n_changes += describe_roots(input->observed ?
							  input->observed(input->user, new->name) :
							  NULL,
						  new, item->changes + item->n_changes);
	return item;
}

/* Add one container, unless it is as it should be. */
static int add(const struct changes_input *input, const Phoenix__ContainerSpec *new,
	       Phoenix__RolloutRecord *record, struct ph_error *error)
{
	const Phoenix__ContainerSpec *old = input->current(input->user, new->name);
	struct fleet_differences differences;
	int r;

	if (!old)
		return error_set(error, -ENOENT, new->name,
				 "make it first: phoenixctl apply; or leave it out with --only",
				 "there is no container of this name: a rollout changes those that "
				 "exist");
	fleet_spec_diff(old, new, &differences);
	r = check_fixed(new->name, &differences, error);
	if (r == 0 && (differences.count || input->push_agents))
		record->items[record->n_items++] =
			make_item(input, old, new, &differences);
	fleet_differences_fini(&differences);
	return r;
}

int changes_make(const struct changes_input *input, Phoenix__RolloutRecord *record,
	      struct ph_error *error)
{
	const Phoenix__Fleet *fleet = input->fleet;
	size_t selected = 0;
	int r = 0;

	record->items = ph_alloc_array(fleet->n_containers, sizeof(*record->items));
	for (size_t i = 0; i < fleet->n_containers && r == 0; i++) {
		if (input->selects && !input->selects(input->user, fleet->containers[i]))
			continue;
		selected++;
		r = add(input, fleet->containers[i], record, error);
	}
	if (r == 0 && selected == 0)
		r = error_set(error, -ENOENT, "--only", "phoenixctl list shows names and labels",
			      "the selection is empty: no container of the fleet file is meant");
	if (r < 0)
		return r;
	changes_set_strategy(record, fleet->rollout);
	return record->n_items ? 0 : CHANGES_EMPTY;
}

void changes_set_strategy(Phoenix__RolloutRecord *record, const Phoenix__RolloutStrategy *strategy)
{
	Phoenix__RolloutStrategy defaults;

	rollout_keys_defaults(&defaults);
	record->strategy = MESSAGE_COPY(strategy ? strategy : &defaults);
}
