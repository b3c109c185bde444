#include "tests/simulation/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/message.h"
#include "tests/simulation/check.h"

#define NEVER UINT64_MAX

/* splitmix64: one state, any seed is good. */
uint64_t world_random(struct world *world, uint64_t bound)
{
	uint64_t z = world->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	z ^= z >> 31;
	return bound ? z % bound : z;
}

bool world_chance(struct world *world, unsigned int share)
{
	return world_random(world, 1000) < share;
}

void world_trace(struct world *world, const char *what, size_t item, uint64_t number)
{
	const uint64_t parts[] = { world->now_ms, item, number, (uint64_t)(unsigned char)what[0] };

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		world->hash = (world->hash ^ parts[i]) * UINT64_C(0x100000001b3);
	if (!world->is_traced)
		return;
	printf("%10.3f s  ", (double)world->now_ms / 1000);
	if (item != ROLLOUT_NO_ITEM)
		printf("c%-4zu ", item);
	printf("%s %" PRIu64 "\n", what, number);
}

/* ---- from the seed ---- */

static struct weather draw_weather(struct world *world)
{
	static const struct weather kinds[] = {
		{ .crashes = 5, .operators = 100 }, /* all goes well */
		{ .fails = 10, .hangs = 3, .illness = 20, .lost = 20, .stale = 300, .crashes = 10,
		  .operators = 200 },
		{ .fails = 60, .hangs = 20, .illness = 60, .lost = 60, .stale = 500, .crashes = 50,
		  .operators = 300, .reverts_fail = 20 },
		{ .fails = 300, .hangs = 100, .illness = 100, .lost = 200, .stale = 800,
		  .crashes = 200, .operators = 500, .reverts_fail = 100 },
		{ .checks_fail = 30, .fails = 30, .crashes = 30, .operators = 100 },
		{ .fails = 20, .illness = 400, .lost = 400, .crashes = 30, .operators = 100 },
	};

	return kinds[world_random(world, sizeof(kinds) / sizeof(kinds[0]))];
}

static size_t draw_size(struct world *world, size_t scale)
{
	uint64_t kind = world_random(world, 100);
	size_t bound = kind < 70 ? 20 : kind < 97 ? 120 : 1000;

	return 1 + world_random(world, bound < scale ? bound : scale);
}

static Phoenix__RolloutAmount *draw_amount(struct world *world, Phoenix__RolloutAmount *amount,
					   uint32_t least, uint32_t most)
{
	phoenix__rollout_amount__init(amount);
	if (world_chance(world, 200))
		return NULL;
	if (world_chance(world, 400))
		amount->percent = 1 + (uint32_t)world_random(world, 50);
	else
		amount->count = least + (uint32_t)world_random(world, most - least + 1);
	return amount;
}

static void draw_strategy(struct world *world, Phoenix__RolloutStrategy *strategy)
{
	strategy->soak_ms = world_chance(world, 500) ? world_random(world, 60000) : 0;
	strategy->canary_soak_ms = world_chance(world, 500) ? world_random(world, 120000) : 0;
	strategy->drain_ms = world_chance(world, 300) ? 1 + world_random(world, 5000) : 0;
	strategy->step_deadline_ms = 30000 + world_random(world, 60000);
	strategy->progress_deadline_ms = 130000 + world_random(world, 200000);
	strategy->on_failure = (Phoenix__RolloutStrategy__OnFailure)world_random(world, 2);
	strategy->gate_canary = world_chance(world, 200);
	strategy->gate_waves = world_chance(world, 100);
	strategy->spread = (char *)(world_chance(world, 300) ? "zone" : "");
}

