/*
 * Others' containers going under the profile as a rollout, through the control socket and against a fake
 * phoenix-host and fake agents: to the end, with one that cannot live there, killed at every
 * transition, taken back, and what is refused before anything is touched.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/message.h"
#include "common/str.h"
#include "controller/container/adopt.h"
#include "controller/rollout/engine.h"
#include "tests/support/cmocka.h"
#include "tests/support/world.h"

#define IMAGES 3
#define BOXES_MAXIMUM 3
#define ITEM(name) PHOENIX__ROLLOUT_ITEM__STATE__##name
#define ROLLOUT(name) PHOENIX__ROLLOUT_RECORD__STATE__##name
#define COMMAND(name) PHOENIX__ROLLOUT_COMMAND_REQUEST__COMMAND__##name

static const char *const names[BOXES_MAXIMUM] = { "box1", "box2", "box3" };

/* What a test has besides its world, whose user it is. */
struct trial {
	struct rollout_watcher watcher;
	Phoenix__RolloutStrategy strategy;
	unsigned int transitions, kill_at; /* kill_at 0: never */
	unsigned int most_at_once;         /* containers in hand */
	char note[200];
};

static struct trial *trial_of(struct world *world)
{
	return world->user;
}

static void fill_strategy(Phoenix__RolloutStrategy *strategy)
{
	phoenix__rollout_strategy__init(strategy);
	strategy->step_deadline_ms = 60 * 1000;
	strategy->progress_deadline_ms = 120 * 1000;
}

static struct world *boxes_new(size_t count)
{
	struct world *world = world_new();
	struct trial *trial = ph_alloc(sizeof(*trial));

	fill_strategy(&trial->strategy);
	world->user = trial;
	for (size_t i = 0; i < count; i++)
		world_adopt(world, names[i], IMAGES);
	return world;
}

static void boxes_free(struct world *world)
{
	struct trial *trial = world->user;

	rollout_unwatch(&trial->watcher);
	world_free(world);
	free(trial);
}

static struct fake_container *real(struct world *world, const char *name)
{
	return fake_host_find(&world->host, name);
}

/* ---- the rollout ---- */

static Phoenix__RolloutStatus *newest(struct world *world)
{
	struct rollout *rollout = rollouts_find(world->rollouts, "");

	return rollout ? rollout_status(rollout, true) : NULL;
}

static unsigned int state_of(struct world *world)
{
	Phoenix__RolloutStatus *status = newest(world);
	unsigned int state = status->rollout->state;

	message_free(status);
	return state;
}

/* The newest rollout's note; good until it is asked for again. */
static const char *note_of(struct world *world)
{
	Phoenix__RolloutStatus *status = newest(world);
	struct trial *trial = trial_of(world);

	snprintf(trial->note, sizeof(trial->note), "%s", status->rollout->note);
	message_free(status);
	return trial->note;
}

static bool is_over(struct world *world)
{
	return state_of(world) >= ROLLOUT(DONE);
}

static bool is_over_or_killed(struct world *world)
{
	return world->is_killed || is_over(world);
}

static void changed(void *user, const Phoenix__RolloutStatus *message)
{
	struct world *world = user;
	struct trial *trial = trial_of(world);
	Phoenix__RolloutStatus *status = newest(world);
	unsigned int hands = 0;

	for (size_t i = 0; i < status->n_items; i++)
		hands += status->items[i]->state >= ITEM(DRAINING) &&
			 status->items[i]->state != ITEM(DONE) &&
			 status->items[i]->state != ITEM(REVERTED);
	message_free(status);
	if (hands > trial->most_at_once)
		trial->most_at_once = hands;
	if (++trial->transitions == trial->kill_at)
		world->is_killed = true;
}

static void watch_ended(void *user)
{
}

static int confine(struct world *world, const char *selector, bool plan_only)
{
	Phoenix__ConfineRequest request = PHOENIX__CONFINE_REQUEST__INIT;

	request.selector = (char *)selector;
	request.strategy = &trial_of(world)->strategy;
	request.plan_only = plan_only;
	return world_call(world, "Confine", &request.base);
}

