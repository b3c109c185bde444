/*
 * What confinement costs: a profile compiled cold, loaded from the cache, found unchanged, and ensured
 * for 1, 20 and 200 containers, as phoenix-host does it for each. The floors are measured in the same
 * rounds: apparmor_parser alone on the same text, and the kernel's replacement of the compiled bytes
 * alone. Prints one JSON document; nothing when a floor moved by more than a quarter between rounds,
 * because then the machine was too busy to say anything. Needs root; loads and removes a profile of
 * its own. Where the kernel has no AppArmor, only compiling is measured and the document says so.
 *
 *   bench-apparmor PROFILES_DIR [ROUNDS]
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/apparmor.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/confine/compile.h"
#include "controller/host/confine/facts.h"
#include "controller/host/confine/policy.h"
#include "controller/host/confine/render.h"

#define ROUNDS 5
#define ROUNDS_MAXIMUM 101
#define SAMPLES 5 /* per round; the least counts, for other work on the machine only adds */
#define DRIFT_MAXIMUM 0.25
#define PROFILE_NAME "phoenix-bench"

enum measure {
	FLOOR_PARSER,   /* apparmor_parser alone */
	FLOOR_REPLACE,  /* the compiled bytes into the kernel, alone */
	COLD_COMPILE,   /* no cache */
	CACHED_COMPILE, /* from the cache */
	COLD_ENSURE,    /* all that phoenix-host does for a first container */
	CACHED_ENSURE, /* the same after a restart of the machine: in the cache, not in the kernel */
	UNCHANGED,     /* the same for every further container */
	MEASURE_COUNT,
};

static const char *const measure_names[MEASURE_COUNT] = {
	[FLOOR_PARSER] = "floor_parser",  [FLOOR_REPLACE] = "floor_replace",
	[COLD_COMPILE] = "cold_compile",  [CACHED_COMPILE] = "cached_compile",
	[COLD_ENSURE] = "cold_ensure",    [CACHED_ENSURE] = "cached_ensure",
	[UNCHANGED] = "unchanged_ensure",
};

static const size_t fleet_sizes[] = { 1, 20, 200 };

struct fleet {
	double total_ms;
	size_t compiles;
	size_t loads;
};

struct bench {
	const char *profiles_dir;
	size_t rounds;
	struct confine_facts facts;
	bool loads;         /* the kernel takes policy */
	char directory[64]; /* the cache's */
	char source[80];    /* the rendered text as a file, for the parser alone */
	char *text;         /* owned */
	struct str binary;
	double series[MEASURE_COUNT][ROUNDS_MAXIMUM]; /* milliseconds */
	struct fleet fleets[ARRAY_LENGTH(fleet_sizes)];
};

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "bench-apparmor: %s: %s\n", what, why);
	exit(1);
}

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int compare_doubles(const void *left, const void *right)
{
	double a = *(const double *)left;
	double b = *(const double *)right;

	return (a > b) - (a < b);
}

static double median(const double *values, size_t count)
{
	double sorted[ROUNDS_MAXIMUM];

	memcpy(sorted, values, count * sizeof(*values));
	qsort(sorted, count, sizeof(*sorted), compare_doubles);
	return sorted[count / 2];
}

/* How far the rounds lie apart, as a part of their median. */
static double drift(const struct bench *bench, enum measure measure)
{
	const double *values = bench->series[measure];
	double least = values[0], most = values[0];

	for (size_t i = 1; i < bench->rounds; i++) {
		least = values[i] < least ? values[i] : least;
		most = values[i] > most ? values[i] : most;
	}
	return (most - least) / median(values, bench->rounds);
}

/* --- what is measured ------------------------------------------------------------------------- */

/* How many results the cache holds; with clear, none from now on. */
static size_t cache_entries(const struct bench *bench, bool clear)
{
	PH_AUTO_DIR DIR *directory = opendir(bench->directory);
	struct dirent *entry;
	size_t count = 0;

	while (directory && (entry = readdir(directory))) {
		if (entry->d_name[0] == '.')
			continue;
		count++;
		if (clear)
			unlinkat(dirfd(directory), entry->d_name, 0);
	}
	return count;
}

