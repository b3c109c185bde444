/*
 * One table says what a change of each field means; apply refuses by it and the plan explains by it,
 * so they cannot disagree.
 */
#include "controller/fleet/plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/fleet/fleet_drift.h"
#include "controller/fleet/fleet.h"

#define ACTION(name) PHOENIX__PLAN_ITEM__ACTION__##name
#define FIXED_REMEDY                                                                               \
	"phoenixctl rollout start -f FILE carries image, clone method, limits and confinement over; "  \
	"for the rest remove the container and apply again: its Docker data goes with it"
#define VERIFIES "dockerd is restarted when something it reads has changed, and verified"

static const struct plan_effect effects[] = {
	{ "labels", "taken over; nothing inside is touched", false },
	{ "image", "another root file system has to be made: a rollout does that", true },
	{ "confinement", "a label comes with the start, from what the container was made with", true },
	{ "resources.memory", "limits are given when the container is made", true },
	{ "resources.cpus", "limits are given when the container is made", true },
	{ "resources.pids", "limits are given when the container is made", true },
	{ "network.address", "the address is given when the container is made", true },
	{ "transport", "the profile that allows it comes with the container", true },
	{ "clone", "another root file system has to be made: a rollout does that", true },
	{ "storage.driver", "Docker moves to it where no image is lost; verified", false },
	{ "storage.allow_vfs", "a consent; nothing changes by itself", false },
	{ "storage.allow_image_loss", "a consent; nothing changes by itself", false },
	{ "docker.source", "Docker is installed from there; none removes nothing", false },
	{ "docker.version", "the set of Docker's packages is installed in that version", false },
	{ "docker.hold", "the packages are held or released", false },
	{ "docker.daemon", "merged into daemon.json; " VERIFIES, false },
	{ "docker.daemon_override", "decides whose keys of daemon.json win; " VERIFIES, false },
	{ "docker.users", "the members of the group docker change", false },
	{ "docker.bundle", "Docker is installed from that bundle", false },
};
static const struct plan_effect other = { "", "taken over; the container is verified again", false };

const struct plan_effect *plan_effect_of(const char *field)
{
	for (size_t i = 0; i < ARRAY_LENGTH(effects); i++)
		if (text_equal(effects[i].field, field))
			return &effects[i];
	return &other;
}

/* ---- what apply refuses ---- */

int plan_check_host(const Phoenix__ProbeReply *probe, const Phoenix__ContainerSpec *spec,
		    struct ph_error *error)
{
	if (spec->confinement != PHOENIX__CONFINEMENT__CONFINEMENT_REQUIRED || probe->apparmor)
		return 0;
	return error_set(error, -EOPNOTSUPP, spec->name, probe->apparmor_remedy,
			 "confinement is required, but this host cannot enforce it: %s",
			 probe->apparmor_reason);
}

int plan_check_image(const Phoenix__ImageListReply *images, const Phoenix__ContainerSpec *spec,
		     struct ph_error *error)
{
	char remedy[256];

	for (size_t i = 0; i < images->n_images; i++)
		if (text_equal(images->images[i]->name, spec->image))
			return 0;
	snprintf(remedy, sizeof(remedy), "phoenixctl image import %s ROOTFS.tar, or: phoenixctl "
		 "image build %s --suite bookworm", spec->image, spec->image);
	return error_set(error, -ENOENT, spec->name, remedy, "there is no image '%s'",
			 spec->image);
}

int plan_check_clone(const Phoenix__ProbeReply *probe, const Phoenix__ContainerSpec *spec,
		     struct ph_error *error)
{
	const char *method = fleet_clone_name(spec->clone);
	char remedy[128];

	for (size_t i = 0; i < probe->n_facts; i++) {
		const Phoenix__Pair *fact = probe->facts[i];

		if (!text_equal(fact->key, method) || text_equal(fact->value, "works"))
			continue;
		snprintf(remedy, sizeof(remedy), "write 'clone: auto', which takes %.20s here, or put "
			 "state_dir where it works", probe->clone_method);
		return error_set(error, -EOPNOTSUPP, spec->name, remedy,
				 "a clone by %s cannot be made on this host: %s", method,
				 fact->value);
	}
	return 0;
}

