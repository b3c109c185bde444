/* The plan of a fleet, and what counts as drift: tables of worlds and what is to be said of them. */
#include "tests/support/cmocka.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/fleet/fleet_drift.h"
#include "controller/fleet/fleet.h"
#include "controller/fleet/plan.h"

#define HEAD "version: 1\ndefaults: {image: i}\ncontainers:\n"

/* What there is: made by one file; phase and one condition can be set for the first container. */
struct world {
	Phoenix__Fleet *there;
	Phoenix__ContainerStatus statuses[4], *list[4];
	Phoenix__Condition condition, *conditions[1];
	Phoenix__Failure failure;
	Phoenix__ProbeReply probe;
	Phoenix__Pair pairs[3], *facts[3];
	Phoenix__Image image, *images[1];
	Phoenix__ImageListReply listed;
	struct plan_world world;
};

static Phoenix__Fleet *parse(const char *text)
{
	Phoenix__Fleet *fleet;
	struct ph_error error;

	if (fleet_parse("f", text, strlen(text), &fleet, &error) < 0)
		fail_msg("%s: %s", text, error.why);
	return fleet;
}

/* A host that clones by overlay and by copy. */
static void world_facts(struct world *world)
{
	static const char *const facts[][2] = {
		{ "overlay", "works" }, { "snapshot", "the images are not on btrfs" }, { "copy", "works" },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(facts); i++) {
		phoenix__pair__init(&world->pairs[i]);
		world->pairs[i].key = (char *)facts[i][0];
		world->pairs[i].value = (char *)facts[i][1];
		world->facts[i] = &world->pairs[i];
	}
	world->probe.clone_method = (char *)"overlay";
	world->probe.facts = world->facts;
	world->probe.n_facts = ARRAY_LENGTH(facts);
}

static void world_init(struct world *world, const char *there, const char *phase)
{
	*world = (struct world){ .there = there ? parse(there) : NULL };
	phoenix__probe_reply__init(&world->probe);
	world->probe.apparmor = true;
	world_facts(world);
	phoenix__image__init(&world->image);
	world->image.name = (char *)"i";
	world->images[0] = &world->image;
	phoenix__image_list_reply__init(&world->listed);
	world->listed.n_images = 1;
	world->listed.images = world->images;
	world->world.probe = &world->probe;
	world->world.images = &world->listed;
	world->world.containers = world->list;
	for (size_t i = 0; there && i < world->there->n_containers; i++) {
		phoenix__container_status__init(&world->statuses[i]);
		world->statuses[i].spec = world->there->containers[i];
		world->statuses[i].phase = (char *)(i ? "running" : phase);
		world->list[i] = &world->statuses[i];
		world->world.container_count++;
	}
}

static void world_condition(struct world *world, const char *type, int status, const char *reason)
{
	phoenix__condition__init(&world->condition);
	world->condition.type = (char *)type;
	world->condition.reason = (char *)reason;
	world->condition.status = (Phoenix__Condition__Status)status;
	world->condition.observed = true;
	world->conditions[0] = &world->condition;
	world->statuses[0].n_conditions = 1;
	world->statuses[0].conditions = world->conditions;
}

/* "web1 change labels[old>new]!" */
static char *describe(const Phoenix__PlanReply *plan)
{
	static const char *const words[] = { "?",	"unchanged", "create", "change",
					     "repair", "refuse",    "remove", "ignore" };
	struct str text = STR_INIT;

	for (size_t i = 0; i < plan->n_items; i++) {
		const Phoenix__PlanItem *item = plan->items[i];

		str_appendf(&text, "%s%s %s", i ? "; " : "", item->container, words[item->action]);
		for (size_t j = 0; j < item->n_changes; j++)
			str_appendf(&text, " %s[%s>%s]%s", item->changes[j]->field,
				    item->changes[j]->old, item->changes[j]->new_,
				    item->changes[j]->refused ? "!" : "");
	}
	return str_take(&text);
}

