#include "agent/docker/command_line.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/docker/docker.h"
#include "agent/docker/recipe.h"
#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"

static const char usage[] =
	"Usage: phoenix-agent install [OPTIONS]\n"
	"\n"
	"Brings Docker in this container to the wanted state. Run it again after any failure: it goes\n"
	"on where it stopped, and changes nothing when there is nothing to do.\n"
	"\n"
	"  --driver NAME         storage driver (default fuse-overlayfs)\n"
	"  --source NAME         distribution (default) or bundle\n"
	"  --version PATTERN     version of Docker's package, such as '20.10.*' (default any)\n"
	"  --no-hold             leave the packages free to be changed by others\n"
	"  --bundle DIR          the directory of the bundle, with its SHA256SUMS\n"
	"  --plan                say what would change, change nothing\n"
	"  --lock-timeout S      seconds to wait for another package manager (default 300)\n"
	"  --start-timeout S     seconds within which dockerd has to answer (default 90)\n"
	"  --quiet               no progress\n"
	"  --help                show this text\n"
	"\n"
	"Exit status: 0 done (changed or unchanged), 1 failed, 2 bad usage.\n";

#define TIMEOUT_MAXIMUM_S 86400

static void show_progress(void *user, const struct docker_progress *progress)
{
	static const char *const words[] = {
		[DOCKER_STEP_STARTED] = "...",
		[DOCKER_STEP_DONE] = "done",
		[DOCKER_STEP_UNCHANGED] = "unchanged",
		[DOCKER_STEP_FAILED] = "FAILED",
	};

	if (progress->state == DOCKER_STEP_STARTED)
		return;
	if (progress->state == DOCKER_STEP_RUNNING)
		fprintf(stderr, "      %-17s %s\n", progress->step, progress->message);
	else
		fprintf(stderr, "%2u/%u  %-17s %s (%llu ms)\n", progress->index, progress->total,
			progress->step, words[progress->state],
			(unsigned long long)progress->duration_ms);
}

static void show_result(const struct docker_result *result, bool plan_only)
{
	const struct docker_facts *facts = &result->facts;

	if (plan_only)
		printf("changes: %zu\n", result->plan.count);
	else
		printf("changed: %s\n", result->changed ? "yes" : "no");
	printf("init: %s\n", init_name(facts->init));
	for (size_t i = 0; i < facts->package_count; i++)
		if (facts->packages[i].version[0])
			printf("%s: %s\n", facts->packages[i].name, facts->packages[i].version);
	if (facts->responding)
		printf("server: %s\nstorage driver: %s\ncgroup driver: %s (v%s)\ndata root: %s\n",
		       facts->server_version, facts->driver, facts->cgroup_driver,
		       facts->cgroup_version, facts->data_root);
}

static void show_error(const struct ph_error *error)
{
	char text[1024];

	fprintf(stderr, "phoenix-agent: %s\n", error_format(error, text, sizeof(text)));
	if (error->step[0])
		fprintf(stderr, "  step: %s\n", error->step);
	if (error->remedy[0])
		fprintf(stderr, "  what to do: %s\n", error->remedy);
}

static int seconds_parse(const char *text, uint32_t *ret_ms)
{
	uint64_t seconds;

	if (text_to_u64(text, TIMEOUT_MAXIMUM_S, &seconds) < 0 || seconds == 0) {
		fprintf(stderr, "phoenix-agent: %s: write seconds, 1 to %d\n", text,
			TIMEOUT_MAXIMUM_S);
		return -1;
	}
	*ret_ms = (uint32_t)seconds * 1000;
	return 0;
}

/* The options that are a text of what is wanted; optarg lives as long as argv. */
static bool take_option(int option, struct docker_wanted *wanted)
{
	switch (option) {
	case 'd':
		wanted->storage_driver = optarg;
		return true;
	case 'S':
		wanted->source = optarg;
		return true;
	case 'v':
		wanted->version = optarg;
		return true;
	case 'n':
		wanted->hold = false;
		return true;
	case 'b':
		wanted->bundle = optarg;
		return true;
	default:
		return false;
	}
}

/* Returns -1 to go on, or the exit code. */
static int options_parse(int argc, char **argv, struct docker_wanted *wanted, bool *ret_quiet)
{
	static const struct option options[] = {
		{ "driver", required_argument, NULL, 'd' },
		{ "source", required_argument, NULL, 'S' },
		{ "version", required_argument, NULL, 'v' },
		{ "no-hold", no_argument, NULL, 'n' },
		{ "bundle", required_argument, NULL, 'b' },
		{ "plan", no_argument, NULL, 'p' },
		{ "lock-timeout", required_argument, NULL, 'l' },
		{ "start-timeout", required_argument, NULL, 's' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option == 'h') {
			fputs(usage, stdout);
			return 0;
		}
		if (take_option(option, wanted))
			continue;
		if (option == 'p')
			wanted->plan_only = true;
		else if (option == 'q')
			*ret_quiet = true;
		else if (option == 'l' && seconds_parse(optarg, &wanted->lock_timeout_ms) == 0)
			continue;
		else if (option == 's' && seconds_parse(optarg, &wanted->start_timeout_ms) == 0)
			continue;
		else
			return 2;
	}
	if (optind != argc) {
		fputs(usage, stderr);
		return 2;
	}
	return -1;
}

int docker_main(int argc, char **argv)
{
	PH_AUTO_FREE struct docker_result *result = ph_alloc(sizeof(*result));
	struct docker_wanted wanted = { .hold = true };
	struct ph_error error = { 0 };
	bool quiet = false;
	int code = options_parse(argc, argv, &wanted, &quiet);

	if (code >= 0)
		return code;
	if (docker_install(&wanted, quiet ? NULL : show_progress, NULL, result, &error) < 0) {
		show_error(&error);
		return 1;
	}
	show_result(result, wanted.plan_only);
	return 0;
}