int plan_check_changes(const Phoenix__ContainerSpec *old, const Phoenix__ContainerSpec *new,
		       struct ph_error *error)
{
	struct fleet_differences differences;
	int r = 0;

	fleet_spec_diff(old, new, &differences);
	for (size_t i = 0; i < differences.count && r == 0; i++)
		if (plan_effect_of(differences.items[i].field)->is_fixed)
			r = error_set(error, -EOPNOTSUPP, new->name, FIXED_REMEDY,
				      "%s of a container that exists cannot change from '%s' to "
				      "'%s'",
				      differences.items[i].field, differences.items[i].old,
				      differences.items[i].new);
	fleet_differences_fini(&differences);
	return r;
}

int plan_refuse_adopted(const char *name, struct ph_error *error)
{
	return error_set(error, -EEXIST, name,
			 "choose another name, or give it back: phoenixctl unadopt",
			 "an adopted container has this name, and its owner made it");
}

/* ---- the plan ---- */

static uint32_t *counter_of(Phoenix__PlanReply *reply, Phoenix__PlanItem__Action action)
{
	switch (action) {
	case ACTION(CREATE):
		return &reply->create;
	case ACTION(CHANGE):
		return &reply->change;
	case ACTION(REPAIR):
		return &reply->repair;
	case ACTION(REFUSE):
		return &reply->refuse;
	case ACTION(REMOVE):
		return &reply->remove;
	case ACTION(IGNORE):
		return &reply->ignore;
	default:
		return &reply->unchanged;
	}
}

static Phoenix__PlanItem *add_item(Phoenix__PlanReply *reply, const char *container)
{
	Phoenix__PlanItem *item = ph_alloc(sizeof(*item));

	phoenix__plan_item__init(item);
	message_set_text(&item->container, container);
	reply->items = ph_realloc(reply->items, (reply->n_items + 1) * sizeof(*reply->items));
	reply->items[reply->n_items++] = item;
	return item;
}

static void decide(Phoenix__PlanItem *item, Phoenix__PlanItem__Action action, const char *reason,
		   const char *remedy)
{
	item->action = action;
	message_set_text(&item->reason, reason);
	message_set_text(&item->remedy, remedy);
}

static void refuse(Phoenix__PlanItem *item, const struct ph_error *error)
{
	decide(item, ACTION(REFUSE), error->why, error->remedy);
}

static void add_change(Phoenix__PlanItem *item, const struct fleet_difference *difference,
		       const char *reason, bool refused)
{
	Phoenix__PlanChange *change = ph_alloc(sizeof(*change));

	phoenix__plan_change__init(change);
	message_set_text(&change->field, difference->field);
	message_set_text(&change->old, difference->old);
	message_set_text(&change->new_, difference->new);
	message_set_text(&change->reason, reason);
	change->refused = refused;
	item->changes = ph_realloc(item->changes, (item->n_changes + 1) * sizeof(*item->changes));
	item->changes[item->n_changes++] = change;
}

/* Of a new container only what is not as by default is worth a line. */
static void add_wishes(const Phoenix__ContainerSpec *spec, Phoenix__PlanItem *item)
{
	Phoenix__ContainerSpec usual = PHOENIX__CONTAINER_SPEC__INIT;
	Phoenix__Resources resources = PHOENIX__RESOURCES__INIT;
	struct fleet_differences differences;

	resources.pids = FLEET_PIDS_DEFAULT;
	usual.resources = &resources;
	usual.name = spec->name;
	usual.storage_driver = (char *)"fuse-overlayfs";
	usual.docker_source = (char *)"distribution";
	fleet_spec_diff(&usual, spec, &differences);
	for (size_t i = 0; i < differences.count; i++)
		add_change(item, &differences.items[i], "", false);
	fleet_differences_fini(&differences);
}

