/*
 * Rollouts that give containers another image or clone method, against a fake phoenix-host and fake
 * agents: to the end and back, an image that nothing starts on, killed at every transition, the plan,
 * what is refused before anything is touched, and what is kept until it is discarded.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/fleet/rollout_keys.h"
#include "controller/rollout/engine.h"
#include "tests/support/cmocka.h"
#include "tests/support/world.h"

#define CONTAINERS 2
#define ITEM(name) PHOENIX__ROLLOUT_ITEM__STATE__##name
#define ROLLOUT(name) PHOENIX__ROLLOUT_RECORD__STATE__##name
#define COMMAND(name) PHOENIX__ROLLOUT_COMMAND_REQUEST__COMMAND__##name
#define METHOD(name) PHOENIX__CLONE_METHOD__CLONE_##name

static const char *const names[CONTAINERS] = { "web1", "web2" };

/* What a test has besides its world, whose user it is. */
struct trial {
	struct rollout_watcher watcher;
	Phoenix__RolloutStrategy strategy;
	unsigned int transitions, kill_at; /* kill_at 0: never */
};

static struct trial *trial_of(struct world *world)
{
	return world->user;
}

static void fill_spec(Phoenix__ContainerSpec *spec, size_t i, const char *image,
		      Phoenix__CloneMethod method)
{
	phoenix__container_spec__init(spec);
	spec->name = (char *)names[i];
	spec->image = (char *)image;
	spec->clone = method;
	spec->storage_driver = (char *)"fuse-overlayfs";
	spec->docker_source = (char *)"distribution";
}

static struct world *fleet_new(void)
{
	struct world *world = world_new();
	struct trial *trial = ph_alloc(sizeof(*trial));

	world->user = trial;
	world->host.other_image = "trixie";
	for (size_t i = 0; i < CONTAINERS; i++) {
		Phoenix__ContainerSpec spec;

		fill_spec(&spec, i, "bookworm", METHOD(AUTO));
		world_run(world, &operation_apply, names[i], &spec);
		if (error_is_set(&world->error))
			fail_msg("apply %s: %s", names[i], world->error.why);
	}
	rollout_keys_defaults(&trial->strategy);
	trial->strategy.soak_ms = trial->strategy.canary_soak_ms = 0;
	return world;
}

static void fleet_free(struct world *world)
{
	struct trial *trial = world->user;

	rollout_unwatch(&trial->watcher);
	world_free(world);
	free(trial);
}

static struct fake_container *real(struct world *world, size_t i)
{
	return fake_host_find(&world->host, names[i]);
}

static struct rollout *newest(struct world *world)
{
	return rollouts_find(world->rollouts, "");
}

static unsigned int state_of(struct world *world)
{
	Phoenix__RolloutStatus *status = rollout_status(newest(world), false);
	unsigned int state = status->rollout->state;

	message_free(status);
	return state;
}

static bool is_over(struct world *world)
{
	return state_of(world) >= ROLLOUT(DONE);
}

static bool is_over_or_killed(struct world *world)
{
	return world->is_killed || is_over(world);
}

static void changed(void *user, const Phoenix__RolloutStatus *status)
{
	struct world *world = user;
	struct trial *trial = trial_of(world);

	if (++trial->transitions == trial->kill_at)
		world->is_killed = true;
}

static void ended(void *user)
{
}

/* A fleet of both that wants another image and method. */
static int start(struct world *world, const char *image, Phoenix__CloneMethod method, bool plan_only,
		 Phoenix__RolloutStatus **ret_status, struct ph_error *error)
{
	Phoenix__Fleet fleet = PHOENIX__FLEET__INIT;
	Phoenix__ContainerSpec specs[CONTAINERS], *pointers[CONTAINERS];
	const struct rollouts_order order = { &fleet, "", false, plan_only };

	for (size_t i = 0; i < CONTAINERS; i++) {
		fill_spec(&specs[i], i, image, method);
		pointers[i] = &specs[i];
	}
	fleet.version = 1;
	fleet.n_containers = CONTAINERS;
	fleet.containers = pointers;
	fleet.rollout = &trial_of(world)->strategy;
	return rollouts_start(world->rollouts, &order, ret_status, error);
}