static void draw_record(struct world *world)
{
	static char key[] = "zone", values[5][2] = { "a", "b", "c", "d", "e" };
	Phoenix__RolloutRecord record = PHOENIX__ROLLOUT_RECORD__INIT;
	Phoenix__RolloutStrategy strategy = PHOENIX__ROLLOUT_STRATEGY__INIT;
	Phoenix__RolloutAmount canary, unavailable, budget;
	Phoenix__RolloutItem **items = ph_alloc_array(world->count, sizeof(*items));
	struct ph_error error;

	strategy.canary = draw_amount(world, &canary, 0, 5);
	strategy.max_unavailable = draw_amount(world, &unavailable, 1, 10);
	strategy.failure_budget = draw_amount(world, &budget, 0, 5);
	draw_strategy(world, &strategy);
	record.id = (char *)"sim";
	record.strategy = &strategy;
	record.items = items;
	for (size_t i = 0; i < world->count; i++) {
		Phoenix__ContainerSpec spec = PHOENIX__CONTAINER_SPEC__INIT;
		Phoenix__Pair label = PHOENIX__PAIR__INIT, *labels[] = { &label };
		Phoenix__RolloutItem item = PHOENIX__ROLLOUT_ITEM__INIT;
		char name[32];

		snprintf(name, sizeof(name), "c%zu", i);
		item.name = name;
		label.key = key;
		label.value = values[world_random(world, 5)];
		spec.n_labels = 1;
		spec.labels = labels;
		item.new_ = &spec;
		items[record.n_items++] = MESSAGE_COPY(&item);
	}
	world->record = MESSAGE_COPY(&record);
	for (size_t i = 0; i < world->count; i++)
		message_free(items[i]);
	free(items);
	if (rollout_begin(world->record, world->now_ms, &error) < 0) {
		fprintf(stderr, "seed %" PRIu64 ": a good strategy is refused: %s\n", world->seed,
			error.why);
		abort();
	}
}

static void draw_health(struct world *world, struct box *box)
{
	box->change_ms = NEVER;
	if (world_chance(world, world->weather.illness + world->weather.lost))
		box->change_ms = world->now_ms + world_random(world, 600000);
}

void world_init(struct world *world, uint64_t seed, size_t scale)
{
	*world = (struct world){ .seed = seed, .random = seed, .hash = UINT64_C(0xcbf29ce484222325) };
	world->now_ms = 1000000;
	world->weather = draw_weather(world);
	world->count = draw_size(world, scale);
	world->boxes = ph_alloc_array(world->count, sizeof(*world->boxes));
	draw_record(world);
	world->may_revert_done = world->record->strategy->on_failure ==
				 PHOENIX__ROLLOUT_STRATEGY__ON_FAILURE__REVERT;
	world->progress_ms = world->now_ms;
	world->operator_ms = NEVER;
	if (world_chance(world, world->weather.operators)) {
		world->commands = 1 + (unsigned int)world_random(world, 6);
		world->operator_ms = world->now_ms + world_random(world, 900000);
	}
	for (size_t i = 0; i < world->count; i++)
		draw_health(world, &world->boxes[i]);
}

void world_fini(struct world *world)
{
	message_free(world->record);
	free(world->boxes);
}

/* ---- work ---- */

static unsigned int failing_share(const struct world *world, enum rollout_action_kind kind)
{
	switch (kind) {
	case ROLLOUT_CHECK:
		return world->weather.checks_fail;
	case ROLLOUT_REVERT:
		return world->weather.reverts_fail;
	case ROLLOUT_DRAIN:
		return world->weather.fails / 4;
	default:
		return world->weather.fails;
	}
}

/* A revert ends what runs; what was on its way may still be heard of later. */
static void give_up(struct world *world, struct box *box)
{
	if (box->work.is_going && world_chance(world, world->weather.stale)) {
		box->stale = box->work;
		box->stale.end_ms = world->now_ms + world_random(world, 20000);
	}
	box->work.is_going = false;
}