static const struct plan_case {
	const char *name;
	const char *there, *phase;
	const char *file;
	bool prune, no_apparmor;
	const char *plan;
	const char *reason; /* part of the first item's reason or remedy; NULL: any */
} plan_cases[] = {
	{ "a new one", NULL, "", HEAD "- name: a\n", false, false, "a create image[>i]",
	  "no container" },
	{ "no image", NULL, "", HEAD "- {name: a, image: j}\n", false, false, "a refuse image[>j]",
	  "there is no image 'j'" },
	{ "how it is cloned", NULL, "", HEAD "- name: a\n", false, false, "a create image[>i]",
	  "cloned by overlay, the first that works" },
	{ "cloned as asked for", NULL, "", HEAD "- {name: a, clone: copy}\n", false, false,
	  "a create image[>i] clone[auto>copy]", "cloned by copy" },
	{ "a clone that cannot be made", NULL, "", HEAD "- {name: a, clone: snapshot}\n", false, false,
	  "a refuse image[>i] clone[auto>snapshot]", "not on btrfs" },
	{ "what to do about that", NULL, "", HEAD "- {name: a, clone: snapshot}\n", false, false,
	  "a refuse image[>i] clone[auto>snapshot]", "which takes overlay here" },
	{ "a clone that was made where it can no more", HEAD "- {name: a, clone: snapshot}\n",
	  "running", HEAD "- {name: a, clone: snapshot}\n", false, false, "a unchanged", NULL },
	{ "a clone that cannot change", HEAD "- name: a\n", "running",
	  HEAD "- {name: a, clone: copy}\n", false, false, "a refuse clone[auto>copy]!",
	  "cannot change" },
	{ "no AppArmor", NULL, "", HEAD "- name: a\n", false, true, "a refuse image[>i]",
	  "confinement is required" },
	{ "best effort", NULL, "", HEAD "- {name: a, confinement: best-effort}\n", false, true,
	  "a create image[>i] confinement[required>best-effort]", NULL },
	{ "the same", HEAD "- name: a\n", "running", HEAD "- name: a\n", false, false, "a unchanged",
	  NULL },
	{ "labels", HEAD "- {name: a, labels: {x: y}}\n", "running",
	  HEAD "- {name: a, labels: {x: z}}\n", false, false, "a change labels[x: y>x: z]", NULL },
	{ "Docker and labels", HEAD "- name: a\n", "running",
	  HEAD "- {name: a, labels: {x: z}, docker: {hold: false}}\n", false, false,
	  "a change labels[>x: z] docker.hold[true>false]", NULL },
	{ "an image that cannot change", HEAD "- name: a\n", "running",
	  HEAD "- {name: a, image: j, labels: {x: y}}\n", false, false,
	  "a refuse labels[>x: y] image[i>j]!", "cannot change" },
	{ "limits that cannot change", HEAD "- name: a\n", "running",
	  HEAD "- {name: a, resources: {memory: 1GiB}}\n", false, false,
	  "a refuse resources.memory[unlimited>1GiB]!", NULL },
	{ "one that was never made may change", HEAD "- name: a\n", "preparing",
	  HEAD "- {name: a, resources: {memory: 1GiB}}\n", false, false,
	  "a change resources.memory[unlimited>1GiB]", NULL },
	{ "one that was not finished", HEAD "- name: a\n", "preparing", HEAD "- name: a\n", false,
	  false, "a repair", "not finished" },
	{ "others are left", HEAD "- name: a\n- name: b\n", "running", HEAD "- name: b\n", false,
	  false, "b unchanged; a ignore", NULL },
	{ "others are pruned", HEAD "- name: a\n- name: b\n", "running", HEAD "- name: b\n", true,
	  false, "b unchanged; a remove", NULL },
};

static void plans_follow_the_table(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(plan_cases); i++) {
		const struct plan_case *one = &plan_cases[i];
		Phoenix__Fleet *fleet = parse(one->file);
		PH_AUTO_FREE char *text = NULL;
		Phoenix__PlanReply *plan;
		struct world world;

		world_init(&world, one->there, one->phase);
		world.probe.apparmor = !one->no_apparmor;
		plan = plan_make(&world.world, fleet, one->prune);
		text = describe(plan);
		if (strcmp(text, one->plan) != 0)
			fail_msg("%s: %s", one->name, text);
		if (one->reason && !strstr(plan->items[0]->reason, one->reason) &&
		    !strstr(plan->items[0]->remedy, one->reason))
			fail_msg("%s: %s", one->name, plan->items[0]->reason);
		assert_int_equal(plan->unchanged + plan->create + plan->change + plan->repair +
					 plan->refuse + plan->remove + plan->ignore,
				 plan->n_items);
		message_free(plan);
		fleet_free(fleet);
		fleet_free(world.there);
	}
}

