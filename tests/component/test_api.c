/*
 * Plan, Drift, Foreign and Adopt through phoenixd's socket, with a fake phoenix-host and fake agents behind
 * their own: what is asked of whom, what is changed (nothing, but for the record of an adopted one), and
 * the answer when somebody fails or leaves. Confine has a file of its own: test_confine_rollout.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/container/adopt.h"
#include "tests/support/cmocka.h"
#include "tests/support/world.h"

#define ACTION(name) PHOENIX__PLAN_ITEM__ACTION__##name

static void fill_spec(Phoenix__ContainerSpec *spec, Phoenix__Resources *resources, const char *name)
{
	phoenix__resources__init(resources);
	phoenix__container_spec__init(spec);
	resources->pids = 4096;
	spec->resources = resources;
	spec->name = (char *)name;
	spec->image = (char *)"bookworm";
	spec->storage_driver = (char *)"fuse-overlayfs";
	spec->docker_source = (char *)"distribution";
}

static struct world *world_with_web1(void)
{
	struct world *world = world_new();
	Phoenix__ContainerSpec spec;
	Phoenix__Resources resources;

	fill_spec(&spec, &resources, "web1");
	world_run(world, &operation_apply, "web1", &spec);
	assert_int_equal(world->error.code, 0);
	return world;
}

/* ---- plan ---- */

/* The plan of a fleet of one container of that name and image, which may be NULL for as it is. */
static int plan(struct world *world, const char *name, const char *image, bool prune)
{
	Phoenix__PlanRequest request = PHOENIX__PLAN_REQUEST__INIT;
	Phoenix__Fleet fleet = PHOENIX__FLEET__INIT;
	Phoenix__ContainerSpec spec, *specs[] = { &spec };
	Phoenix__Resources resources;

	fill_spec(&spec, &resources, name);
	if (image)
		spec.image = (char *)image;
	fleet.version = 1;
	fleet.n_containers = 1;
	fleet.containers = specs;
	request.fleet = &fleet;
	request.prune = prune;
	return world_call(world, "Plan", &request.base);
}

static void a_plan_says_what_apply_would_do(void **state)
{
	static const struct {
		const char *name, *image;
		bool prune;
		unsigned int action; /* of the fleet's own container */
		size_t items;        /* with those that the fleet does not name */
		unsigned int other;  /* of the second item */
	} cases[] = {
		{ "web1", NULL, false, ACTION(UNCHANGED), 1, 0 },
		{ "web1", "trixie", false, ACTION(REFUSE), 1, 0 },
		{ "web2", NULL, false, ACTION(CREATE), 2, ACTION(IGNORE) },
		{ "web2", NULL, true, ACTION(CREATE), 2, ACTION(REMOVE) },
		{ "web2", "absent", false, ACTION(REFUSE), 2, ACTION(IGNORE) },
	};
	struct world *world = world_with_web1();
	unsigned int writes = world->host.writes;

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		const Phoenix__PlanReply *reply;

		if (plan(world, cases[i].name, cases[i].image, cases[i].prune) < 0)
			fail_msg("case %zu: %s", i, world->error.why);
		reply = (const Phoenix__PlanReply *)world->reply;
		if (reply->n_items != cases[i].items || reply->items[0]->action != cases[i].action ||
		    (cases[i].items > 1 && reply->items[1]->action != cases[i].other))
			fail_msg("case %zu: %zu items, action %d: %s", i, reply->n_items,
				 reply->items[0]->action, reply->items[0]->reason);
	}
	assert_int_equal(world->host.writes, writes);
	assert_null(registry_find(world->registry, "web2"));
	world_free(world);
}

/* It looks afresh: a container that has stopped since is one to repair. */
static void a_plan_looks_afresh(void **state)
{
	struct world *world = world_with_web1();
	const Phoenix__PlanReply *reply;

	fake_host_find(&world->host, "web1")->running = false;
	assert_int_equal(plan(world, "web1", NULL, false), 0);
	reply = (const Phoenix__PlanReply *)world->reply;
	assert_int_equal(reply->items[0]->action, ACTION(REPAIR));
	assert_int_equal(reply->repair, 1);
	world_free(world);
}

static void bad_plans_are_refused(void **state)
{
	static const char *const verbs[] = { "Probe", "ImageList" };
	Phoenix__PlanRequest empty = PHOENIX__PLAN_REQUEST__INIT;
	struct world *world = world_with_web1();

	assert_int_equal(world_call(world, "Plan", &empty.base), -EINVAL);
	assert_int_equal(plan(world, "../web", NULL, false), -EINVAL);
	for (size_t i = 0; i < ARRAY_LENGTH(verbs); i++) {
		world->host.fail_verb = verbs[i];
		world->host.fail_count = 1;
		assert_int_equal(plan(world, "web1", NULL, false), -EIO);
		assert_non_null(strstr(world->error.why, "told to fail"));
	}
	assert_int_equal(plan(world, "web1", NULL, false), 0);
	world->host.apparmor = false; /* what is required cannot be had here any more */
	assert_int_equal(plan(world, "web2", NULL, false), 0);
	assert_int_equal(((const Phoenix__PlanReply *)world->reply)->items[0]->action, ACTION(REFUSE));
	world_free(world);
}

