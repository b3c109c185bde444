/*
 * sim: random rollouts in virtual time, each from a seed that replays it.
 *
 *	sim [--seeds N] [--from N] [--scale N]   that many rollouts; 0 when no invariant was violated
 *	sim --seed N --trace [--mutant M]        one of them, line by line
 *	sim --mutants [--seeds N]                switch on each fault in turn: each has to be noticed
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "controller/rollout/mutants.h"
#include "tests/simulation/run.h"

enum rollout_mutant rollout_mutant = MUTANT_NONE;

static const char *const mutant_names[] = {
	"none",		   "one-too-many",	   "budget-off-by-one", "no-waves",
	"left-halfway",	   "no-deadline",	   "no-progress-deadline", "no-soak",
	"soaking-forgotten", "blind-to-health",	   "revert-at-once",	   "stale-results",
	"revert-glossed-over",
};

struct options {
	uint64_t from, seeds, scale;
	bool is_traced, mutants, one;
};

struct totals {
	uint64_t rollouts, containers, actions, transitions, crashes;
	uint64_t largest, hash;
	uint64_t ends[11]; /* by state */
};

static void add(struct totals *totals, const struct world *world)
{
	totals->rollouts++;
	totals->containers += world->count;
	totals->actions += world->actions;
	totals->transitions += world->transitions;
	totals->crashes += world->crashes;
	totals->largest = world->count > totals->largest ? world->count : totals->largest;
	totals->hash = totals->hash * 31 + world->hash;
	totals->ends[world->record->state]++;
}

static bool run_seed(uint64_t seed, const struct options *options, struct totals *totals,
		     char violation[200])
{
	struct world world;
	bool is_good;

	world_init(&world, seed, options->scale);
	world.is_traced = options->is_traced;
	is_good = run_world(&world);
	snprintf(violation, 200, "%s", world.violation);
	add(totals, &world);
	world_fini(&world);
	return is_good;
}

static void print_totals(const struct totals *totals, uint64_t milliseconds)
{
	printf("# %" PRIu64 " rollouts of %" PRIu64 " containers (the largest %" PRIu64 "), %" PRIu64
	       " actions, %" PRIu64 " transitions, %" PRIu64 " crashes in %.1f s\n",
	       totals->rollouts, totals->containers, totals->largest, totals->actions,
	       totals->transitions, totals->crashes, (double)milliseconds / 1000);
	printf("# done %" PRIu64 ", halted %" PRIu64 ", reverted %" PRIu64 ", revert failed %" PRIu64
	       "; hash of the traces %016" PRIx64 "\n", totals->ends[7], totals->ends[8],
	       totals->ends[9], totals->ends[10], totals->hash);
}

static int run_all(const struct options *options)
{
	struct totals totals = { 0 };
	uint64_t began_ms = clock_monotonic_ms();
	char violation[200];

	for (uint64_t i = 0; i < options->seeds; i++) {
		if (run_seed(options->from + i, options, &totals, violation))
			continue;
		printf("1..1\nnot ok 1 - seed %" PRIu64 ": %s\n# replay: sim --seed %" PRIu64
		       " --scale %" PRIu64 " --trace%s%s\n", options->from + i, violation,
		       options->from + i, options->scale, rollout_mutant ? " --mutant " : "",
		       rollout_mutant ? mutant_names[rollout_mutant] : "");
		return EXIT_FAILURE;
	}
	print_totals(&totals, clock_monotonic_ms() - began_ms);
	printf("1..1\nok 1 - no invariant was violated\n");
	return EXIT_SUCCESS;
}

static int run_mutants(const struct options *options)
{
	struct totals totals = { 0 };
	char violation[200];
	int status = EXIT_SUCCESS;

	printf("1..%d\n", MUTANT_COUNT - 1);
	for (unsigned int mutant = 1; mutant < MUTANT_COUNT; mutant++) {
		uint64_t seed = options->from;

		rollout_mutant = (enum rollout_mutant)mutant;
		while (seed < options->from + options->seeds &&
		       run_seed(seed, options, &totals, violation))
			seed++;
		if (seed == options->from + options->seeds) {
			printf("not ok %u - the fault %s was not noticed\n", mutant,
			       mutant_names[mutant]);
			status = EXIT_FAILURE;
		} else {
			printf("ok %u - the fault %s is noticed with seed %" PRIu64 ": %s\n", mutant,
			       mutant_names[mutant], seed, violation);
		}
	}
	return status;
}

static int find_mutant(const char *name)
{
	for (unsigned int mutant = 0; mutant < MUTANT_COUNT; mutant++)
		if (strcmp(mutant_names[mutant], name) == 0)
			return (int)mutant;
	fprintf(stderr, "sim: there is no fault '%s'\n", name);
	exit(2);
}

static struct options read_options(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "seeds", required_argument, NULL, 'n' }, { "from", required_argument, NULL, 'f' },
		{ "seed", required_argument, NULL, 's' },  { "scale", required_argument, NULL, 'c' },
		{ "trace", no_argument, NULL, 't' },	   { "mutant", required_argument, NULL, 'm' },
		{ "mutants", no_argument, NULL, 'M' },	   { 0 },
	};
	struct options options = { .from = 1, .seeds = 1000, .scale = 1000 };
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (option) {
		case 'n':
			options.seeds = strtoull(optarg, NULL, 10);
			break;
		case 's':
			options.seeds = 1;
			/* fallthrough */
		case 'f':
			options.from = strtoull(optarg, NULL, 10);
			break;
		case 'c':
			options.scale = strtoull(optarg, NULL, 10);
			break;
		case 't':
			options.is_traced = true;
			break;
		case 'm':
			rollout_mutant = (enum rollout_mutant)find_mutant(optarg);
			break;
		case 'M':
			options.mutants = true;
			break;
		default:
			exit(2);
		}
	}
	return options;
}

int main(int argc, char **argv)
{
	struct options options = read_options(argc, argv);

	return options.mutants ? run_mutants(&options) : run_all(&options);
}
