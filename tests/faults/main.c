/*
 * The sweep: every scene with every kind of call, each of its calls failing once in turn, and every second, third and
 * seventh of them failing again and again.
 *
 * usage: faults-sweep [--points N] [--from N] [--jobs N] [--scene NAME] [--call KIND] [--at N [--every N]]
 *   --points N  of each scene and kind only so many of the calls, chosen by the seed (PH_FAULTS_SEED); 0: all
 *   --from N    only calls from that one on: "apply again" begins as "apply" does, and a story without memory ends
 *               where it fails, so that its first mallocs are those of "apply"
 *   --jobs N    points that run at a time
 *   --at N      one point
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/faults/point.h"

#define JOBS_MAXIMUM 64
#define PATTERNS 3

static const struct scene_type *const scenes[] = {
	&scene_store, &scene_events, &scene_channel, &scene_agent,
	&scene_apply, &scene_apply_again, &scene_remove, &scene_rollout,
};

struct sweep {
	unsigned long points, from, jobs, at, every;
	const char *scene, *call;
	unsigned int seed;
	unsigned int cases, failed_cases;
	unsigned long runs;
};

/* Points in flight of the case that is being run. */
struct flight {
	pid_t pids[JOBS_MAXIMUM];
	struct point points[JOBS_MAXIMUM];
	size_t count;
	unsigned long failures;
};

static void land_one(struct flight *flight)
{
	int status;
	pid_t pid = wait(&status);
	size_t i = 0;

	while (i < flight->count && flight->pids[i] != pid)
		i++;
	if (i == flight->count)
		abort();
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		const struct point *point = &flight->points[i];

		flight->failures++;
		fprintf(stderr, "# faults --scene %s --call %s --at %lu --every %lu\n",
			point->scene->name, faults_name(point->kind), point->at, point->every);
	}
	flight->count--;
	flight->pids[i] = flight->pids[flight->count];
	flight->points[i] = flight->points[flight->count];
}

static void launch(struct sweep *sweep, struct flight *flight, const struct point *point)
{
	pid_t pid;

	while (flight->count >= sweep->jobs)
		land_one(flight);
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		_exit(point_run(point, NULL));
	if (pid < 0)
		abort();
	sweep->runs++;
	flight->pids[flight->count] = pid;
	flight->points[flight->count++] = *point;
}

static void report(struct sweep *sweep, const struct flight *flight, const struct point *point,
		   unsigned long calls, unsigned long runs)
{
	sweep->cases++;
	sweep->failed_cases += flight->failures > 0;
	printf("%s %u - %s, %s: %lu of its %lu calls fail, each once, and then again and again\n",
	       flight->failures ? "not ok" : "ok", sweep->cases, point->scene->name,
	       faults_name(point->kind), runs, calls);
	fflush(stdout);
}

/* All calls, or some of them: one in each of equal parts, so that the seed moves all of them. */
static void sweep_kind(struct sweep *sweep, const struct scene_type *scene, enum faults_kind kind,
		       unsigned long calls)
{
	static const unsigned long patterns[PATTERNS] = { 2, 3, 7 };
	unsigned long skipped = sweep->from && sweep->from <= calls ? sweep->from - 1 : 0, left = calls - skipped;
	unsigned long points = sweep->points && sweep->points < left ? sweep->points : left;
	struct flight flight = { 0 };
	struct point point = { .scene = scene, .kind = kind };

	for (unsigned long i = 0; i < points; i++) {
		unsigned long first = skipped + 1 + i * left / points, last = skipped + (i + 1) * left / points;

		point.at = first + (unsigned long)rand_r(&sweep->seed) % (last - first + 1);
		point.every = 0;
		launch(sweep, &flight, &point);
	}
	/* Without memory nothing goes on: there is no again. */
	for (size_t i = 0; i < PATTERNS && calls && kind != FAULTS_MALLOC; i++) {
		if (sweep->points && i != (size_t)rand_r(&sweep->seed) % PATTERNS)
			continue;
		point.at = point.every = patterns[i];
		launch(sweep, &flight, &point);
	}
	while (flight.count)
		land_one(&flight);
	report(sweep, &flight, &point, calls, points);
}

