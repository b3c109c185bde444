#include "agent/storage/docker_checks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/docker/docker.h"
#include "agent/storage/nested.h"
#include "agent/storage/scratch.h"
#include "agent/system/command.h"
#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"

#define HOST "unix:///var/run/docker.sock" /* named: no context in ~/.docker sends us elsewhere */
#define IMAGE "phoenix-verify"
#define INFO_MS 10000
#define IMPORT_MS 60000
#define RUN_MS 120000
#define HOLD_MS 5000
#define PREFIX "phoenix-verify-image-"

struct docker_run {
	const struct verify_wanted *wanted;
	struct report *report;
	char nonce[33];
	char directory[256]; /* owned on disk: the image's content */
	char name[64];       /* of the nested container */
	struct nested_words words;
	int input;           /* write end of the nested program's stdin; -1 once closed */
};

static void add(struct docker_run *run, const char *id, const char *expected, const char *remedy,
		const struct outcome *outcome)
{
	report_add(run->report, id, expected, remedy, outcome);
}

/* ---- info ---- */

static bool check_info(struct docker_run *run)
{
	PH_AUTO_FREE struct docker_facts *facts = ph_alloc(sizeof(*facts));
	struct outcome outcome = { 0 };
	struct ph_error error = { 0 };
	int r = docker_ask(NULL, INFO_MS, facts, &error);

	if (r < 0)
		outcome_fail(&outcome, 0, "%s", error.why);
	else if (!text_equal(facts->driver, run->wanted->driver))
		outcome_fail(&outcome, 0, "driver %s", facts->driver);
	else
		outcome_pass(&outcome, "Docker %s, driver %s, cgroup %s v%s", facts->server_version,
			     facts->driver, facts->cgroup_driver, facts->cgroup_version);
	add(run, "docker.info", "dockerd answers with the planned driver",
	    "phoenixctl apply again; journalctl -u docker in the container", &outcome);
	return r == 0;
}

/* ---- the image ---- */