static void begin(struct world *world, const char *selector)
{
	struct trial *trial = trial_of(world);

	world->is_killed = false;
	if (confine(world, selector, false) < 0)
		fail_msg("confine: %s", world->error.why);
	trial->watcher = (struct rollout_watcher){ .changed = changed, .ended = watch_ended,
						   .user = world };
	rollout_watch(rollouts_find(world->rollouts, ""), &trial->watcher);
}

static void assert_items(struct world *world, const unsigned int *states, size_t count)
{
	Phoenix__RolloutStatus *status = newest(world);

	assert_int_equal(status->n_items, count);
	for (size_t i = 0; i < count; i++)
		if (status->items[i]->state != states[i])
			fail_msg("%s is %s (%s)", status->items[i]->name,
				 states_name(&rollout_item_states, status->items[i]->state),
				 status->items[i]->failure ? status->items[i]->failure->why : "");
	message_free(status);
}

static void assert_confined(struct world *world, const char *name)
{
	struct container *container = registry_find(world->registry, name);

	assert_true(real(world, name)->running && real(world, name)->is_under_profile);
	assert_true(real(world, name)->has_our_config);
	assert_int_equal(real(world, name)->images, IMAGES);
	assert_true(container_is(container, CONTAINER_PHASE_RUNNING));
	assert_true(container_is_ready(container));
}

/* As its owner had it: runs, with its own configuration, and is still known. */
static void assert_as_before(struct world *world, const char *name)
{
	struct container *container = registry_find(world->registry, name);

	assert_true(real(world, name)->running);
	assert_false(real(world, name)->is_under_profile || real(world, name)->has_our_config);
	assert_true(container_is(container, CONTAINER_PHASE_ADOPTED));
	assert_string_equal(container->record->profile, "");
}

/* ---- tests ---- */

static void all_of_them_to_the_end(void **state)
{
	static const unsigned int states[] = { ITEM(DONE), ITEM(DONE), ITEM(DONE) };
	Phoenix__NameRequest unadopt = PHOENIX__NAME_REQUEST__INIT;
	struct world *world = boxes_new(3);
	const Phoenix__RolloutStatus *plan;

	assert_int_equal(confine(world, "box*", true), 0);
	plan = (const Phoenix__RolloutStatus *)world->reply;
	assert_int_equal(plan->n_items, 3);
	assert_string_equal(plan->items[0]->changes[0],
			    "confinement: 'unconfined' -> Phoenix's profile; it is restarted");
	assert_null(rollouts_find(world->rollouts, ""));
	begin(world, "box*");
	assert_int_equal(confine(world, "box2", false), -EBUSY);
	unadopt.name = (char *)"box3";
	assert_int_equal(world_call(world, "Unadopt", &unadopt.base), -EBUSY);
	world_run_until(world, is_over);
	assert_int_equal(state_of(world), ROLLOUT(DONE));
	assert_items(world, states, 3);
	assert_int_equal(trial_of(world)->most_at_once, 1);
	assert_int_equal(world->agent.verifies, 3);
	for (size_t i = 0; i < 3; i++)
		assert_confined(world, names[i]);
	assert_int_equal(confine(world, "box*", false), 0); /* again: nothing to do */
	assert_null(((const Phoenix__RolloutStatus *)world->reply)->rollout);
	boxes_free(world);
}

/* One that cannot live under the profile goes back by itself, and what is behind it is not touched. */
static void a_poisoned_one_halts_it(void **state)
{
	static const unsigned int states[] = { ITEM(DONE), ITEM(REVERTED), ITEM(CHECKED) };

	for (int loses_images = 0; loses_images < 2; loses_images++) {
		struct world *world = boxes_new(3);
		Phoenix__RolloutStatus *status;

		real(world, "box2")->is_delicate = !loses_images;
		real(world, "box2")->loses_images = loses_images;
		begin(world, "box*");
		world_run_until(world, is_over);
		assert_int_equal(state_of(world), ROLLOUT(HALTED));
		assert_items(world, states, 3);
		assert_confined(world, "box1");
		assert_as_before(world, "box2");
		assert_as_before(world, "box3");
		status = newest(world);
		assert_non_null(strstr(status->items[1]->failure->why,
				       loses_images ? "is gone" : "its init has ended"));
		message_free(status);
		boxes_free(world);
	}
}