static void begin(struct world *world, const char *image, Phoenix__CloneMethod method)
{
	struct trial *trial = trial_of(world);
	Phoenix__RolloutStatus *status = NULL;
	struct ph_error error;

	world->is_killed = false;
	if (start(world, image, method, false, &status, &error) != 0)
		fail_msg("start: %s", error.why);
	message_free(status);
	trial->watcher = (struct rollout_watcher){ .changed = changed, .ended = ended, .user = world };
	rollout_watch(newest(world), &trial->watcher);
}

static void assert_items(struct world *world, unsigned int first, unsigned int second)
{
	const unsigned int states[] = { first, second };
	Phoenix__RolloutStatus *status = rollout_status(newest(world), true);

	for (size_t i = 0; i < CONTAINERS; i++)
		if (status->items[i]->state != states[i])
			fail_msg("%s is %s (%s)", status->items[i]->name,
				 states_name(&rollout_item_states, status->items[i]->state),
				 status->items[i]->failure ? status->items[i]->failure->why : "");
	message_free(status);
}

/* One rollout to its end, in which all is done. */
static void roll(struct world *world, const char *image, Phoenix__CloneMethod method)
{
	begin(world, image, method);
	world_run_until(world, is_over);
	assert_items(world, ITEM(DONE), ITEM(DONE));
}

static int revert(struct world *world, struct ph_error *error)
{
	return rollouts_command(newest(world), COMMAND(REVERT), error);
}

static void roll_back(struct world *world)
{
	struct ph_error error;

	if (revert(world, &error) < 0)
		fail_msg("revert: %s", error.why);
	world_run_until(world, is_over);
	assert_int_equal(state_of(world), ROLLOUT(REVERTED));
	assert_items(world, ITEM(REVERTED), ITEM(REVERTED));
}

/* After a restart their agents come back by and by. */
static bool are_ready(struct world *world)
{
	for (size_t i = 0; i < CONTAINERS; i++)
		if (!container_is_ready(registry_find(world->registry, names[i])))
			return false;
	return world_is_idle(world);
}

/* The serial numbers of the roots that they run on; they are well. */
static void assert_roots(struct world *world, unsigned int first, unsigned int second)
{
	const unsigned int serials[] = { first, second };

	world_run_until(world, are_ready);

	for (size_t i = 0; i < CONTAINERS; i++) {
		const struct container *container = registry_find(world->registry, names[i]);

		if (real(world, i)->root.serial != serials[i] || !real(world, i)->running)
			fail_msg("%s: root %u of %s", names[i], real(world, i)->root.serial,
				 real(world, i)->root.image);
		assert_string_equal(container->record->spec->image, real(world, i)->root.image);
		assert_true(container_is(container, CONTAINER_PHASE_RUNNING));
	}
}

/* ---- tests ---- */

static void there_and_back(void **state)
{
	struct world *world = fleet_new();
	char address[16];

	text_copy(address, sizeof(address), registry_find(world->registry, "web1")->record->address);
	roll(world, "trixie", METHOD(AUTO));
	assert_roots(world, 3, 4);
	assert_string_equal(registry_find(world->registry, "web1")->record->address, address);
	roll_back(world);
	assert_roots(world, 1, 2); /* the very ones */
	roll(world, "trixie", METHOD(AUTO));
	assert_roots(world, 3, 4);
	fleet_free(world);
}

/* "auto" was overlay: going back is to the overlay, though the copy would do for "auto" as well. */
static void another_method_and_back(void **state)
{
	struct world *world = fleet_new();

	roll(world, "bookworm", METHOD(COPY));
	assert_roots(world, 3, 4);
	assert_string_equal(real(world, 0)->root.method, "copy");
	roll_back(world);
	assert_roots(world, 1, 2);
	assert_string_equal(real(world, 0)->root.method, "overlay");
	assert_int_equal(registry_find(world->registry, "web1")->record->spec->clone, METHOD(AUTO));
	/* What is so already is only written down. */
	roll(world, "bookworm", METHOD(OVERLAY));
	assert_roots(world, 1, 2);
	roll_back(world);
	assert_roots(world, 1, 2);
	fleet_free(world);
}

/* The first one goes back by itself, the other is not touched; the failed root is there to be looked at. */
static void an_image_that_nothing_starts_on(void **state)
{
	struct world *world = fleet_new();

	world->host.bad_image = "trixie";
	begin(world, "trixie", METHOD(AUTO));
	world_run_until(world, is_over);
	assert_int_equal(state_of(world), ROLLOUT(HALTED));
	assert_items(world, ITEM(REVERTED), ITEM(CHECKED));
	assert_roots(world, 1, 2);
	assert_string_equal(real(world, 0)->kept.image, "trixie");
	assert_string_equal(real(world, 1)->kept.image, "");
	fleet_free(world);
}

