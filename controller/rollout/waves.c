/* Counting out a strategy for a number of containers, and what it takes to be able to finish. */
#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/rollout/engine.h"

#define DEADLINE_MAXIMUM_MS (UINT64_C(7) * 24 * 3600 * 1000)

/* A percentage is rounded down, but not below minimum. */
static uint32_t amount(const Phoenix__RolloutAmount *wanted, uint32_t otherwise, uint32_t minimum,
		       uint32_t total)
{
	uint32_t count;

	if (!wanted)
		return otherwise < total ? otherwise : total;
	if (!wanted->percent)
		return wanted->count < total ? wanted->count : total;
	count = (uint32_t)((uint64_t)total * wanted->percent / 100);
	return count < minimum ? minimum : count;
}

static bool is_nothing(const Phoenix__RolloutAmount *wanted)
{
	return wanted && !wanted->percent && !wanted->count;
}

static bool is_too_much(const Phoenix__RolloutAmount *wanted)
{
	return wanted && wanted->percent > 100;
}

static int refuse(const char **ret_field, const char *field, struct ph_error *error,
		  const char *remedy, const char *why)
{
	*ret_field = field;
	return error_set(error, -EINVAL, field, remedy, "%s", why);
}

static int check_deadlines(const Phoenix__RolloutStrategy *strategy, const char **ret_field,
			   struct ph_error *error)
{
	uint64_t longest = strategy->step_deadline_ms;

	if (strategy->soak_ms > longest)
		longest = strategy->soak_ms;
	if (strategy->canary_soak_ms > longest)
		longest = strategy->canary_soak_ms;
	if (strategy->drain_ms > longest)
		longest = strategy->drain_ms;
	if (strategy->step_deadline_ms == 0)
		return refuse(ret_field, "rollout.step_deadline", error, "write 10m, or leave it out",
			      "a step without a deadline may hang for ever");
	if (strategy->drain_ms >= strategy->step_deadline_ms)
		return refuse(ret_field, "rollout.drain", error,
			      "give the step more time, or the drain less",
			      "the drain takes as long as a step may: it could never finish");
	if (strategy->progress_deadline_ms <= longest)
		return refuse(ret_field, "rollout.progress_deadline", error,
			      "make it longer than step_deadline and every soak",
			      "the progress deadline would pass while one container takes the time "
			      "that it may: the rollout could not finish");
	if (strategy->progress_deadline_ms > DEADLINE_MAXIMUM_MS)
		return refuse(ret_field, "rollout.progress_deadline", error, "write at most 7d",
			      "a rollout that nobody hears of for more than a week has failed");
	return 0;
}

int rollout_check_strategy(const Phoenix__RolloutStrategy *strategy, const char **ret_field,
			   struct ph_error *error)
{
	if (is_nothing(strategy->max_unavailable))
		return refuse(ret_field, "rollout.max_unavailable", error,
			      "write 1, or a share such as 25%",
			      "no container may be unavailable: the rollout could not finish");
	if (is_too_much(strategy->max_unavailable))
		return refuse(ret_field, "rollout.max_unavailable", error, "write at most 100%",
			      "that is more than all of them");
	if (is_too_much(strategy->canary))
		return refuse(ret_field, "rollout.canary", error, "write at most 100%",
			      "that is more than all of them");
	if (is_too_much(strategy->failure_budget))
		return refuse(ret_field, "rollout.failure_budget", error, "write at most 100%",
			      "that is more than all of them");
	return check_deadlines(strategy, ret_field, error);
}

/* ---- waves ---- */

struct group {
	const char *value; /* borrowed */
	uint32_t size, taken;
};

static const char *label_of(const Phoenix__ContainerSpec *spec, const char *key)
{
	for (size_t i = 0; spec && i < spec->n_labels; i++)
		if (text_equal(spec->labels[i]->key, key))
			return spec->labels[i]->value;
	return "";
}

static size_t find_group(struct group *groups, size_t *count, const char *value)
{
	size_t i = 0;

	while (i < *count && !text_equal(groups[i].value, value))
		i++;
	if (i == *count)
		groups[(*count)++] = (struct group){ .value = value };
	return i;
}

/* The group of which the smallest share has been taken; the first of equals. */
static size_t most_left(const struct group *groups, size_t count)
{
	size_t best = SIZE_MAX;

	for (size_t i = 0; i < count; i++) {
		if (groups[i].taken == groups[i].size)
			continue;
		if (best == SIZE_MAX || (uint64_t)groups[i].taken * groups[best].size <
						(uint64_t)groups[best].taken * groups[i].size)
			best = i;
	}
	return best;
}

/* The items in the order in which they are to be taken. */
static void order_items(const Phoenix__RolloutRecord *record, size_t *order)
{
	size_t total = record->n_items, count = 0;
	PH_AUTO_FREE struct group *groups = ph_alloc_array(total, sizeof(*groups));
	PH_AUTO_FREE size_t *group_of = ph_alloc_array(total, sizeof(*group_of));
	PH_AUTO_FREE size_t *next = ph_alloc_array(total, sizeof(*next));

	for (size_t i = 0; i < total; i++) {
		const char *key = record->strategy->spread;

		group_of[i] = find_group(groups, &count, text_empty(key) ? "" :
						 label_of(record->items[i]->new_, key));
		groups[group_of[i]].size++;
	}
	for (size_t i = 0; i < total; i++) {
		size_t group = most_left(groups, count), *from = &next[group];

		while (group_of[*from] != group)
			(*from)++;
		order[i] = (*from)++;
		groups[group].taken++;
	}
}

void rollout_plan_waves(Phoenix__RolloutRecord *record)
{
	const Phoenix__RolloutStrategy *strategy = record->strategy;
	uint32_t total = (uint32_t)record->n_items, canaries;
	PH_AUTO_FREE size_t *order = ph_alloc_array(total, sizeof(*order));

	record->total = total;
	record->max_unavailable = amount(strategy->max_unavailable, 1, 1, total);
	record->failure_budget = amount(strategy->failure_budget, 0, 0, total);
	canaries = amount(strategy->canary, 1, 1, total);
	order_items(record, order);
	record->waves = 0;
	for (uint32_t i = 0; i < total; i++) {
		uint32_t wave = i < canaries ? 0 : 1 + (i - canaries) / record->max_unavailable;

		record->items[order[i]]->wave = wave;
		record->waves = wave;
	}
}