void world_start(struct world *world, const struct rollout_action *action)
{
	struct box *box = &world->boxes[action->item];

	if (action->sequence <= box->last_sequence) {
		world_trace(world, "joined", action->item, action->sequence);
		return; /* it is going, or its result comes */
	}
	check_start(world, action);
	give_up(world, box);
	box->last_sequence = action->sequence;
	box->starts[action->kind]++;
	box->work = (struct work){ true, world_chance(world, failing_share(world, action->kind)),
				   action->kind, action->sequence, 0 };
	box->work.end_ms = world->now_ms + 1 + world_random(world, 25000);
	if (action->kind != ROLLOUT_REVERT && world_chance(world, world->weather.hangs))
		box->work.end_ms = NEVER;
	if (action->kind == ROLLOUT_CONVERT || action->kind == ROLLOUT_REVERT)
		box->spec = SPEC_HALF;
	world_trace(world, "starts", action->item, action->sequence);
}

static void end_work(struct world *world, size_t index, struct work work)
{
	struct box *box = &world->boxes[index];
	Phoenix__Failure failure = PHOENIX__FAILURE__INIT;
	bool is_current = work.sequence == box->last_sequence;
	int r;

	failure.why = (char *)"the weather was bad";
	if (is_current && !work.will_fail && work.kind == ROLLOUT_CONVERT)
		box->spec = SPEC_NEW;
	if (is_current && !work.will_fail && work.kind == ROLLOUT_REVERT)
		box->spec = SPEC_OLD;
	if (is_current && !work.will_fail && work.kind == ROLLOUT_CHECK)
		box->has_passed = true;
	world_trace(world, work.will_fail ? "fails" : "ends", index, work.sequence);
	r = rollout_finished(world->record, index, work.sequence,
			     work.will_fail ? &failure : NULL, world->now_ms);
	if (r == ROLLOUT_MOVED)
		check_transition(world, index);
}

/* ---- health ---- */

enum rollout_health world_health(void *user, size_t item)
{
	const struct world *world = user;
	const struct box *box = &world->boxes[item];

	if (box->is_lost)
		return ROLLOUT_HEALTH_UNKNOWN;
	return box->is_ill || box->spec == SPEC_HALF ? ROLLOUT_HEALTH_NOT_READY :
						       ROLLOUT_HEALTH_READY;
}

static void change_health(struct world *world, size_t index)
{
	struct box *box = &world->boxes[index];

	if (box->is_ill || box->is_lost) {
		box->is_ill = box->is_lost = false;
		draw_health(world, box);
		box->well_since_ms = world->now_ms;
	} else {
		box->is_ill = world_random(world, world->weather.illness + world->weather.lost) <
			      world->weather.illness;
		box->is_lost = !box->is_ill;
		box->change_ms = world_chance(world, 900) ?
					 world->now_ms + 1 + world_random(world, 90000) :
					 NEVER;
	}
	world_trace(world, box->is_ill ? "is ill" : box->is_lost ? "is lost" : "recovers", index, 0);
}

/* ---- time ---- */

static uint64_t sooner(uint64_t left, uint64_t right)
{
	return left < right ? left : right;
}

static uint64_t end_of(const struct work *work)
{
	return work->is_going ? work->end_ms : NEVER;
}

uint64_t world_next(const struct world *world)
{
	uint64_t next = NEVER;

	for (size_t i = 0; i < world->count; i++) {
		const struct box *box = &world->boxes[i];

		next = sooner(next, box->change_ms);
		next = sooner(next, sooner(end_of(&box->work), end_of(&box->stale)));
	}
	return next;
}

bool world_happen(struct world *world)
{
	for (size_t i = 0; i < world->count; i++) {
		struct box *box = &world->boxes[i];
		struct work ended;

		if (box->change_ms <= world->now_ms) {
			change_health(world, i);
			return true;
		}
		if (end_of(&box->stale) <= world->now_ms) {
			ended = box->stale;
			box->stale.is_going = false;
			end_work(world, i, ended);
			return true;
		}
		if (end_of(&box->work) <= world->now_ms) {
			ended = box->work;
			box->work.is_going = false;
			end_work(world, i, ended);
			return true;
		}
	}
	return false;
}