/* Apply refuses by the same table that the plan explains by. */
static void apply_and_plan_agree(void **state)
{
	Phoenix__Fleet *old = parse(HEAD "- name: a\n");
	Phoenix__Fleet *new = parse(HEAD "- {name: a, network: {address: 10.0.0.9}}\n");
	struct ph_error error;

	assert_int_equal(plan_check_changes(old->containers[0], new->containers[0], &error),
			 -EOPNOTSUPP);
	assert_non_null(strstr(error.why, "network.address"));
	assert_int_equal(plan_check_changes(old->containers[0], old->containers[0], &error), 0);
	fleet_free(old);
	fleet_free(new);
}

static const struct drift_case {
	const char *name;
	const char *phase, *step;
	const char *condition, *reason;
	int status;
	const char *id; /* NULL: no drift */
} drift_cases[] = {
	{ "as it should be", "running", "", "Running", "InitRuns", 1, NULL },
	{ "nobody knows", "running", "", "Running", "NotObserved", 0, NULL },
	{ "stopped", "running", "", "Running", "Stopped", 2, "drift.stopped" },
	{ "while it is worked on", "running", "start", "Running", "Stopped", 2, NULL },
	{ "while it is removed", "removing", "", "Running", "Stopped", 2, NULL },
	{ "off label", "running", "", "Confined", "OffLabel", 2, "drift.unconfined" },
	{ "allowed to be off label", "running", "", "Confined", "BestEffort", 2, NULL },
	{ "policy replaced", "running", "", "ProfileCurrent", "Foreign", 2, "drift.profile" },
	{ "no agent", "running", "", "AgentConnected", "NoSession", 2, "drift.agent" },
	{ "no Docker", "running", "", "DockerResponding", "NoAnswer", 2, "drift.docker" },
	{ "not as it was verified", "running", "", "Ready", "InputsChanged", 2, "drift.verify" },
	{ "a condition of no concern", "running", "", "LikesTea", "No", 2, NULL },
};

static void drift_follows_the_table(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(drift_cases); i++) {
		const struct drift_case *one = &drift_cases[i];
		Phoenix__DriftReply *drift = ph_alloc(sizeof(*drift));
		struct world world;

		phoenix__drift_reply__init(drift);
		world_init(&world, HEAD "- name: a\n", one->phase);
		world.statuses[0].step = (char *)one->step;
		world_condition(&world, one->condition, one->status, one->reason);
		assert_int_equal(fleet_drift_find(&world.statuses[0], drift), one->id != NULL);
		if (one->id && !text_equal(drift->findings[0]->id, one->id))
			fail_msg("%s: %s", one->name, drift->findings[0]->id);
		if (one->id)
			assert_string_equal(drift->findings[0]->found, one->reason);
		message_free(drift);
		fleet_free(world.there);
	}
}

static void drivers_and_failures(void **state)
{
	Phoenix__DriftReply *drift = ph_alloc(sizeof(*drift));
	struct world world;

	phoenix__drift_reply__init(drift);
	world_init(&world, HEAD "- {name: a, storage: {driver: overlay2}}\n", "failed");
	phoenix__failure__init(&world.failure);
	world.failure.what = (char *)"apply a";
	world.failure.why = (char *)"no space";
	world.statuses[0].failure = &world.failure;
	world.statuses[0].storage_driver = (char *)"fuse-overlayfs";
	assert_int_equal(fleet_drift_find(&world.statuses[0], drift), 2);
	assert_string_equal(drift->findings[0]->id, "drift.failed");
	assert_string_equal(drift->findings[0]->found, "apply a: no space");
	assert_string_equal(drift->findings[1]->id, "drift.storage-driver");
	assert_true(fleet_drift_is_repairable(&world.statuses[0]));
	message_free(drift);
	fleet_free(world.there);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plans_follow_the_table),
		cmocka_unit_test(apply_and_plan_agree),
		cmocka_unit_test(drift_follows_the_table),
		cmocka_unit_test(drivers_and_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