static void plan_new(const struct plan_world *world, const Phoenix__ContainerSpec *spec,
		     Phoenix__PlanItem *item)
{
	bool is_auto = spec->clone == PHOENIX__CLONE_METHOD__CLONE_AUTO;
	struct ph_error error;
	char reason[128];

	snprintf(reason, sizeof(reason), "there is no container of this name; cloned by %.20s%s",
		 is_auto ? world->probe->clone_method : fleet_clone_name(spec->clone),
		 is_auto ? ", the first that works on this host" : "");
	decide(item, ACTION(CREATE), reason, "");
	if (plan_check_host(world->probe, spec, &error) < 0 ||
	    plan_check_clone(world->probe, spec, &error) < 0 ||
	    plan_check_image(world->images, spec, &error) < 0)
		refuse(item, &error);
	add_wishes(spec, item);
}

/* As it is written, but perhaps not as it is: then apply repairs. */
static void plan_same(const Phoenix__ContainerStatus *status, Phoenix__PlanItem *item)
{
	Phoenix__DriftReply drift = PHOENIX__DRIFT_REPLY__INIT;

	decide(item, ACTION(UNCHANGED), "", "");
	if (fleet_drift_find(status, &drift) > 0)
		decide(item, ACTION(REPAIR), drift.findings[0]->found, drift.findings[0]->repair);
	else if (text_equal(status->phase, "preparing"))
		decide(item, ACTION(REPAIR), "it was not finished", "apply goes on where it stopped");
	for (size_t i = 0; i < drift.n_findings; i++)
		message_free(drift.findings[i]);
	free(drift.findings);
}

static void plan_present(const struct plan_world *world, const Phoenix__ContainerStatus *status,
			 const Phoenix__ContainerSpec *spec, Phoenix__PlanItem *item)
{
	bool is_whole = !text_equal(status->phase, "preparing");
	struct fleet_differences differences;
	struct ph_error error;

	fleet_spec_diff(status->spec, spec, &differences);
	if (differences.count == 0)
		plan_same(status, item);
	else
		decide(item, ACTION(CHANGE), "the file asks for something else", "");
	if (plan_check_host(world->probe, spec, &error) < 0 ||
	    (status->adoption && plan_refuse_adopted(spec->name, &error) < 0)) {
		refuse(item, &error);
		fleet_differences_fini(&differences);
		return;
	}
	for (size_t i = 0; i < differences.count; i++) {
		const struct plan_effect *effect = plan_effect_of(differences.items[i].field);
		bool is_refused = effect->is_fixed && is_whole;

		add_change(item, &differences.items[i], effect->effect, is_refused);
		if (is_refused)
			decide(item, ACTION(REFUSE), "what cannot change in a container that exists "
			       "would have to", FIXED_REMEDY);
	}
	fleet_differences_fini(&differences);
}

static const Phoenix__ContainerStatus *find(const struct plan_world *world, const char *name)
{
	for (size_t i = 0; i < world->container_count; i++)
		if (text_equal(world->containers[i]->spec->name, name))
			return world->containers[i];
	return NULL;
}

static bool is_named(const Phoenix__Fleet *fleet, const char *name)
{
	for (size_t i = 0; i < fleet->n_containers; i++)
		if (text_equal(fleet->containers[i]->name, name))
			return true;
	return false;
}

Phoenix__PlanReply *plan_make(const struct plan_world *world, const Phoenix__Fleet *fleet,
			      bool prune)
{
	Phoenix__PlanReply *reply = ph_alloc(sizeof(*reply));

	phoenix__plan_reply__init(reply);
	for (size_t i = 0; i < fleet->n_containers; i++) {
		const Phoenix__ContainerSpec *spec = fleet->containers[i];
		const Phoenix__ContainerStatus *status = find(world, spec->name);
		Phoenix__PlanItem *item = add_item(reply, spec->name);

		if (status)
			plan_present(world, status, spec, item);
		else
			plan_new(world, spec, item);
	}
	for (size_t i = 0; i < world->container_count; i++) {
		const char *name = world->containers[i]->spec->name;

		if (is_named(fleet, name) || world->containers[i]->adoption)
			continue;
		decide(add_item(reply, name), prune ? ACTION(REMOVE) : ACTION(IGNORE),
		       "the file does not name it",
		       prune ? "its Docker data goes with it" : "apply leaves it alone");
	}
	for (size_t i = 0; i < reply->n_items; i++)
		++*counter_of(reply, reply->items[i]->action);
	return reply;
}
