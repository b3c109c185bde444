/*
 * What a call costs: Agent.Health over a Unix socket between two processes on one CPU, against an
 * echo of the same numbers of bytes by nothing but epoll, read and write, and against the same call by
 * sd-bus from peer to peer and by ttrpc in Go, where they were built. Rounds of all are interleaved; the
 * medians of the rounds' percentiles are printed as JSON. When the floor itself moved by more than a
 * quarter between rounds, the machine was too busy and nothing is reported.
 *
 *   bench-rpc [ROUNDS [CALLS [CPU]]]
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "tests/bench/rpc/way.h"

#define ROUNDS 9
#define ROUNDS_MINIMUM 5
#define ROUNDS_MAXIMUM 101
#define CALLS 20000
#define CALLS_MAXIMUM 10000000
#define WARM_UP_CALLS 2000
#define DRIFT_MAXIMUM 0.25

/* The first is the floor, the second is judged, the others are what it is compared with. */
static const struct way *const ways[] = { &way_raw, &way_phoenix, &way_sdbus, &way_ttrpc };
#define WAYS ARRAY_LENGTH(ways)

struct percentiles {
	double p50; /* microseconds */
	double p99;
	double drift; /* of the p50 between the rounds */
};

/* One way's rounds. */
struct series {
	void *state;        /* NULL: it was not measured */
	const char *absent; /* why not */
	struct percentiles rounds[ROUNDS_MAXIMUM];
	size_t count;
	struct percentiles medians;
};

struct bench {
	size_t rounds;
	size_t calls;
	int cpu;
	uint64_t *samples;    /* owned: nanoseconds, one per call */
	size_t request_bytes; /* on the wire, frame headers included */
	size_t reply_bytes;
	struct series series[WAYS];
};