static void a_plan_refuses_adopted_names(void **state)
{
	struct world *world = world_new();
	const Phoenix__PlanReply *reply;

	world_adopt(world, "old", 1);
	assert_int_equal(plan(world, "old", NULL, false), 0);
	reply = (const Phoenix__PlanReply *)world->reply;
	assert_int_equal(reply->items[0]->action, ACTION(REFUSE));
	assert_int_equal(plan(world, "web1", NULL, true), 0); /* nor does --prune want it */
	reply = (const Phoenix__PlanReply *)world->reply;
	assert_int_equal(reply->remove, 0);
	world_free(world);
}

/* ---- drift ---- */

static const Phoenix__DriftReply *drift(struct world *world, const char *selector)
{
	Phoenix__DriftRequest request = PHOENIX__DRIFT_REQUEST__INIT;

	request.selector = (char *)selector;
	if (world_call(world, "Drift", &request.base) < 0)
		return NULL;
	return (const Phoenix__DriftReply *)world->reply;
}

static void drift_is_found_and_can_be_repaired(void **state)
{
	struct world *world = world_with_web1();
	const Phoenix__DriftReply *reply = drift(world, "");

	assert_int_equal(reply->containers, 1);
	assert_int_equal(reply->n_findings + reply->n_repairs, 0);
	fake_host_find(&world->host, "web1")->running = false;
	reply = drift(world, "web1");
	assert_int_equal(reply->n_repairs, 1);
	assert_string_equal(reply->repairs[0]->name, "web1");
	assert_string_equal(reply->findings[0]->id, "drift.stopped");
	assert_true(reply->findings[0]->observed);
	assert_null(drift(world, "web2"));
	assert_int_equal(world->error.code, -ENOENT);
	assert_null(drift(world, "role=web"));
	assert_int_equal(world->error.code, -ENOENT);
	assert_null(drift(world, "a=b=c"));
	assert_int_equal(world->error.code, -EINVAL);
	world_free(world);
}

/* A phoenix-host that does not answer is no drift: what was seen last is shown. */
static void drift_without_the_host(void **state)
{
	struct world *world = world_with_web1();
	const Phoenix__DriftReply *reply;

	world->host.fail_verb = "ContainerList";
	world->host.fail_count = 1;
	reply = drift(world, "");
	assert_non_null(reply);
	assert_int_equal(reply->n_findings, 0);
	world_free(world);
}

/* ---- adopt ---- */

static int adopt(struct world *world, const char *name)
{
	Phoenix__AdoptOrder order = PHOENIX__ADOPT_ORDER__INIT;

	order.lxc_path = (char *)"/var/lib/lxc";
	order.name = (char *)name;
	return world_call(world, "Adopt", &order.base);
}

static void adopting_shows_what_was_found(void **state)
{
	struct world *world = world_with_web1();
	Phoenix__ForeignListRequest request = PHOENIX__FOREIGN_LIST_REQUEST__INIT;
	const Phoenix__ForeignListReply *list;
	const Phoenix__AdoptItem *item;
	unsigned int starts = world->agent.starts;

	fake_host_add_foreign(&world->host, "old", 2);
	request.name = (char *)"old";
	assert_int_equal(world_call(world, "Foreign", &request.base), 0);
	list = (const Phoenix__ForeignListReply *)world->reply;
	assert_int_equal(list->n_containers, 1);
	assert_false(list->containers[0]->adopted);
	assert_null(registry_find(world->registry, "old")); /* looking takes nothing over */
	assert_int_equal(adopt(world, "old"), 0);
	item = (const Phoenix__AdoptItem *)world->reply;
	assert_true(item->found->adopted);
	assert_int_equal(item->found->n_images, 2);
	assert_string_equal(item->status->phase, CONTAINER_PHASE_ADOPTED);
	assert_string_equal(item->status->adoption->profile_before, "unconfined");
	assert_int_equal(adopt(world, "old"), 0); /* twice is once */
	assert_int_equal(world->agent.starts, starts);
	world_close(world);
	world_open(world);
	assert_true(adopt_is(registry_find(world->registry, "old")));
	world_free(world);
}

static void what_cannot_be_adopted_leaves_no_record(void **state)
{
	struct world *world = world_with_web1();

	assert_int_equal(adopt(world, "absent"), -ENOENT);
	assert_null(registry_find(world->registry, "absent"));
	fake_host_add_foreign(&world->host, "old", 0);
	assert_int_equal(adopt(world, "web1"), -EEXIST); /* ours has that name */
	assert_false(adopt_is(registry_find(world->registry, "web1")));
	world->host.fail_verb = "Adopt";
	world->host.fail_count = 1;
	assert_int_equal(adopt(world, "old"), -EIO);
	assert_null(registry_find(world->registry, "old"));
	assert_int_equal(adopt(world, "old"), 0);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plan_says_what_apply_would_do),
		cmocka_unit_test(a_plan_looks_afresh),
		cmocka_unit_test(bad_plans_are_refused),
		cmocka_unit_test(a_plan_refuses_adopted_names),
		cmocka_unit_test(drift_is_found_and_can_be_repaired),
		cmocka_unit_test(drift_without_the_host),
		cmocka_unit_test(adopting_shows_what_was_found),
		cmocka_unit_test(what_cannot_be_adopted_leaves_no_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