/* Within the budget the others are confined all the same. */
static void a_budget_lets_it_go_on(void **state)
{
	static const unsigned int states[] = { ITEM(REVERTED), ITEM(DONE), ITEM(DONE) };
	struct world *world = boxes_new(3);
	Phoenix__RolloutAmount one = PHOENIX__ROLLOUT_AMOUNT__INIT;

	one.count = 1;
	trial_of(world)->strategy.failure_budget = &one;
	real(world, "box1")->is_delicate = true;
	begin(world, "box*");
	world_run_until(world, is_over);
	assert_int_equal(state_of(world), ROLLOUT(DONE));
	assert_items(world, states, 3);
	assert_as_before(world, "box1");
	assert_confined(world, "box2");
	assert_confined(world, "box3");
	boxes_free(world);
}

static uint64_t sequence_of(struct world *world)
{
	Phoenix__RolloutStatus *status = newest(world);
	uint64_t sequence = status->rollout->sequence;

	message_free(status);
	return sequence;
}

/* Killed behind every transition: the same end, and not one action more. */
static void killed_at_every_transition(void **state)
{
	static const unsigned int states[] = { ITEM(DONE), ITEM(REVERTED) };
	unsigned int total = UINT32_MAX;
	uint64_t actions = 0;

	for (unsigned int kill_at = 0; kill_at < total; kill_at++) {
		struct world *world = boxes_new(2);
		struct trial *trial = trial_of(world);

		real(world, "box2")->is_delicate = true;
		trial->kill_at = kill_at;
		begin(world, "box*");
		world_run_until(world, is_over_or_killed);
		if (kill_at) {
			rollout_unwatch(&trial->watcher);
			world_close(world);
			world_open(world);
			world_bring_agents_back(world);
			world_run_until(world, is_over);
		} else {
			total = trial->transitions;
			actions = sequence_of(world);
		}
		if (state_of(world) != ROLLOUT(HALTED) || sequence_of(world) != actions)
			fail_msg("killed at transition %u: %s after %llu actions", kill_at,
				 states_name(&rollout_states, state_of(world)),
				 (unsigned long long)sequence_of(world));
		assert_items(world, states, 2);
		assert_true(real(world, "box1")->is_under_profile);
		assert_as_before(world, "box2");
		boxes_free(world);
	}
	assert_true(total > 12);
}

static void command(struct world *world, unsigned int order)
{
	Phoenix__RolloutCommandRequest request = PHOENIX__ROLLOUT_COMMAND_REQUEST__INIT;

	request.command = order;
	if (world_call(world, "RolloutCommand", &request.base) < 0)
		fail_msg("command %u: %s", order, world->error.why);
}

static void taken_back_when_it_is_over(void **state)
{
	static const unsigned int back[] = { ITEM(REVERTED), ITEM(REVERTED) };
	struct world *world = boxes_new(2);
	Phoenix__RolloutCommandRequest again = PHOENIX__ROLLOUT_COMMAND_REQUEST__INIT;

	begin(world, "box*");
	world_run_until(world, is_over);
	assert_confined(world, "box2");
	command(world, COMMAND(REVERT));
	world_run_until(world, is_over);
	assert_int_equal(state_of(world), ROLLOUT(REVERTED));
	assert_items(world, back, 2);
	assert_as_before(world, "box1");
	assert_as_before(world, "box2");
	begin(world, "box1"); /* and forth again */
	world_run_until(world, is_over);
	assert_confined(world, "box1");
	world_run(world, &operation_unconfine, "box1", NULL);
	again.command = COMMAND(REVERT); /* somebody else has done that meanwhile */
	assert_int_equal(world_call(world, "RolloutCommand", &again.base), -ESTALE);
	boxes_free(world);
}