static int copy_self(int directory)
{
	PH_AUTO_CLOSE int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	PH_AUTO_CLOSE int to = openat(directory, "phoenix-agent",
				      O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	struct stat status;
	off_t left;

	if (from < 0 || to < 0 || fstat(from, &status) < 0)
		return -errno;
	for (left = status.st_size; left > 0;) {
		ssize_t sent = sendfile(to, from, NULL, (size_t)left);

		if (sent <= 0)
			return sent < 0 ? -errno : -EIO;
		left -= sent;
	}
	return fchmod(to, 0755) < 0 ? -errno : 0;
}

static int make_content(struct docker_run *run)
{
	PH_AUTO_CLOSE int directory = -1;
	int r;

	snprintf(run->directory, sizeof(run->directory), "%.200s/" PREFIX "XXXXXX",
		 run->wanted->data_root);
	if (!mkdtemp(run->directory)) {
		run->directory[0] = '\0';
		return -errno;
	}
	directory = open(run->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0 || fchmod(directory, 0755) < 0)
		return -errno;
	r = copy_self(directory);
	if (r == 0)
		r = scratch_write(directory, "lower-write", "lower", 0600);
	if (r == 0)
		r = scratch_write(directory, "lower-delete", "lower", 0600);
	return r;
}

static int pack_content(struct docker_run *run, char *archive, size_t size,
			struct ph_error *error)
{
	const char *const argv[] = { "tar", "--create", "--file", archive, "--numeric-owner",
				     "--owner=0", "--group=0", "--directory", run->directory,
				     "phoenix-agent", "lower-write", "lower-delete", NULL };
	const struct command command = { .argv = argv, .deadline_ms = IMPORT_MS };

	snprintf(archive, size, "%s/image.tar", run->directory);
	return command_succeed(&command, NULL, error);
}

static bool check_import(struct docker_run *run)
{
	char archive[300], image[80];
	const char *const argv[] = { "docker", "--host", HOST, "import", archive, image, NULL };
	const struct command command = { .argv = argv, .deadline_ms = IMPORT_MS };
	struct outcome outcome = { 0 };
	struct ph_error error = { 0 };
	int r = make_content(run);

	snprintf(image, sizeof(image), IMAGE ":%s", run->nonce);
	if (r < 0)
		error_errno(&error, r, run->wanted->data_root, NULL, "make the image's content");
	else
		r = pack_content(run, archive, sizeof(archive), &error);
	if (r == 0)
		r = command_succeed(&command, NULL, &error);
	if (r < 0)
		outcome_fail(&outcome, 0, "%s", error.why);
	else
		outcome_pass(&outcome, "imported");
	add(run, "docker.import", "an image made here is taken",
	    "make room on the data-root; journalctl -u docker in the container", &outcome);
	return r == 0;
}

/* ---- the nested container ---- */

static void close_input(struct docker_run *run)
{
	if (run->input >= 0)
		close(run->input);
	run->input = -1;
}

/* The nested program waits now: let the host look, then let it end. */
static void nested_is_ready(struct docker_run *run)
{
	struct pollfd held = { .fd = run->wanted->hold_fd, .events = POLLIN };
	struct outcome outcome = { 0 };

	outcome_pass(&outcome, "%s", run->name);
	add(run, "docker.nested-running", "the nested container runs", "", &outcome);
	if (held.fd >= 0)
		poll(&held, 1, HOLD_MS);
	report_begin(run->report);
	close_input(run);
}

static void nested_line(void *user, enum command_stream stream, const char *line)
{
	struct docker_run *run = user;
	bool was_ready = run->words.is_ready;

	if (stream != COMMAND_OUTPUT)
		return;
	nested_take_line(&run->words, line);
	if (run->words.is_ready && !was_ready)
		nested_is_ready(run);
}

static int run_nested(struct docker_run *run, struct ph_error *error)
{
	char image[80];
	const char *const argv[] = { "docker",    "--host", HOST,  "run",   "--rm",
				     "--interactive", "--network", "none", "--name",
				     run->name,   "--label", "phoenix-verify", image,
				     "/phoenix-agent", "nested", run->nonce, NULL };
	struct command command = { .argv = argv, .deadline_ms = RUN_MS, .line = nested_line,
				   .user = run };
	int ends[2], r;

	snprintf(image, sizeof(image), IMAGE ":%s", run->nonce);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_errno(error, -errno, NULL, NULL, "pipe");
	run->input = ends[1];
	command.input_fd = ends[0];
	r = command_succeed(&command, NULL, error);
	close(ends[0]);
	close_input(run);
	return r;
}

static bool check_run(struct docker_run *run)
{
	struct outcome outcome = { 0 };
	struct ph_error error = { 0 };
	int r = run_nested(run, &error);

	if (r < 0)
		outcome_fail(&outcome, 0, "%s", error.why);
	else
		outcome_pass(&outcome, "exit code 0");
	add(run, "docker.run", "a container runs without registry and network",
	    "journalctl -u docker in the container; AppArmor messages in the host's kernel log",
	    &outcome);
	return r == 0;
}

static void check_nonce(struct docker_run *run)
{
	struct outcome outcome = { 0 };

	if (text_equal(run->words.nonce, run->nonce))
		outcome_pass(&outcome, "came back");
	else
		outcome_fail(&outcome, 0, "got '%s'", run->words.nonce);
	add(run, "docker.nonce", "the nonce comes back from inside",
	    "the docker program is not what it seems: look at which docker", &outcome);
}

/* fuse-overlayfs 1.x mounts type fuse.fuse-overlayfs, 2.x type fuse. */
static bool is_wanted_type(const char *driver, const char *type)
{
	if (text_equal(driver, "overlay2"))
		return text_equal(type, "overlay");
	return text_equal(type, "fuse.fuse-overlayfs") || text_equal(type, "fuse");
}

static void check_root(struct docker_run *run)
{
	struct outcome outcome = { 0 };

	if (is_wanted_type(run->wanted->driver, run->words.root_type))
		outcome_pass(&outcome, "%s, 0x%s", run->words.root_type, run->words.root_magic);
	else
		outcome_fail(&outcome, 0, "root is '%s'", run->words.root_type);
	add(run, "docker.root", "seen from inside, the root is the driver's mount",
	    "dockerd uses another driver than planned: phoenixctl apply again", &outcome);
}

static void check_layers(struct docker_run *run)
{
	struct outcome outcome = { 0 };

	if (text_equal(run->words.changed, "yes"))
		outcome_pass(&outcome, "written and deleted");
	else
		outcome_fail(&outcome, 0, "'%s'", run->words.changed);
	add(run, "docker.layers", "inside, a lower file is written and another deleted",
	    "the driver cannot hold image layers here", &outcome);
}

/* ---- afterwards ---- */

static void remove_image(struct docker_run *run, struct ph_error *error)
{
	char image[80];
	const char *const kill[] = { "docker", "--host", HOST, "rm", "--force", run->name, NULL };
	const char *const remove[] = { "docker", "--host", HOST, "rmi", "--force", image, NULL };
	const struct command kill_command = { .argv = kill, .deadline_ms = RUN_MS };
	const struct command remove_command = { .argv = remove, .deadline_ms = IMPORT_MS };
	PH_AUTO_COMMAND_RESULT struct command_result ended = { 0 };

	snprintf(image, sizeof(image), IMAGE ":%s", run->nonce);
	command_run(&kill_command, &ended, NULL); /* gone already, when all went well */
	command_succeed(&remove_command, NULL, error);
}

static void remove_content(struct docker_run *run)
{
	PH_AUTO_CLOSE int parent = -1;
	char *slash;

	if (!run->directory[0])
		return;
	slash = strrchr(run->directory, '/');
	*slash = '\0';
	parent = open(run->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent >= 0)
		scratch_remove_tree(parent, slash + 1);
	run->directory[0] = '\0';
}

static void check_clean(struct docker_run *run)
{
	const char *const argv[] = { "docker", "--host", HOST, "ps", "--all", "--quiet", "--filter",
				     "label=phoenix-verify", NULL };
	const struct command command = { .argv = argv, .deadline_ms = INFO_MS };
	PH_AUTO_COMMAND_RESULT struct command_result ended = { 0 };
	struct outcome outcome = { 0 };
	struct ph_error error = { 0 };

	remove_image(run, &error);
	remove_content(run);
	if (error_is_set(&error) || command_succeed(&command, &ended, &error) < 0)
		outcome_fail(&outcome, 0, "%s", error.why);
	else if (ended.output_length)
		outcome_fail(&outcome, 0, "container %s is left", ended.output);
	else
		outcome_pass(&outcome, "nothing left");
	add(run, "docker.clean", "no image, container or file of the check is left",
	    "docker rm --force the container named phoenix-verify-*", &outcome);
}

static void remove_leftovers(const char *data_root)
{
	PH_AUTO_CLOSE int root = open(data_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	PH_AUTO_DIR DIR *stream = NULL;
	const struct dirent *entry;
	int copy = root < 0 ? -1 : dup(root);

	stream = copy < 0 ? NULL : fdopendir(copy);
	while (stream && (entry = readdir(stream)))
		if (text_has_prefix(entry->d_name, PREFIX))
			scratch_remove_tree(root, entry->d_name);
}

void docker_checks(const struct verify_wanted *wanted, struct report *report)
{
	struct docker_run run = { .wanted = wanted, .report = report, .input = -1 };
	unsigned char random[16];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		abort();
	bytes_to_hex(random, sizeof(random), run.nonce);
	snprintf(run.name, sizeof(run.name), "phoenix-verify-%.8s", run.nonce);
	remove_leftovers(wanted->data_root);
	report_begin(report);
	if (!check_info(&run) || !check_import(&run)) {
		remove_content(&run);
		return;
	}
	if (check_run(&run)) {
		check_nonce(&run);
		check_root(&run);
		check_layers(&run);
	}
	check_clean(&run);
}
