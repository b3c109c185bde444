/*
 * The driver's part, with crashes: a process that dies loses all but what it has saved, and may have
 * begun the last action or not. What was saved is read back from packed bytes, as from a store.
 */
#include "tests/simulation/run.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/memory.h"
#include "common/message.h"
#include "tests/simulation/check.h"

#define NEVER UINT64_MAX
#define ROLLOUT(name) PHOENIX__ROLLOUT_RECORD__STATE__##name

enum crash { CRASH_NOT, CRASH_UNSAVED, CRASH_SAVED, CRASH_ACTED };

struct saved {
	uint8_t *bytes; /* owned */
	size_t length;
};

static struct saved save(const Phoenix__RolloutRecord *record)
{
	struct saved saved;

	saved.bytes = message_pack(record, &saved.length);
	return saved;
}

/* A new process: nothing but the saved bytes, and what is in flight is joined or begun. */
static void restart(struct world *world, struct saved *saved)
{
	struct rollout_action action;
	struct saved again;

	world->crashes++;
	message_free(world->record);
	world->record = phoenix__rollout_record__unpack(NULL, saved->length, saved->bytes);
	again = save(world->record);
	if (again.length != saved->length)
		check_violated(world, "what was saved is not what is read");
	free(again.bytes);
	free(saved->bytes);
	world->now_ms += world_random(world, 4) ? 0 : world_random(world, 40000);
	world->watched_ms = world->now_ms;
	world_trace(world, "crash", ROLLOUT_NO_ITEM, world->crashes);
	for (size_t i = 0; i < world->count; i++)
		if (rollout_in_flight(world->record, i, &action))
			world_start(world, &action);
}

static int step(struct world *world, uint64_t *ret_wake_ms)
{
	const struct rollout_view view = { world->now_ms, world->watched_ms, world_health, world };
	enum crash crash = CRASH_NOT;
	struct saved saved = { 0 };
	struct rollout_step made;
	int r;

	if (world_chance(world, world->weather.crashes))
		crash = CRASH_UNSAVED + (enum crash)world_random(world, 3);
	if (crash == CRASH_UNSAVED)
		saved = save(world->record);
	r = rollout_step(world->record, &view, &made);
	*ret_wake_ms = made.wake_ms;
	if (crash == CRASH_UNSAVED) {
		restart(world, &saved);
		return ROLLOUT_MOVED;
	}
	if (r == ROLLOUT_MOVED || r == ROLLOUT_ACT)
		check_transition(world, made.item);
	if (crash != CRASH_NOT)
		saved = save(world->record);
	if (r == ROLLOUT_ACT && crash != CRASH_SAVED)
		world_start(world, &made.action);
	if (crash == CRASH_NOT)
		return r;
	restart(world, &saved);
	return r == ROLLOUT_ENDED ? r : ROLLOUT_MOVED;
}

/* ---- the operator ---- */

static Phoenix__RolloutCommandRequest__Command draw_command(struct world *world)
{
	uint64_t kind = world_random(world, 10);

	if (world->record->state == ROLLOUT(PAUSED) || world->record->state == ROLLOUT(GATE))
		return kind < 8 ? PHOENIX__ROLLOUT_COMMAND_REQUEST__COMMAND__RESUME :
		       kind < 9 ? PHOENIX__ROLLOUT_COMMAND_REQUEST__COMMAND__ABORT :
				  PHOENIX__ROLLOUT_COMMAND_REQUEST__COMMAND__REVERT;
	return kind < 6 ? PHOENIX__ROLLOUT_COMMAND_REQUEST__COMMAND__PAUSE :
	       kind < 8 ? PHOENIX__ROLLOUT_COMMAND_REQUEST__COMMAND__ABORT :
			  PHOENIX__ROLLOUT_COMMAND_REQUEST__COMMAND__REVERT;
}

static void command(struct world *world)
{
	Phoenix__RolloutCommandRequest__Command order = draw_command(world);
	struct ph_error error;

	world->commands -= world->commands > 0;
	world->operator_ms = world->commands ? world->now_ms + world_random(world, 600000) : NEVER;
	if (rollout_command(world->record, order, world->now_ms, &error) < 0)
		return;
	world_trace(world, "operator", ROLLOUT_NO_ITEM, order);
	check_transition(world, ROLLOUT_NO_ITEM);
	if (order == PHOENIX__ROLLOUT_COMMAND_REQUEST__COMMAND__REVERT)
		world->may_revert_done = true;
}

/* ---- time ---- */

/* Go to the next moment at which anything can happen; false: there is none. */
static bool advance(struct world *world, uint64_t wake_ms)
{
	uint64_t next = world_next(world);

	if (wake_ms && wake_ms < next)
		next = wake_ms;
	if (world->operator_ms < next)
		next = world->operator_ms;
	if (next == NEVER) { /* whoever paused it comes back in the end */
		if (world->record->state != ROLLOUT(PAUSED) && world->record->state != ROLLOUT(GATE))
			return false;
		next = world->operator_ms = world->now_ms + 1000;
	}
	if (next > world->now_ms)
		world->now_ms = next;
	if (world->operator_ms <= world->now_ms)
		command(world);
	return true;
}

static uint64_t bound(const struct world *world)
{
	/* Each container makes some 20 transitions; health and operators add some of their own. */
	return 200 * (uint64_t)world->count + 20000;
}

/* An operator who looks at the end may want it all back. */
static bool wants_more(struct world *world)
{
	if (!world->commands || !world_chance(world, 500))
		return false;
	command(world);
	return !rollout_is_over(world->record);
}

bool run_world(struct world *world)
{
	uint64_t wake_ms;
	int r;

	while (!world->violation[0] && world->steps++ < bound(world)) {
		if (world_happen(world))
			continue;
		r = step(world, &wake_ms);
		if (r == ROLLOUT_ENDED) {
			check_end(world);
			if (world->violation[0] || !wants_more(world))
				break;
		}
		if (r != ROLLOUT_WAIT)
			continue;
		check_wait(world, wake_ms);
		if (!world->violation[0] && !advance(world, wake_ms))
			check_violated(world, "it stands still for ever, %s",
				       states_name(&rollout_states, world->record->state));
	}
	if (world->steps >= bound(world))
		check_violated(world, "it has not ended after %" PRIu64 " steps", world->steps);
	return !world->violation[0];
}