/* The new root could not even be made: the container has not noticed. */
static void one_that_was_not_touched_runs_on(void **state)
{
	struct world *world = fleet_new();
	char incarnation[64];

	text_copy(incarnation, sizeof(incarnation),
		  registry_find(world->registry, "web1")->record->incarnation);
	world->host.fail_verb = "ContainerRebuild";
	world->host.fail_count = 1;
	begin(world, "trixie", METHOD(AUTO));
	world_run_until(world, is_over);
	assert_int_equal(state_of(world), ROLLOUT(HALTED));
	assert_items(world, ITEM(REVERTED), ITEM(CHECKED));
	assert_roots(world, 1, 2);
	assert_string_equal(registry_find(world->registry, "web1")->record->incarnation, incarnation);
	fleet_free(world);
}

/* What is done goes back as well, in the rollout itself. */
static void everything_goes_back(void **state)
{
	struct world *world = fleet_new();

	trial_of(world)->strategy.on_failure = PHOENIX__ROLLOUT_STRATEGY__ON_FAILURE__REVERT;
	real(world, 1)->fails_on_image = "trixie";
	begin(world, "trixie", METHOD(AUTO));
	world_run_until(world, is_over);
	assert_int_equal(state_of(world), ROLLOUT(REVERTED));
	assert_items(world, ITEM(REVERTED), ITEM(REVERTED));
	assert_roots(world, 1, 2);
	fleet_free(world);
}

static void begin_anew(struct world *world)
{
	rollout_unwatch(&trial_of(world)->watcher);
	world_close(world);
	world_open(world);
	world_bring_agents_back(world);
}

/* web1 gets its new root, web2 cannot start on it: the same end wherever phoenixd is killed. */
static void killed_at_every_transition(void **state)
{
	unsigned int total = UINT32_MAX;

	for (unsigned int kill_at = 0; kill_at < total; kill_at++) {
		struct world *world = fleet_new();
		struct trial *trial = trial_of(world);

		real(world, 1)->fails_on_image = "trixie";
		trial->kill_at = kill_at;
		begin(world, "trixie", METHOD(AUTO));
		world_run_until(world, is_over_or_killed);
		if (kill_at) {
			begin_anew(world);
			world_run_until(world, is_over);
		} else {
			total = trial->transitions;
		}
		if (state_of(world) != ROLLOUT(HALTED))
			fail_msg("killed at transition %u: %s", kill_at,
				 states_name(&rollout_states, state_of(world)));
		assert_items(world, ITEM(DONE), ITEM(REVERTED));
		assert_roots(world, 3, 2);
		assert_int_equal(world->host.roots, 4);
		fleet_free(world);
	}
	assert_true(total > 12);
}

/* A revert that could not start it is tried again, and still knows which root was the old one. */
static void a_revert_that_failed_is_made_again(void **state)
{
	struct world *world = fleet_new();
	Phoenix__RolloutAmount both = PHOENIX__ROLLOUT_AMOUNT__INIT;
	struct ph_error error;

	both.count = CONTAINERS;
	trial_of(world)->strategy.max_unavailable = &both;
	roll(world, "bookworm", METHOD(COPY));
	world->host.fail_verb = "ContainerStart";
	world->host.fail_count = 2;
	assert_int_equal(revert(world, &error), 0);
	world_run_until(world, is_over);
	assert_int_equal(state_of(world), ROLLOUT(REVERT_FAILED));
	assert_int_equal(real(world, 0)->root.serial, 1);
	assert_int_equal(revert(world, &error), 0);
	world_run_until(world, is_over);
	assert_int_equal(state_of(world), ROLLOUT(REVERTED));
	assert_roots(world, 1, 2);
	fleet_free(world);
}

static int discard(struct world *world, const char *selector)
{
	Phoenix__NameRequest request = PHOENIX__NAME_REQUEST__INIT;

	request.name = (char *)selector;
	return world_call(world, "Discard", &request.base);
}

