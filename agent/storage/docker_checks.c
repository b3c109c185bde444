/* The story of the Docker checks, and what has to be true before and after it. */
#include "agent/storage/docker_checks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/docker/docker.h"
#include "agent/storage/docker_run.h"
#include "agent/storage/scratch.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/str.h"

#define ARGUMENTS_MAXIMUM 24
#define GONE_MS 5000 /* for a FUSE daemon to end after its unmount */

int docker_run_command(const char *const *arguments, uint32_t deadline_ms,
		       struct command_result *ret_result, struct ph_error *error)
{
	const char *argv[ARGUMENTS_MAXIMUM + 4] = { "docker", "--host", DOCKER_HOST };
	const struct command command = { .argv = argv, .deadline_ms = deadline_ms };

	for (size_t i = 0; i < ARGUMENTS_MAXIMUM && arguments[i]; i++)
		argv[3 + i] = arguments[i];
	return command_succeed(&command, ret_result, error);
}

void docker_run_add(struct docker_run *run, const char *id, const char *expected,
		    const char *remedy, const struct outcome *outcome)
{
	report_add(run->report, id, expected, remedy, outcome);
}

void docker_run_judge(struct docker_run *run, const char *id, const char *expected,
		      const char *remedy, int result, const struct ph_error *error,
		      const char *got)
{
	struct outcome outcome = { 0 };

	if (result < 0)
		outcome_fail(&outcome, 0, "%s", error->why);
	else
		outcome_pass(&outcome, "%s", got);
	docker_run_add(run, id, expected, remedy, &outcome);
}

/* ---- info ---- */

static void check_data_root(struct docker_run *run, const struct docker_facts *facts)
{
	struct stat wanted, used;
	struct outcome outcome = { 0 };

	if (stat(run->wanted->data_root, &wanted) < 0 || stat(facts->data_root, &used) < 0)
		outcome_fail(&outcome, errno, "look at %.100s", facts->data_root);
	else if (wanted.st_dev != used.st_dev || wanted.st_ino != used.st_ino)
		outcome_fail(&outcome, 0, "dockerd keeps its data in %.150s", facts->data_root);
	else
		outcome_pass(&outcome, "%.150s", facts->data_root);
	docker_run_add(run, "docker.data-root", "dockerd uses the data-root that was tried",
		       "take data-root out of daemon.json, or verify that directory", &outcome);
}

static bool check_info(struct docker_run *run)
{
	PH_AUTO_FREE struct docker_facts *facts = ph_alloc(sizeof(*facts));
	struct outcome outcome = { 0 };
	struct ph_error error = { 0 };
	int r = docker_ask(NULL, DOCKER_INFO_MS, facts, &error);

	if (r < 0)
		outcome_fail(&outcome, 0, "%s", error.why);
	else if (!text_equal(facts->driver, run->wanted->driver))
		outcome_fail(&outcome, 0, "driver %s", facts->driver);
	else
		outcome_pass(&outcome, "Docker %s, driver %s, cgroup %s v%s", facts->server_version,
			     facts->driver, facts->cgroup_driver, facts->cgroup_version);
	docker_run_add(run, "docker.info", "dockerd answers with the planned driver",
		       "phoenixctl apply again; journalctl -u docker in the container", &outcome);
	if (r == 0)
		check_data_root(run, facts);
	return r == 0;
}

/* ---- nothing is left ---- */

/* Whether dockerd's side of the mount table (that of the first process) shows a path. */
static bool is_mounted(const char *path)
{
	PH_AUTO_FILE FILE *file = fopen("/proc/1/mountinfo", "re");
	PH_AUTO_FREE char *line = NULL;
	size_t size = 0;

	while (file && getline(&line, &size, file) >= 0)
		if (strstr(line, path))
			return true;
	return false;
}

/* Docker unmounts first and answers before the daemon has ended. */
static const char *what_is_left(const struct docker_run *run)
{
	const struct timespec pause = { .tv_nsec = 5 * 1000 * 1000 };
	uint64_t deadline = clock_monotonic_ms() + GONE_MS;
	const char *left;

	if (!run->layer[0])
		return NULL; /* this driver mounts nothing and has no daemon */
	do {
		left = is_mounted(run->layer)		     ? "a mount" :
		       scratch_has_daemon(run->layer)	     ? "a fuse-overlayfs process" :
		       access(run->layer, F_OK) == 0	     ? "the container's layer" :
							       NULL;
	} while (left && clock_monotonic_ms() < deadline && nanosleep(&pause, NULL) == 0);
	return left;
}

static void check_clean(struct docker_run *run)
{
	const char *const list[] = { "ps", "--all", "--quiet", "--filter",
				     "label=" DOCKER_LABEL, NULL };
	PH_AUTO_COMMAND_RESULT struct command_result ended = { 0 };
	struct outcome outcome = { 0 };
	struct ph_error error = { 0 };
	const char *left;

	docker_remove_containers(run, &error);
	docker_remove_images(run, &error);
	left = what_is_left(run);
	if (error_is_set(&error) ||
	    docker_run_command(list, DOCKER_INFO_MS, &ended, &error) < 0)
		outcome_fail(&outcome, 0, "%s", error.why);
	else if (ended.output_length)
		outcome_fail(&outcome, 0, "container %s is left", ended.output);
	else if (left)
		outcome_fail(&outcome, 0, "%s is left: %.120s", left, run->layer);
	else
		outcome_pass(&outcome, "nothing left");
	docker_run_add(run, "docker.clean",
		       "no image, container, mount, process or file of the check is left",
		       "docker rm --force the container named phoenix-verify-*", &outcome);
}

/* What a killed run has left behind. */
static void remove_leftovers(struct docker_run *run)
{
	const char *data_root = run->wanted->data_root;
	PH_AUTO_CLOSE int root = open(data_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	PH_AUTO_DIR DIR *stream = NULL;
	const struct dirent *entry;
	int copy = root < 0 ? -1 : dup(root);

	stream = copy < 0 ? NULL : fdopendir(copy);
	while (stream && (entry = readdir(stream)))
		if (text_has_prefix(entry->d_name, DOCKER_CONTENT_PREFIX))
			scratch_remove_tree(root, entry->d_name);
	docker_remove_containers(run, NULL);
}

/* ---- the story ---- */

static void name_everything(struct docker_run *run)
{
	unsigned char random[16];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		abort();
	bytes_to_hex(random, sizeof(random), run->nonce);
	snprintf(run->image, sizeof(run->image), "phoenix-verify:%s", run->nonce);
	snprintf(run->name, sizeof(run->name), "phoenix-verify-%.8s", run->nonce);
	snprintf(run->second, sizeof(run->second), "phoenix-verify-%.8s-2", run->nonce);
}

void docker_checks(const struct verify_wanted *wanted, struct report *report)
{
	struct docker_run run = { .wanted = wanted, .report = report, .input = -1 };
	struct ph_error error = { 0 };

	name_everything(&run);
	report_begin(report);
	if (!check_info(&run))
		return;
	remove_leftovers(&run);
	if (!docker_check_import(&run)) {
		docker_remove_images(&run, &error);
		return;
	}
	if (docker_check_run(&run))
		docker_check_second(&run);
	check_clean(&run);
}