static int compare_samples(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left;
	uint64_t b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

static int compare_doubles(const void *left, const void *right)
{
	double a = *(const double *)left;
	double b = *(const double *)right;

	return (a > b) - (a < b);
}

static void add_round(struct series *series, uint64_t *samples, size_t count)
{
	struct percentiles *round = &series->rounds[series->count++];

	qsort(samples, count, sizeof(*samples), compare_samples);
	round->p50 = (double)samples[count / 2] / 1000;
	round->p99 = (double)samples[count * 99 / 100] / 1000;
}

static void take_medians(struct series *series)
{
	double p50[ROUNDS_MAXIMUM], p99[ROUNDS_MAXIMUM];
	size_t last = series->count - 1;

	for (size_t i = 0; i < series->count; i++) {
		p50[i] = series->rounds[i].p50;
		p99[i] = series->rounds[i].p99;
	}
	qsort(p50, series->count, sizeof(*p50), compare_doubles);
	qsort(p99, series->count, sizeof(*p99), compare_doubles);
	series->medians = (struct percentiles){
		.p50 = p50[last / 2],
		.p99 = p99[last / 2],
		.drift = (p50[last] - p50[0]) / p50[last / 2],
	};
}

static void run_rounds(struct bench *bench)
{
	for (size_t way = 0; way < WAYS; way++) {
		struct series *series = &bench->series[way];

		series->state = ways[way]->open(&series->absent);
		if (series->state)
			ways[way]->round(series->state, bench->samples, WARM_UP_CALLS);
	}
	for (size_t i = 0; i < bench->rounds; i++)
		for (size_t way = 0; way < WAYS; way++) {
			struct series *series = &bench->series[way];

			if (!series->state)
				continue;
			ways[way]->round(series->state, bench->samples, bench->calls);
			add_round(series, bench->samples, bench->calls);
		}
	for (size_t way = 0; way < WAYS; way++)
		if (bench->series[way].state)
			take_medians(&bench->series[way]);
}

/* --- the report --- */

static void print_way(const struct way *way, const struct series *series)
{
	if (!series->state) {
		printf("  \"%s\": {\"skipped\": \"%s\"},\n", way->name, series->absent);
		return;
	}
	printf("  \"%s_us\": {\"p50\": %.2f, \"p99\": %.2f, \"drift\": %.3f},\n", way->name,
	       series->medians.p50, series->medians.p99, series->medians.drift);
	printf("  \"%s_rounds_us\": [", way->name);
	for (size_t i = 0; i < series->count; i++)
		printf("%s%.2f", i ? ", " : "", series->rounds[i].p50);
	printf("],\n");
}

/* How many times as fast as another way ours is. */
static void print_faster(const struct way *way, const struct series *series,
			 const struct series *ours)
{
	if (series->state)
		printf("  \"faster_than_%s\": {\"p50\": %.2f, \"p99\": %.2f},\n", way->name,
		       series->medians.p50 / ours->medians.p50,
		       series->medians.p99 / ours->medians.p99);
}

static void print_machine(void)
{
	struct utsname machine;
	time_t now = time(NULL);
	char date[16];

	uname(&machine);
	strftime(date, sizeof(date), "%Y-%m-%d", gmtime(&now));
	printf("  \"machine\": {\"cpus\": %ld, \"kernel\": \"%s\"},\n  \"date\": \"%s\"\n}\n",
	       sysconf(_SC_NPROCESSORS_ONLN), machine.release, date);
}

static int report(const struct bench *bench)
{
	const struct series *floor = &bench->series[0], *ours = &bench->series[1];

	if (floor->medians.drift > DRIFT_MAXIMUM) {
		fprintf(stderr,
			"bench-rpc: no report: the floor moved by %.0f %% between rounds (at most "
			"%.0f %%); the machine is busy, run it again\n",
			100 * floor->medians.drift, 100 * DRIFT_MAXIMUM);
		return 1;
	}
	printf("{\n  \"benchmark\": \"rpc\",\n"
	       "  \"goal\": {\"ratio_p50\": 1.5, \"faster_than_ttrpc\": {\"p50\": 1.7, \"p99\": 3}},\n"
	       "  \"rounds\": %zu, \"calls\": %zu, \"cpu\": %d,\n",
	       bench->rounds, bench->calls, bench->cpu);
	printf("  \"request_bytes\": %zu, \"reply_bytes\": %zu,\n", bench->request_bytes,
	       bench->reply_bytes);
	for (size_t way = 0; way < WAYS; way++)
		print_way(ways[way], &bench->series[way]);
	for (size_t way = 2; way < WAYS; way++)
		print_faster(ways[way], &bench->series[way], ours);
	printf("  \"ratio\": {\"p50\": %.3f, \"p99\": %.3f},\n",
	       ours->medians.p50 / floor->medians.p50, ours->medians.p99 / floor->medians.p99);
	print_machine();
	return 0;
}

/* The last CPU by default: interrupts tend to be served on the first. */
static int pick_cpu(void)
{
	cpu_set_t allowed;
	int last = 0;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		way_die("sched_getaffinity");
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed))
			last = cpu;
	return last;
}

static size_t number_argument(int count, char **arguments, int index, size_t lowest, size_t highest,
			      size_t otherwise)
{
	uint64_t value;

	if (index >= count)
		return otherwise;
	if (text_to_u64(arguments[index], highest, &value) < 0 || value < lowest) {
		fprintf(stderr,
			"bench-rpc: \"%s\" is not a number from %zu to %zu\n"
			"usage: bench-rpc [ROUNDS [CALLS [CPU]]]\n",
			arguments[index], lowest, highest);
		exit(2);
	}
	return (size_t)value;
}

int main(int count, char **arguments)
{
	struct bench bench = { 0 };
	cpu_set_t one;

	bench.rounds = number_argument(count, arguments, 1, ROUNDS_MINIMUM, ROUNDS_MAXIMUM, ROUNDS);
	bench.calls = number_argument(count, arguments, 2, WARM_UP_CALLS, CALLS_MAXIMUM, CALLS);
	bench.cpu = (int)number_argument(count, arguments, 3, 0, CPU_SETSIZE - 1,
					 (size_t)pick_cpu());
	bench.samples = ph_alloc_array(bench.calls, sizeof(*bench.samples));
	CPU_ZERO(&one);
	CPU_SET((size_t)bench.cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one) < 0)
		way_die("sched_setaffinity");
	way_phoenix_measure(&bench.request_bytes, &bench.reply_bytes);
	way_raw_set_bytes(bench.request_bytes, bench.reply_bytes);
	run_rounds(&bench);
	return report(&bench);
}