/* What was discarded cannot be gone back to, and that is said before anything is touched. */
static void discarded_is_no_way_back(void **state)
{
	struct world *world = fleet_new();
	struct ph_error error;

	assert_int_equal(discard(world, ""), -EINVAL);
	assert_int_equal(discard(world, "web9"), -ENOENT);
	begin(world, "trixie", METHOD(AUTO));
	assert_int_equal(discard(world, "web1"), -EBUSY);
	assert_non_null(strstr(world->error.why, "has its hands on this container"));
	world_run_until(world, is_over);
	assert_int_equal(discard(world, "web2"), 0);
	assert_string_equal(real(world, 1)->kept.image, "");
	assert_string_equal(real(world, 0)->kept.image, "bookworm");
	assert_int_equal(revert(world, &error), -ESTALE);
	assert_string_equal(error.where, "web2");
	assert_non_null(strstr(error.why, "was discarded or replaced since"));
	assert_roots(world, 3, 4);
	assert_int_equal(state_of(world), ROLLOUT(DONE));
	fleet_free(world);
}

static void adopted_ones_have_nothing_to_discard(void **state)
{
	struct world *world = fleet_new();

	world_adopt(world, "box1", 1);
	assert_int_equal(discard(world, "box1"), -EINVAL);
	assert_int_equal(discard(world, "*"), -EINVAL);
	fleet_free(world);
}

/* One of the same image that another rollout has left is not the one that this rollout has left. */
static void another_one_of_that_image_is_no_way_back(void **state)
{
	struct world *world = fleet_new();
	Phoenix__RolloutStatus *status;
	struct ph_error error;
	char id[64];

	roll(world, "trixie", METHOD(AUTO)); /* keeps 1, 2 */
	status = rollout_status(newest(world), false);
	text_copy(id, sizeof(id), status->rollout->id);
	message_free(status);
	assert_int_equal(discard(world, "web*"), 0);
	roll(world, "bookworm", METHOD(AUTO)); /* makes 5, 6 of that image */
	roll_back(world);                      /* keeps them */
	assert_roots(world, 3, 4);
	assert_string_equal(real(world, 0)->kept.image, "bookworm");
	assert_int_equal(rollouts_command(rollouts_find(world->rollouts, id), COMMAND(REVERT), &error),
			 -ESTALE);
	roll(world, "bookworm", METHOD(AUTO));
	roll(world, "trixie", METHOD(AUTO)); /* keeps them too, for itself */
	assert_roots(world, 3, 4);
	assert_int_equal(rollouts_command(rollouts_find(world->rollouts, id), COMMAND(REVERT), &error),
			 -ESTALE);
	fleet_free(world);
}

/* Every line that the plan says of one container. */
static void assert_plan(struct world *world, const char *image, Phoenix__CloneMethod method,
			const char *const *lines)
{
	Phoenix__RolloutStatus *status = NULL;
	struct ph_error error;
	size_t count = 0;

	if (start(world, image, method, true, &status, &error) != 0)
		fail_msg("plan: %s", error.why);
	for (; lines[count]; count++)
		if (count >= status->items[0]->n_changes ||
		    !text_equal(status->items[0]->changes[count], lines[count]))
			fail_msg("'%s' instead of '%s'", count < status->items[0]->n_changes ?
				 status->items[0]->changes[count] : "", lines[count]);
	assert_int_equal(status->items[0]->n_changes, count);
	message_free(status);
}

static void the_plan_says_what_becomes_of_roots(void **state)
{
	struct world *world = fleet_new();

	assert_plan(world, "trixie", METHOD(AUTO), (const char *const[]){
		"image: 'bookworm' -> 'trixie'",
		"root file system: another is made; the old one is kept, with all that was changed in it",
		NULL });
	assert_plan(world, "bookworm", METHOD(OVERLAY), (const char *const[]){
		"clone: 'auto' -> 'overlay'",
		"root file system: it is made so already, and stays",
		NULL });
	roll(world, "trixie", METHOD(AUTO));
	assert_plan(world, "bookworm", METHOD(AUTO), (const char *const[]){
		"image: 'trixie' -> 'bookworm'",
		"root file system: the kept one of image 'bookworm' is taken again, as it was left",
		NULL });
	assert_plan(world, "trixie", METHOD(COPY), (const char *const[]){
		"clone: 'auto' -> 'copy'",
		"root file system: another is made; the old one is kept, with all that was changed in it",
		"root file system: the one that was kept before, of image 'bookworm' (overlay), is REMOVED",
		NULL });
	fleet_free(world);
}