static void parser_alone(struct bench *bench)
{
	char *argv[] = { (char *)"apparmor_parser",
			 (char *)"--skip-kernel-load",
			 (char *)"--skip-cache",
			 (char *)"--quiet",
			 (char *)"--stdout",
			 bench->source,
			 NULL };
	char *environment[] = { (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int status;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	if (posix_spawnp(&pid, argv[0], &actions, NULL, argv, environment) ||
	    waitpid(pid, &status, 0) != pid || status)
		die("apparmor_parser", "did not compile the profile");
	posix_spawn_file_actions_destroy(&actions);
}

static void compile_once(struct bench *bench)
{
	struct confine_compile compile = { .text = bench->text,
					   .cache_dir = bench->directory,
					   .features_id = bench->facts.features_id,
					   .parser_version = bench->facts.parser_version };
	struct ph_error error = { 0 };

	str_fini(&bench->binary);
	bench->binary = STR_INIT;
	if (confine_compile(&compile, &bench->binary, NULL, &error) < 0)
		die("compile", error.why);
}

static void replace_alone(struct bench *bench)
{
	aa_kernel_interface *kernel = NULL;

	if (aa_kernel_interface_new(&kernel, NULL, NULL) ||
	    aa_kernel_interface_replace_policy(kernel, bench->binary.data, bench->binary.length))
		die("replace the policy", strerror(errno));
	aa_kernel_interface_unref(kernel);
}

/* The text under a name of its own: the host's containers keep theirs. The caller frees it. */
static char *render(const struct bench *bench)
{
	const struct confine_render render = { .features = bench->facts.features };
	struct ph_error error = { 0 };
	PH_AUTO_STR struct str renamed = STR_INIT;
	PH_AUTO_FREE char *text = NULL;
	const char *rest, *found;

	if (confine_render(bench->profiles_dir, &render, &text, &error) < 0)
		die("render", error.why);
	for (rest = text; (found = strstr(rest, CONFINE_PROFILE));
	     rest = found + strlen(CONFINE_PROFILE)) {
		str_append_bytes(&renamed, rest, (size_t)(found - rest));
		str_append(&renamed, PROFILE_NAME);
	}
	str_append(&renamed, rest);
	return ph_strdup(str_text(&renamed));
}

/* What phoenix-host does for each container: look at the host, render, compile or not, load or not. */
static bool ensure(struct bench *bench)
{
	struct ph_error error = { 0 };
	struct confine_policy policy = { .name = PROFILE_NAME, .cache_dir = bench->directory };
	struct confine_facts facts;
	PH_AUTO_FREE char *text = render(bench);
	int code;

	confine_facts_detect(NULL, &facts);
	policy.text = text;
	code = confine_policy_load(&policy, &facts, &error);
	if (code < 0)
		die("ensure", error.why);
	return code == CONFINE_POLICY_LOADED;
}

static void unload(void)
{
	struct ph_error error = { 0 };

	if (confine_policy_unload(PROFILE_NAME, &error) < 0)
		die("unload", error.why);
}

static void run_measure(struct bench *bench, enum measure measure)
{
	switch (measure) {
	case FLOOR_PARSER:
		parser_alone(bench);
		break;
	case FLOOR_REPLACE:
		replace_alone(bench);
		break;
	case COLD_COMPILE:
	case CACHED_COMPILE:
		compile_once(bench);
		break;
	default:
		ensure(bench);
		break;
	}
}

/* What has to be so before a measure, untimed. */
static void prepare_measure(struct bench *bench, enum measure measure)
{
	if (measure == COLD_COMPILE || measure == COLD_ENSURE)
		cache_entries(bench, true);
	else
		compile_once(bench);
	if (measure == FLOOR_REPLACE || measure == COLD_ENSURE || measure == CACHED_ENSURE)
		unload();
	else if (measure == UNCHANGED)
		ensure(bench);
}

static bool is_measured(const struct bench *bench, enum measure measure)
{
	return bench->loads || measure == FLOOR_PARSER || measure == COLD_COMPILE ||
	       measure == CACHED_COMPILE;
}

static void run_round(struct bench *bench, size_t round)
{
	for (int measure = 0; measure < MEASURE_COUNT; measure++) {
		for (size_t i = 0; i < SAMPLES && is_measured(bench, measure); i++) {
			double *least = &bench->series[measure][round];
			double begin, took;

			prepare_measure(bench, measure);
			begin = now_ms();
			run_measure(bench, measure);
			took = now_ms() - begin;
			*least = i && *least < took ? *least : took;
		}
	}
}

/* A fleet's worth, from an empty cache and a kernel without the profile. */
static void run_fleet(struct bench *bench, size_t index)
{
	struct fleet *fleet = &bench->fleets[index];
	double begin;

	cache_entries(bench, true);
	unload();
	begin = now_ms();
	for (size_t i = 0; i < fleet_sizes[index]; i++)
		fleet->loads += ensure(bench);
	fleet->total_ms = now_ms() - begin;
	fleet->compiles = cache_entries(bench, false);
}

/* --- the report ------------------------------------------------------------------------------- */

static double middle(const struct bench *bench, enum measure measure)
{
	return median(bench->series[measure], bench->rounds);
}

static void print_rounds(const struct bench *bench, enum measure measure)
{
	printf("    \"%s\": {\"median\": %.3f, \"rounds\": [", measure_names[measure],
	       middle(bench, measure));
	for (size_t i = 0; i < bench->rounds; i++)
		printf("%s%.3f", i ? ", " : "", bench->series[measure][i]);
	printf("]}");
}

static void print_loading(const struct bench *bench)
{
	printf("  \"containers\": {");
	for (size_t i = 0; i < ARRAY_LENGTH(fleet_sizes); i++)
		printf("%s\n    \"%zu\": {\"total_ms\": %.1f, \"compiles\": %zu, \"loads\": %zu}",
		       i ? "," : "", fleet_sizes[i], bench->fleets[i].total_ms,
		       bench->fleets[i].compiles, bench->fleets[i].loads);
	printf("\n  },\n");
	printf("  \"ratio\": {\"cold_compile_to_parser\": %.2f, \"cached_ensure_to_replace\": %.2f, "
	       "\"cold_to_cached_ensure\": %.2f, \"cold_to_cached_compile\": %.1f},\n",
	       middle(bench, COLD_COMPILE) / middle(bench, FLOOR_PARSER),
	       middle(bench, CACHED_ENSURE) / middle(bench, FLOOR_REPLACE),
	       middle(bench, COLD_ENSURE) / middle(bench, CACHED_ENSURE),
	       middle(bench, COLD_COMPILE) / middle(bench, CACHED_COMPILE));
}

static void print_compiling(const struct bench *bench)
{
	printf("  \"containers\": {\"skipped\": \"%s\"},\n",
	       confine_obstacle_reason(bench->facts.obstacle));
	printf("  \"ratio\": {\"cold_compile_to_parser\": %.2f, \"cold_to_cached_compile\": %.1f},\n",
	       middle(bench, COLD_COMPILE) / middle(bench, FLOOR_PARSER),
	       middle(bench, COLD_COMPILE) / middle(bench, CACHED_COMPILE));
}

static void print_report(const struct bench *bench)
{
	const char *bed = getenv("PH_BED");
	time_t now = time(NULL);
	bool first = true;
	struct utsname host;
	char date[16];

	uname(&host);
	strftime(date, sizeof(date), "%F", gmtime(&now));
	printf("{\n  \"benchmark\": \"apparmor\",\n"
	       "  \"goal\": {\"compiles_per_distinct_profile\": 1, \"cold_to_cached_ensure\": 5},\n"
	       "  \"binary_bytes\": %zu,\n  \"drift\": {\"floor_parser\": %.3f",
	       bench->binary.length, drift(bench, FLOOR_PARSER));
	if (bench->loads)
		printf(", \"floor_replace\": %.3f", drift(bench, FLOOR_REPLACE));
	printf("},\n  \"milliseconds\": {\n");
	for (int measure = 0; measure < MEASURE_COUNT; measure++) {
		if (!is_measured(bench, measure))
			continue;
		printf("%s", first ? "" : ",\n");
		print_rounds(bench, measure);
		first = false;
	}
	printf("\n  },\n");
	if (bench->loads)
		print_loading(bench);
	else
		print_compiling(bench);
	printf("  \"machine\": {\"bed\": \"%s\", \"kernel\": \"%s\", \"parser\": \"%s\", \"cpus\": %ld},\n"
	       "  \"date\": \"%s\"\n}\n",
	       bed ?: "native", host.release, bench->facts.parser_version,
	       sysconf(_SC_NPROCESSORS_ONLN), date);
}

static void refuse_drift(const struct bench *bench, enum measure measure)
{
	char why[80];

	if (drift(bench, measure) <= DRIFT_MAXIMUM)
		return;
	snprintf(why, sizeof(why), "moved by %.0f %% between rounds: too busy a machine",
		 drift(bench, measure) * 100);
	die(measure_names[measure], why);
}

static void set_up(struct bench *bench)
{
	FILE *file;

	confine_facts_detect(NULL, &bench->facts);
	bench->loads = bench->facts.obstacle == CONFINE_ABLE;
	strcpy(bench->directory, "/tmp/bench-apparmor.XXXXXX");
	if (!mkdtemp(bench->directory))
		die(bench->directory, strerror(errno));
	bench->text = render(bench);
	snprintf(bench->source, sizeof(bench->source), "%s.profile", bench->directory);
	file = fopen(bench->source, "w");
	if (!file || fputs(bench->text, file) < 0 || fclose(file))
		die(bench->source, strerror(errno));
}

static void clean_up(struct bench *bench)
{
	if (bench->loads)
		unload();
	cache_entries(bench, true);
	rmdir(bench->directory);
	unlink(bench->source);
	free(bench->text);
}

int main(int argc, char **argv)
{
	static struct bench bench = { .rounds = ROUNDS };

	if (argc > 2)
		bench.rounds = strtoul(argv[2], NULL, 10);
	if (argc < 2 || argc > 3 || bench.rounds < ROUNDS || bench.rounds > ROUNDS_MAXIMUM) {
		fprintf(stderr, "usage: bench-apparmor PROFILES_DIR [ROUNDS, at least %d]\n",
			ROUNDS);
		return 2;
	}
	bench.profiles_dir = argv[1];
	set_up(&bench);
	run_measure(&bench, FLOOR_PARSER); /* warm */
	for (size_t round = 0; round < bench.rounds; round++)
		run_round(&bench, round);
	for (size_t i = 0; i < ARRAY_LENGTH(fleet_sizes) && bench.loads; i++)
		run_fleet(&bench, i);
	clean_up(&bench);
	refuse_drift(&bench, FLOOR_PARSER);
	if (bench.loads)
		refuse_drift(&bench, FLOOR_REPLACE);
	print_report(&bench);
	str_fini(&bench.binary);
	return 0;
}
