/* Images without a registry: packed here from this very binary, and one layer built upon it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/storage/docker_checks.h"
#include "agent/storage/docker_run.h"
#include "agent/storage/scratch.h"
#include "common/cleanup.h"
#include "common/str.h"

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

/* ---- import ---- */

static int make_content(struct docker_run *run)
{
	PH_AUTO_CLOSE int directory = -1;
	int r;

	snprintf(run->directory, sizeof(run->directory), "%.200s/" DOCKER_CONTENT_PREFIX "XXXXXX",
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
	const struct command command = { .argv = argv, .deadline_ms = DOCKER_IMPORT_MS };

	snprintf(archive, size, "%s/image.tar", run->directory);
	return command_succeed(&command, NULL, error);
}

bool docker_check_import(struct docker_run *run)
{
	char archive[300];
	const char *const import[] = { "import", archive, run->image, NULL };
	struct ph_error error = { 0 };
	int r = make_content(run);

	if (r < 0)
		error_errno(&error, r, run->wanted->data_root, NULL, "make the image's content");
	else
		r = pack_content(run, archive, sizeof(archive), &error);
	if (r == 0)
		r = docker_run_command(import, DOCKER_IMPORT_MS, NULL, &error);
	docker_run_judge(run, "docker.import", "an image made here is taken",
			 "make room on the data-root; journalctl -u docker in the container", r,
			 &error, "imported");
	return r == 0;
}

/* ---- build ---- */

/* The program that changes the layer is the image's own: no shell, no network. */
static int write_recipe(const struct docker_run *run, char *context, size_t size)
{
	PH_AUTO_CLOSE int directory = -1;
	char recipe[256];
	int r;

	snprintf(context, size, "%s/build", run->directory);
	if (mkdir(context, 0755) < 0)
		return -errno;
	directory = open(context, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		return -errno;
	snprintf(recipe, sizeof(recipe),
		 "FROM %s\nCOPY second /second\nRUN [\"/phoenix-agent\", \"nested\", \"layer\", "
		 "\"%s\"]\n",
		 run->image, run->nonce);
	r = scratch_write(directory, "second", "second", 0644);
	return r < 0 ? r : scratch_write(directory, "Dockerfile", recipe, 0644);
}

/* The builder in dockerd itself: no plugin is needed, and its layers are the storage driver's. */
static int build(const struct docker_run *run, const char *context, const char *tag,
		 struct ph_error *error)
{
	static const char *const environment[] = { "DOCKER_BUILDKIT=0", NULL };
	const char *const argv[] = { "docker", "--host", DOCKER_HOST, "build", "--force-rm",
				     "--network", "none", "--label", DOCKER_LABEL, "--tag", tag,
				     context, NULL };
	const struct command command = { .argv = argv,
					 .environment = environment,
					 .deadline_ms = DOCKER_RUN_MS };

	return command_succeed(&command, NULL, error);
}

void docker_build_layer(struct docker_run *run, struct outcome *outcome)
{
	char context[300], tag[90];
	struct ph_error error = { 0 };
	int r = write_recipe(run, context, sizeof(context));

	snprintf(tag, sizeof(tag), "%s-built", run->image);
	if (r < 0)
		error_errno(&error, r, run->wanted->data_root, NULL, "write the recipe");
	else
		r = build(run, context, tag, &error);
	if (r == 0)
		text_copy(run->built, sizeof(run->built), tag);
	else if (strstr(error.why, "is not a docker command") || strstr(error.why, "buildx"))
		outcome_skip(outcome, "this docker client cannot build: %s", error.why);
	else
		outcome_fail(outcome, 0, "%s", error.why);
}

/* ---- afterwards ---- */

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

void docker_remove_images(struct docker_run *run, struct ph_error *error)
{
	const char *const remove_built[] = { "rmi", "--force", run->built, NULL };
	const char *const remove_image[] = { "rmi", "--force", run->image, NULL };

	if (run->built[0])
		docker_run_command(remove_built, DOCKER_IMPORT_MS, NULL, error);
	docker_run_command(remove_image, DOCKER_IMPORT_MS, NULL, error);
	remove_content(run);
}