/* A revert that cannot start the container as it was is no revert. */
static void a_revert_that_fails_is_told(void **state)
{
	struct world *world = boxes_new(1);

	begin(world, "box1");
	world_run_until(world, is_over);
	world->host.fail_verb = "ContainerStart";
	world->host.fail_count = 1;
	command(world, COMMAND(REVERT));
	world_run_until(world, is_over);
	assert_items(world, (const unsigned int[]){ ITEM(REVERT_FAILED) }, 1);
	assert_int_equal(state_of(world), ROLLOUT(REVERT_FAILED));
	assert_string_equal(note_of(world), "not at the last good state: box1");
	command(world, COMMAND(REVERT)); /* tried again */
	world_run_until(world, is_over);
	assert_int_equal(state_of(world), ROLLOUT(REVERTED));
	assert_as_before(world, "box1");
	boxes_free(world);
}

static void refused_before_anything_is_touched(void **state)
{
	static const unsigned int states[] = { ITEM(CHECKED), ITEM(REFUSED) };
	struct world *world = boxes_new(2);
	Phoenix__ContainerSpec spec = PHOENIX__CONTAINER_SPEC__INIT;
	Phoenix__RolloutAmount none = PHOENIX__ROLLOUT_AMOUNT__INIT;

	spec.name = (char *)"ours";
	spec.image = (char *)"bookworm";
	spec.docker_source = (char *)"none";
	world_run(world, &operation_apply, "ours", &spec);
	assert_int_equal(world->error.code, 0);
	assert_int_equal(confine(world, "", false), -EINVAL);
	assert_int_equal(confine(world, "absent", false), -ENOENT);
	assert_int_equal(confine(world, "other*", false), -ENOENT);
	assert_int_equal(confine(world, "ours", false), -EINVAL);
	assert_non_null(strstr(world->error.why, "it was not adopted"));
	trial_of(world)->strategy.max_unavailable = &none;
	assert_int_equal(confine(world, "box*", false), -EINVAL);
	assert_non_null(strstr(world->error.why, "could not finish"));
	trial_of(world)->strategy.max_unavailable = NULL;
	assert_null(rollouts_find(world->rollouts, ""));
	real(world, "box2")->running = false; /* there is no good state to go back to */
	begin(world, "box*");
	world_run_until(world, is_over);
	assert_items(world, states, 2);
	assert_false(real(world, "box1")->has_our_config || real(world, "box2")->running);
	boxes_free(world);
}

static void refused_where_nothing_confines(void **state)
{
	struct world *world = boxes_new(1);

	world->host.apparmor = false;
	assert_int_equal(confine(world, "box1", false), -EOPNOTSUPP);
	assert_non_null(strstr(world->error.why, "a fake kernel without AppArmor"));
	assert_as_before(world, "box1");
	boxes_free(world);
}

static bool is_down(struct world *world)
{
	return !container_is_ready(registry_find(world->registry, "box1"));
}

static void refreshed(void *user)
{
}

/* As after the host has booted: it is started under the profile, or stays what it was; never unconfined. */
static void one_that_is_down_is_never_let_go(void **state)
{
	struct world *world = boxes_new(1);

	begin(world, "box1");
	world_run_until(world, is_over);
	real(world, "box1")->running = real(world, "box1")->is_under_profile = false;
	refresh_fleet(world->registry, refreshed, world);
	world_run_until(world, is_down);
	real(world, "box1")->is_delicate = true;
	begin(world, "box1");
	world_run_until(world, is_over);
	assert_items(world, (const unsigned int[]){ ITEM(REVERTED) }, 1);
	assert_true(real(world, "box1")->has_our_config);
	assert_false(real(world, "box1")->running);
	assert_string_equal(registry_find(world->registry, "box1")->record->profile, "lxc-phoenix-v2");
	real(world, "box1")->is_delicate = false;
	begin(world, "box1");
	world_run_until(world, is_over);
	assert_confined(world, "box1");
	boxes_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_of_them_to_the_end),
		cmocka_unit_test(a_poisoned_one_halts_it),
		cmocka_unit_test(a_budget_lets_it_go_on),
		cmocka_unit_test(killed_at_every_transition),
		cmocka_unit_test(taken_back_when_it_is_over),
		cmocka_unit_test(a_revert_that_fails_is_told),
		cmocka_unit_test(refused_before_anything_is_touched),
		cmocka_unit_test(refused_where_nothing_confines),
		cmocka_unit_test(one_that_is_down_is_never_let_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