/* Refused by its preflight, with a word, and nothing of any container is touched. */
static void assert_refused(struct world *world, const char *image, Phoenix__CloneMethod method,
			   const char *why)
{
	unsigned int roots = world->host.roots;
	Phoenix__RolloutStatus *status;

	begin(world, image, method);
	world_run_until(world, is_over);
	assert_int_equal(state_of(world), ROLLOUT(HALTED));
	status = rollout_status(newest(world), true);
	assert_int_equal(status->items[0]->state, ITEM(REFUSED));
	if (!strstr(status->items[0]->failure->why, why))
		fail_msg("'%s' does not say '%s'", status->items[0]->failure->why, why);
	message_free(status);
	rollout_unwatch(&trial_of(world)->watcher);
	assert_int_equal(world->host.roots, roots);
	assert_roots(world, 1, 2);
}

static void refused_before_anything_is_touched(void **state)
{
	struct world *world = fleet_new();

	assert_refused(world, "sid", METHOD(AUTO), "there is no image 'sid'");
	world->host.no_copy = "a fake host does not copy";
	assert_refused(world, "trixie", METHOD(COPY), "a fake host does not copy");
	world->host.no_copy = NULL;
	world->host.image_bytes = 1ULL << 60;
	assert_refused(world, "trixie", METHOD(COPY), "MiB are free");
	world->host.method = "copy"; /* what "auto" is here */
	assert_refused(world, "trixie", METHOD(AUTO), "MiB are free");
	world->host.method = NULL;
	roll(world, "trixie", METHOD(AUTO)); /* shares it with the image */
	fleet_free(world);
}

/* A kept one only changes places: it needs neither its image's method nor room. */
static void a_kept_one_needs_no_room(void **state)
{
	struct world *world = fleet_new();

	roll(world, "trixie", METHOD(COPY));
	roll(world, "bookworm", METHOD(AUTO));
	assert_roots(world, 1, 2);
	world->host.image_bytes = 1ULL << 60;
	world->host.no_copy = "a fake host does not copy any more";
	roll(world, "trixie", METHOD(COPY));
	assert_roots(world, 3, 4);
	fleet_free(world);
}

static bool sees_no_roots(struct world *world)
{
	return text_empty(registry_find(world->registry, "web1")->observed->image);
}

static void refreshed(void *user)
{
}

static void an_older_host_is_refused(void **state)
{
	struct world *world = fleet_new();

	world->host.knows_no_roots = true;
	refresh_fleet(world->registry, refreshed, world);
	world_run_until(world, sees_no_roots);
	assert_refused(world, "trixie", METHOD(AUTO), "older than phoenixd");
	fleet_free(world);
}

/* apply does none of this, and says who does. */
static void apply_refuses(void **state)
{
	Phoenix__ApplyRequest request = PHOENIX__APPLY_REQUEST__INIT;
	Phoenix__Fleet fleet = PHOENIX__FLEET__INIT;
	Phoenix__ContainerSpec spec, *specs[] = { &spec };
	Phoenix__Resources resources = PHOENIX__RESOURCES__INIT;
	struct world *world = fleet_new();

	fill_spec(&spec, 0, "trixie", METHOD(AUTO));
	resources.pids = 4096;
	spec.resources = &resources;
	fleet.version = 1;
	fleet.n_containers = 1;
	fleet.containers = specs;
	request.fleet = &fleet;
	if (world_call(world, "Apply", &request.base) != -EOPNOTSUPP)
		fail_msg("apply: %s", world->error.why);
	assert_non_null(strstr(world->error.why, "image of a container that exists cannot change"));
	assert_non_null(strstr(world->error.remedy, "phoenixctl rollout start"));
	assert_roots(world, 1, 2);
	fleet_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(another_method_and_back),
		cmocka_unit_test(an_image_that_nothing_starts_on),
		cmocka_unit_test(one_that_was_not_touched_runs_on),
		cmocka_unit_test(everything_goes_back),
		cmocka_unit_test(killed_at_every_transition),
		cmocka_unit_test(a_revert_that_failed_is_made_again),
		cmocka_unit_test(discarded_is_no_way_back),
		cmocka_unit_test(adopted_ones_have_nothing_to_discard),
		cmocka_unit_test(another_one_of_that_image_is_no_way_back),
		cmocka_unit_test(the_plan_says_what_becomes_of_roots),
		cmocka_unit_test(refused_before_anything_is_touched),
		cmocka_unit_test(a_kept_one_needs_no_room),
		cmocka_unit_test(an_older_host_is_refused),
		cmocka_unit_test(apply_refuses),
	};

	return cmocka_run_group_tests_name("rebuild rollout", tests, NULL, NULL);
}