static void sweep_scene(struct sweep *sweep, const struct scene_type *scene)
{
	const struct point nothing = { .scene = scene, .kind = FAULTS_READ };
	unsigned long counts[FAULTS_KINDS] = { 0 };

	sweep->cases++;
	if (point_run(&nothing, counts) != 0) {
		sweep->failed_cases++;
		printf("not ok %u - %s: nothing fails\n", sweep->cases, scene->name);
		return;
	}
	printf("ok %u - %s: nothing fails\n", sweep->cases, scene->name);
	for (int kind = 0; kind < FAULTS_KINDS; kind++)
		if (counts[kind] && (!sweep->call || strcmp(sweep->call, faults_name((enum faults_kind)kind)) == 0))
			sweep_kind(sweep, scene, (enum faults_kind)kind, counts[kind]);
}

static int run_one(const struct sweep *sweep, const struct scene_type *scene)
{
	struct point point = { .scene = scene, .at = sweep->at, .every = sweep->every };

	while (point.kind < FAULTS_KINDS && strcmp(sweep->call ? sweep->call : "", faults_name(point.kind)) != 0)
		point.kind++;
	if (point.kind == FAULTS_KINDS)
		return 2;
	return point_run(&point, NULL);
}

static bool read_options(int argc, char **argv, struct sweep *sweep)
{
	static const struct option options[] = {
		{ "points", required_argument, NULL, 'p' }, { "jobs", required_argument, NULL, 'j' },
		{ "scene", required_argument, NULL, 's' },  { "call", required_argument, NULL, 'c' },
		{ "at", required_argument, NULL, 'a' },	    { "every", required_argument, NULL, 'e' },
		{ "from", required_argument, NULL, 'f' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (option) {
		case 'p': sweep->points = strtoul(optarg, NULL, 10); break;
		case 'f': sweep->from = strtoul(optarg, NULL, 10); break;
		case 'j': sweep->jobs = strtoul(optarg, NULL, 10); break;
		case 's': sweep->scene = optarg; break;
		case 'c': sweep->call = optarg; break;
		case 'a': sweep->at = strtoul(optarg, NULL, 10); break;
		case 'e': sweep->every = strtoul(optarg, NULL, 10); break;
		default: return false;
		}
	}
	return sweep->jobs >= 1 && sweep->jobs <= JOBS_MAXIMUM;
}

static int refuse_options(void)
{
	fprintf(stderr, "usage: faults-sweep [--points N] [--from N] [--jobs N] [--scene NAME] [--call KIND] [--at N [--every N]]\nscenes:");
	for (size_t i = 0; i < ARRAY_LENGTH(scenes); i++)
		fprintf(stderr, " '%s'", scenes[i]->name);
	fprintf(stderr, "\ncalls:");
	for (int kind = 0; kind < FAULTS_KINDS; kind++)
		fprintf(stderr, " %s", faults_name(kind));
	fprintf(stderr, "\n");
	return 2;
}

int main(int argc, char **argv)
{
	const char *seed = getenv("PH_FAULTS_SEED");
	struct sweep sweep = { .jobs = 4, .seed = seed ? (unsigned int)strtoul(seed, NULL, 10) : 20261130 };

	if (!read_options(argc, argv, &sweep))
		return refuse_options();
	for (size_t i = 0; i < ARRAY_LENGTH(scenes); i++) {
		if (sweep.scene && strcmp(sweep.scene, scenes[i]->name) != 0)
			continue;
		if (sweep.at)
			return run_one(&sweep, scenes[i]);
		sweep_scene(&sweep, scenes[i]);
	}
	printf("1..%u\n# %lu points\n", sweep.cases, sweep.runs);
	return sweep.failed_cases || !sweep.cases ? 1 : 0;
}
