/*
 * The install flow against pretended programs. Each step fails in each way that it can, and is killed
 * at each point; whatever happened, nothing half-done lies about, the error names step, cause and
 * remedy, and the next run finishes the work. dockerd is never started before it is configured: the
 * fake apt-get checks that itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/docker/docker.h"
#include "agent/docker/guard.h"
#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "tests/component/docker_world.h"
#include "tests/support/cmocka.h"

#define WANTED_JSON                                                                                \
	"{\n    \"storage-driver\": \"fuse-overlayfs\",\n    \"features\": {\n"                    \
	"        \"containerd-snapshotter\": false\n    }\n}\n"
#define FOREIGN_POLICY "#!/bin/sh\n# somebody else's\nexit 0\n"

static int run(struct docker_world *world, docker_progress_fn progress, void *user,
	       bool *ret_changed, struct ph_error *error)
{
	PH_AUTO_FREE struct docker_result *result = ph_alloc(sizeof(*result));
	int code = docker_install(&world->wanted, progress, user, result, error);

	if (code == 0 && ret_changed)
		*ret_changed = result->changed;
	return code;
}

/* What must not be there after any run, whether it failed or not. */
static void expect_tidy(struct docker_world *world, const char *name)
{
	PH_AUTO_FREE char *all = docker_world_snapshot(world);
	PH_AUTO_FREE char *config = docker_world_read(world, "etc/docker/daemon.json");
	PH_AUTO_FREE char *policy = docker_world_read(world, "usr/sbin/policy-rc.d");

	if (strstr(all, ".phoenix-new") || strstr(all, ".phoenix-saved"))
		fail_msg("%s: left behind:\n%s", name, all);
	if (policy && strcmp(policy, FOREIGN_POLICY) != 0)
		fail_msg("%s: policy-rc.d was left:\n%s", name, policy);
	if (config && strstr(config, "fuse-overlayfs") && strcmp(config, WANTED_JSON) != 0)
		fail_msg("%s: daemon.json is half-written:\n%s", name, config);
}

/* Run to the end, and once more: the second run finds nothing and writes nothing. */
static void expect_convergence(struct docker_world *world, const char *name)
{
	PH_AUTO_FREE char *before = NULL, *after = NULL;
	struct ph_error error = { 0 };
	bool changed = false;

	if (run(world, NULL, NULL, &changed, &error) < 0)
		fail_msg("%s: %s: %s (%s)", name, error.step, error.why, error.where);
	expect_tidy(world, name);
	assert_false(docker_world_has(world, "run/phoenix-agent/docker-restart"));
	before = docker_world_snapshot(world);
	changed = true;
	assert_int_equal(run(world, NULL, NULL, &changed, &error), 0);
	after = docker_world_snapshot(world);
	if (changed || strcmp(before, after) != 0)
		fail_msg("%s: the second run changed something:\n%s\nto\n%s", name, before, after);
}

/* --- the walk ------------------------------------------------------------------------------------ */

struct fault {
	const char *name;
	const char *file; /* written before the run, removed before the next; NULL: none */
	const char *text;
	const char *absent; /* removed before the run, written empty before the next; NULL: none */
	const char *step;
	const char *why;                             /* a part of it */
	const char *remedy;                          /* a part of it */
	void (*prepare)(struct docker_world *world); /* may be NULL */
};

static void break_packages(struct docker_world *world)
{
	docker_world_write(world, "world/packages/libx", "iU |26.1", 0644);
	docker_world_write(world, "var/lib/dpkg/updates/0001", "", 0644);
}

static void make_reinstall(struct docker_world *world)
{
	docker_world_write(world, "world/packages/libx", "iHR|26.1", 0644);
}

/* An index date of tomorrow's tomorrow: our clock is behind. */
static void future_status(struct docker_world *world)
{
	const char *path = scratch_file(&world->scratch, "var/lib/dpkg/status");
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
				     { .tv_sec = time(NULL) + 4 * 86400 } };

	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static const struct fault faults[] = {
	{ "package database unreadable", "world/fail-query", "dpkg-query: error: no database", NULL,
	  "observe", "no database", "" },
	{ "unsupported distribution", "etc/os-release", "ID=void\nVERSION_CODENAME=x\n", NULL,
	  "observe", "unsupported distribution", "add a row" },
	{ "daemon.json is not JSON", "etc/docker/daemon.json", "{\n  \"a\": 1,,\n}", NULL,
	  "observe", "not valid JSON", "correct the file" },
	{ "daemon.json sets another driver", "etc/docker/daemon.json",
	  "{\"storage-driver\": \"overlay2\"}", NULL, "observe", "\"overlay2\"", "not touched" },
	{ "another Docker", "world/packages/docker-ce", "ii |5:28.0", NULL, "observe",
	  "from another source", "docker.source: none" },
	{ "no /dev/fuse", NULL, NULL, "dev/fuse", "preflight", "No such file", "lxc.mount.entry" },
	{ "clock behind", NULL, NULL, NULL, "preflight", "clock is wrong", "host's clock",
	  future_status },
	{ "configuring fails", "world/fail-configure",
	  "dpkg: error processing package libx (--configure):\n installed libx package post-installation "
	  "script subprocess returned error exit status 1\n",
	  NULL, "heal packages", "post-installation", "dpkg --configure -a", break_packages },
	{ "disk full while healing", "world/fail-configure",
	  "dpkg: error: No space left on device\n", NULL, "heal packages", "disk full",
	  "free space", break_packages },
	{ "no archive to reinstall from", "world/fail-reinstall",
	  "E: Failed to fetch http://m/x Could not resolve 'm'\n", NULL, "heal packages",
	  "no network", "resolv.conf", make_reinstall },
	{ "no network", "world/fail-update",
	  "W: Failed to fetch http://m Temporary failure resolving 'm'\n", NULL, "fetch packages",
	  "no network", "resolv.conf" },
	{ "clock behind the mirror", "world/fail-update",
	  "E: Release file for http://m is not valid yet (invalid for another 8d)\n", NULL,
	  "fetch packages", "clock behind", "host's clock" },
	{ "damaged archive", "world/fail-download",
	  "E: Failed to fetch http://m Hash Sum mismatch\n", NULL, "fetch packages",
	  "hash mismatch", "another mirror" },
	{ "disk full while fetching", "world/fail-download",
	  "E: You don't have enough free space in /var/cache/apt/archives/.\n", NULL,
	  "fetch packages", "disk full", "apt-get clean" },
	{ "the query fails", "world/fail-cache", "E: The package cache file is corrupted\n", NULL,
	  "fetch packages", "corrupted", "" },
	{ "dockerd refuses daemon.json", "world/fail-validate",
	  "unable to configure the Docker daemon with file: the following directives don't match any "
	  "configuration option: debgu\n",
	  NULL, "configure", "don't match any configuration option: debgu",
	  "daemon.json was not touched" },
	{ "/etc/docker is a file", "etc/docker", "", NULL, "observe", "Not a directory",
	  "not touched" },
	{ "a maintainer script fails", "world/fail-install",
	  "dpkg: error processing package docker.io (--configure):\n installed docker.io package "
	  "post-installation script subprocess returned error exit status 3\n",
	  NULL, "install packages", "exit status 3", "dpkg --configure -a" },
	{ "disk full while unpacking", "world/fail-install",
	  "failed to write (No space left on device)\n", NULL, "install packages", "disk full",
	  "goes on where it stopped" },
	{ "apt-get is killed", "world/kill-install", "", NULL, "install packages",
	  "killed by signal 9", "goes on where it stopped" },
	{ "apt-get lies", "world/lie-install", "", NULL, "check packages", "\"iU \"",
	  "dpkg --audit" },
	{ "dockerd does not start", "world/fail-start", "Job for docker.service failed.\n", NULL,
	  "activate", "Job for docker.service failed", "" },
	{ "dockerd does not answer", "world/fail-info", "", NULL, "confirm",
	  "the reason in the log", "journalctl" },
	{ "dockerd uses another driver", "world/driver", "vfs", NULL, "confirm", "driver vfs",
	  "--storage-driver flag" },
};

static void fault_check(const struct fault *fault, bool with_policy)
{
	struct docker_world world;
	struct ph_error error = { 0 };
	PH_AUTO_FREE char *kept = NULL;

	docker_world_init(&world);
	if (with_policy)
		docker_world_write(&world, "usr/sbin/policy-rc.d", FOREIGN_POLICY, 0755);
	if (fault->prepare)
		fault->prepare(&world);
	if (fault->file)
		docker_world_write(&world, fault->file, fault->text, 0644);
	if (fault->absent)
		docker_world_remove(&world, fault->absent);

	if (run(&world, NULL, NULL, NULL, &error) == 0)
		fail_msg("%s: it succeeded", fault->name);
	if (strcmp(error.step, fault->step) != 0 || !strstr(error.why, fault->why) ||
	    !strstr(error.remedy, fault->remedy) || !text_has_prefix(error.what, "install Docker"))
		fail_msg("%s: step \"%s\": %s: %s; remedy: %s", fault->name, error.step, error.what,
			 error.why, error.remedy);
	expect_tidy(&world, fault->name);
	if (fault->file) {
		kept = docker_world_read(&world, fault->file);
		assert_string_equal(kept, fault->text);
		docker_world_remove(&world, fault->file);
	}
	if (fault->absent)
		docker_world_write(&world, fault->absent, "", 0666);
	docker_world_write(&world, "etc/os-release", "ID=debian\nVERSION_CODENAME=bookworm\n",
			   0644);
	docker_world_write(&world, "var/lib/dpkg/status", "", 0644);
	expect_convergence(&world, fault->name);
	assert_int_equal(docker_world_has(&world, "usr/sbin/policy-rc.d"), with_policy);
	docker_world_fini(&world);
}

static void every_step_fails_tidily(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(faults); i++)
		fault_check(&faults[i], i % 2);
}

/* --- kills --------------------------------------------------------------------------------------- */

struct countdown {
	int left;
};

static void kill_at_zero(void *user, const struct docker_progress *progress)
{
	struct countdown *countdown = user;

	if (countdown->left-- == 0)
		kill(getpid(), SIGKILL);
}

static void every_point_can_be_killed(void **state)
{
	bool killed = true;
	int point;

	for (point = 0; killed; point++) {
		struct docker_world world;
		pid_t child;
		int status;
		char name[32];

		assert_true(point < 200);
		docker_world_init(&world);
		docker_world_write(&world, "usr/sbin/policy-rc.d", FOREIGN_POLICY, 0755);
		break_packages(&world);
		child = fork();
		if (child == 0) {
			struct countdown countdown = { point };

			_exit(run(&world, kill_at_zero, &countdown, NULL, NULL) < 0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		killed = WIFSIGNALED(status);
		assert_true(killed || WEXITSTATUS(status) == 0);
		snprintf(name, sizeof(name), "killed at point %d", point);
		expect_convergence(&world, name);
		docker_world_fini(&world);
	}
	/* Nine steps begin and end, and some of them have something to say. */
	assert_true(point > 18);
}

/* --- waiting ------------------------------------------------------------------------------------- */

struct heard {
	struct str text;
};

static void hear(void *user, const struct docker_progress *progress)
{
	struct heard *heard = user;

	str_appendf(&heard->text, "%s: %s\n", progress->step, progress->message);
}

/* A child that holds a lock for some time; returns once it has it. */
static pid_t lock_holder(const char *path, bool with_flock, useconds_t us)
{
	int ready[2];
	char byte;
	pid_t child;

	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
		int fd = open(path, O_RDWR | O_CREAT, 0600);

		if (with_flock ? flock(fd, LOCK_EX) : fcntl(fd, F_SETLK, &lock))
			_exit(1);
		(void)!write(ready[1], "x", 1);
		usleep(us);
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return child;
}

static const struct {
	const char *file;
	bool with_flock;
	useconds_t us;
	int result;
	const char *step;
	const char *words; /* that were heard, or of the error */
} lock_cases[] = {
	{ "var/lib/dpkg/lock-frontend", false, 500000, 0, "preflight", "(test_docker_ins) holds" },
	{ "var/cache/apt/archives/lock", false, 500000, 0, "preflight", "archives/lock" },
	{ "var/lib/dpkg/lock-frontend", false, 2500000, -EBUSY, "preflight",
	  "(test_docker_ins) holds" },
	{ "run/phoenix-agent/install.lock", true, 500000, 0, "observe", "installing already" },
	{ "run/phoenix-agent/install.lock", true, 2500000, -EBUSY, "observe",
	  "installing already" },
};

static void locks_are_waited_for(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(lock_cases); i++) {
		struct heard heard = { STR_INIT };
		struct docker_world world;
		struct ph_error error = { 0 };
		pid_t holder;
		int result;

		docker_world_init(&world);
		docker_world_write(&world, "run/phoenix-agent/readme", "", 0644);
		holder = lock_holder(scratch_file(&world.scratch, lock_cases[i].file),
				     lock_cases[i].with_flock, lock_cases[i].us);
		result = run(&world, hear, &heard, NULL, &error);
		if (result != lock_cases[i].result)
			fail_msg("case %zu: %d %s", i, result, error.why);
		if (!strstr(str_text(&heard.text), lock_cases[i].words))
			fail_msg("case %zu: heard\n%s", i, str_text(&heard.text));
		if (result < 0) {
			assert_string_equal(error.step, lock_cases[i].step);
			assert_non_null(strstr(error.why, lock_cases[i].words));
			expect_tidy(&world, lock_cases[i].file);
		}
		waitpid(holder, NULL, 0);
		expect_convergence(&world, lock_cases[i].file);
		str_fini(&heard.text);
		docker_world_fini(&world);
	}
}

/* --- what is done, and what is not --------------------------------------------------------------- */

static void plans_change_nothing(void **state)
{
	PH_AUTO_FREE struct docker_result *result = ph_alloc(sizeof(*result));
	PH_AUTO_FREE char *before = NULL, *after = NULL;
	struct docker_world world;

	docker_world_init(&world);
	break_packages(&world);
	world.wanted.plan_only = true;
	before = docker_world_snapshot(&world);
	assert_int_equal(docker_install(&world.wanted, NULL, NULL, result, NULL), 0);
	after = docker_world_snapshot(&world);
	assert_string_equal(before, after);
	assert_false(result->changed);
	assert_non_null(docker_plan_find(&result->plan, PLAN_HEAL));
	assert_non_null(docker_plan_find(&result->plan, PLAN_INSTALL));
	assert_non_null(docker_plan_find(&result->plan, PLAN_CONFIGURE));
	docker_world_fini(&world);
}

static size_t count_of(const char *text, const char *word)
{
	size_t count = 0;

	for (text = strstr(text, word); text; text = strstr(text + 1, word))
		count++;
	return count;
}

static void a_running_dockerd_is_restarted_once(void **state)
{
	PH_AUTO_FREE char *log = NULL, *backup = NULL, *config = NULL;
	struct docker_world world;
	struct stat status;
	bool changed;

	docker_world_init(&world);
	assert_int_equal(run(&world, NULL, NULL, NULL, NULL), 0);
	docker_world_write(&world, "etc/docker/daemon.json", "{\"debug\": true}", 0600);
	docker_world_write(&world, "world/log", "", 0644);
	assert_int_equal(run(&world, NULL, NULL, &changed, NULL), 0);
	assert_true(changed);
	log = docker_world_read(&world, "world/log");
	assert_int_equal(count_of(log, "systemctl restart docker"), 1);
	assert_int_equal(count_of(log, "apt-get"), 0);
	backup = docker_world_read(&world, "etc/docker/daemon.json.phoenix-backup");
	assert_string_equal(backup, "{\"debug\": true}");
	config = docker_world_read(&world, "etc/docker/daemon.json");
	assert_true(text_has_prefix(config, "{\n    \"debug\": true,\n    \"storage-driver\""));
	assert_int_equal(stat(scratch_file(&world.scratch, "etc/docker/daemon.json"), &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	docker_world_fini(&world);
}

static void lists_are_refreshed_only_when_needed(void **state)
{
	struct docker_world world;
	PH_AUTO_FREE char *log = NULL;

	docker_world_init(&world);
	docker_world_write(&world, "world/listed", "", 0644);
	assert_int_equal(run(&world, NULL, NULL, NULL, NULL), 0);
	log = docker_world_read(&world, "world/log");
	assert_null(strstr(log, " update"));
	assert_int_equal(count_of(log, "--download-only"), 1);
	docker_world_fini(&world);
}

static void no_source_is_no_work(void **state)
{
	PH_AUTO_FREE struct docker_result *result = ph_alloc(sizeof(*result));
	PH_AUTO_FREE char *before = NULL, *after = NULL;
	struct docker_world world;
	struct ph_error error = { 0 };

	docker_world_init(&world);
	before = docker_world_snapshot(&world);
	world.wanted.source = "none";
	assert_int_equal(docker_install(&world.wanted, NULL, NULL, result, NULL), 0);
	assert_false(result->changed);
	world.wanted.source = "elsewhere";
	assert_int_equal(docker_install(&world.wanted, NULL, NULL, result, &error), -EINVAL);
	after = docker_world_snapshot(&world);
	assert_string_equal(before, after);
	docker_world_fini(&world);
}

/* The guard asks the policy that it replaced about everything that is not Docker's. */
static void guards_delegate(void **state)
{
	struct docker_world world;

	docker_world_init(&world);
	assert_false(guard_is_present(&world.wanted));
	assert_int_equal(guard_remove(&world.wanted, NULL), 0);
	docker_world_write(&world, "usr/sbin/policy-rc.d", FOREIGN_POLICY, 0711);
	assert_int_equal(guard_place(&world.wanted, NULL), 0);
	assert_int_equal(guard_place(&world.wanted, NULL), 0);
	assert_true(guard_is_present(&world.wanted));
	/* Cut short between the two renames: the saved one goes back. */
	docker_world_remove(&world, "usr/sbin/policy-rc.d");
	assert_true(guard_is_present(&world.wanted));
	assert_int_equal(guard_remove(&world.wanted, NULL), 1);
	PH_AUTO_FREE char *policy = docker_world_read(&world, "usr/sbin/policy-rc.d");

	assert_string_equal(policy, FOREIGN_POLICY);
	assert_int_equal(guard_remove(&world.wanted, NULL), 0);
	assert_true(docker_world_has(&world, "usr/sbin/policy-rc.d"));
	docker_world_fini(&world);
}

/* --- what is wanted besides ------------------------------------------------------------------------- */

static void set_wanted(struct docker_world *world)
{
	static const char *const users[] = { "ann" };

	world->wanted.hold = true;
	world->wanted.version = "26.*";
	world->wanted.users = users;
	world->wanted.user_count = 1;
	world->wanted.daemon = "{\"debug\":true}";
	world->wanted.sets_daemon = true;
}

static void expect_text(struct docker_world *world, const char *file, const char *part)
{
	PH_AUTO_FREE char *text = docker_world_read(world, file);

	if (!text || !strstr(text, part))
		fail_msg("\"%s\" is not in %s:\n%s", part, file, text);
}

/* Wanted, failed at the hold, resumed, unchanged, and given back when not wanted any more. */
static void the_set_is_held_and_released(void **state)
{
	struct docker_world world;
	struct ph_error error = { 0 };
	bool changed = false;

	docker_world_init(&world);
	set_wanted(&world);
	docker_world_write(&world, "world/fail-mark", "E: no lock\n", 0644);
	assert_true(run(&world, NULL, NULL, NULL, &error) < 0);
	assert_string_equal(error.step, "hold and users");
	docker_world_remove(&world, "world/fail-mark");
	assert_int_equal(run(&world, NULL, NULL, &changed, &error), 0);
	assert_true(changed);
	expect_text(&world, "world/packages/docker.io", "hi ");
	expect_text(&world, "world/packages/iptables", "ii ");
	expect_text(&world, "etc/group", "docker:x:101:ann");
	expect_text(&world, "etc/docker/daemon.json", "\"debug\": true");
	expect_text(&world, "etc/apt/preferences.d/phoenix-docker", "Pin: version 26.*");
	assert_int_equal(run(&world, NULL, NULL, &changed, &error), 0);
	assert_false(changed);

	world.wanted.hold = false;
	world.wanted.version = NULL;
	world.wanted.daemon = NULL;
	assert_int_equal(run(&world, NULL, NULL, &changed, &error), 0);
	expect_text(&world, "world/packages/docker.io", "ii ");
	assert_false(docker_world_has(&world, "etc/apt/preferences.d/phoenix-docker"));
	expect_convergence(&world, "released");
	docker_world_fini(&world);
}

static void a_version_that_nobody_has_changes_nothing(void **state)
{
	struct docker_world world;
	struct ph_error error = { 0 };

	docker_world_init(&world);
	world.wanted.version = "99.*";
	assert_int_equal(run(&world, NULL, NULL, NULL, &error), -ENODATA);
	assert_non_null(strstr(error.why, "99.* is wanted"));
	assert_false(docker_world_has(&world, "world/packages/docker.io"));
	docker_world_fini(&world);
}

static void an_unknown_user_changes_nothing(void **state)
{
	static const char *const users[] = { "eve" };
	struct docker_world world;
	struct ph_error error = { 0 };

	docker_world_init(&world);
	world.wanted.users = users;
	world.wanted.user_count = 1;
	assert_int_equal(run(&world, NULL, NULL, NULL, &error), -ENOENT);
	assert_non_null(strstr(error.why, "eve"));
	assert_false(docker_world_has(&world, "world/packages/docker.io"));
	docker_world_fini(&world);
}

/* What dockerd is asked about is what would be written; one that cannot judge stops nothing. */
static void dockerd_judges_the_merged_file(void **state)
{
	static const char *const users = "{\n    \"log-level\": \"warn\"\n}\n";
	struct docker_world world;
	struct ph_error error = { 0 };

	docker_world_init(&world);
	docker_world_write(&world, "etc/docker/daemon.json", users, 0644);
	docker_world_write(&world, "world/fail-validate", "level=error\nthe directive is wrong\n",
			   0644);
	assert_int_equal(run(&world, NULL, NULL, NULL, &error), -EINVAL);
	assert_string_equal(error.where, "/etc/docker/daemon.json");
	assert_non_null(strstr(error.why, "the directive is wrong"));
	{
		PH_AUTO_FREE char *kept = docker_world_read(&world, "etc/docker/daemon.json");

		assert_string_equal(kept, users);
	}
	docker_world_write(&world, "world/old-dockerd", "", 0644);
	assert_int_equal(run(&world, NULL, NULL, NULL, NULL), 0);
	assert_false(docker_world_has(&world, "world/validated"));
	docker_world_remove(&world, "world/old-dockerd");
	docker_world_remove(&world, "world/fail-validate");
	docker_world_write(&world, "etc/docker/daemon.json", users, 0644);
	assert_int_equal(run(&world, NULL, NULL, NULL, NULL), 0);
	{
		PH_AUTO_FREE char *judged = docker_world_read(&world, "world/validated");
		PH_AUTO_FREE char *written = docker_world_read(&world, "etc/docker/daemon.json");

		assert_non_null(judged);
		assert_string_equal(judged, written);
	}
	docker_world_fini(&world);
}

/* A container that boots may start dockerd with the old daemon.json between our look and our write. */
static void a_dockerd_that_comes_up_meanwhile_is_restarted(void **state)
{
	static const char *const how[] = { "", "world/activating" };

	for (size_t i = 0; i < ARRAY_LENGTH(how); i++) {
		PH_AUTO_FREE char *log = NULL;
		struct docker_world world;
		bool changed;

		docker_world_init(&world);
		assert_int_equal(run(&world, NULL, NULL, NULL, NULL), 0);
		assert_int_equal(unlink(scratch_file(&world.scratch, "world/active")), 0);
		docker_world_write(&world, "etc/docker/daemon.json", "{}", 0644);
		docker_world_write(&world, "world/boots", "overlay2", 0644);
		if (how[i][0])
			docker_world_write(&world, how[i], "", 0644);
		docker_world_write(&world, "world/log", "", 0644);
		assert_int_equal(run(&world, NULL, NULL, &changed, NULL), 0);
		assert_true(changed);
		log = docker_world_read(&world, "world/log");
		assert_int_equal(count_of(log, "systemctl restart docker"), 1);
		docker_world_fini(&world);
	}
}

/* A refused daemon.json changes nothing: neither now nor in a later run is the running dockerd restarted for it. */
static void a_refused_file_restarts_nothing(void **state)
{
	PH_AUTO_FREE char *log = NULL;
	struct docker_world world;
	bool changed = true;

	docker_world_init(&world);
	assert_int_equal(run(&world, NULL, NULL, NULL, NULL), 0);
	docker_world_write(&world, "world/log", "", 0644);
	docker_world_write(&world, "world/fail-validate", "the directive is wrong\n", 0644);
	world.wanted.daemon = "{\"log-level\": \"loud\"}";
	assert_int_equal(run(&world, NULL, NULL, NULL, NULL), -EINVAL);
	assert_false(docker_world_has(&world, "run/phoenix-agent/docker-restart"));
	{
		PH_AUTO_FREE char *kept = docker_world_read(&world, "etc/docker/daemon.json");

		assert_string_equal(kept, WANTED_JSON);
	}
	world.wanted.daemon = NULL;
	assert_int_equal(run(&world, NULL, NULL, &changed, NULL), 0);
	assert_false(changed);
	log = docker_world_read(&world, "world/log");
	assert_int_equal(count_of(log, "systemctl restart docker"), 0);
	docker_world_fini(&world);
}

static void a_flag_of_the_unit_is_refused(void **state)
{
	struct docker_world world;
	struct ph_error error = { 0 };

	docker_world_init(&world);
	docker_world_write(&world, "etc/systemd/system/docker.service",
			   "[Service]\nExecStart=dockerd -s overlay2\n", 0644);
	assert_int_equal(run(&world, NULL, NULL, NULL, &error), -EEXIST);
	assert_string_equal(error.where, "/etc/systemd/system/docker.service:2");
	assert_false(docker_world_has(&world, "etc/docker/daemon.json"));
	docker_world_fini(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_set_is_held_and_released),
		cmocka_unit_test(a_version_that_nobody_has_changes_nothing),
		cmocka_unit_test(an_unknown_user_changes_nothing),
		cmocka_unit_test(a_refused_file_restarts_nothing),
		cmocka_unit_test(a_flag_of_the_unit_is_refused),
		cmocka_unit_test(dockerd_judges_the_merged_file),
		cmocka_unit_test(every_step_fails_tidily),
		cmocka_unit_test(every_point_can_be_killed),
		cmocka_unit_test(locks_are_waited_for),
		cmocka_unit_test(plans_change_nothing),
		cmocka_unit_test(a_running_dockerd_is_restarted_once),
		cmocka_unit_test(a_dockerd_that_comes_up_meanwhile_is_restarted),
		cmocka_unit_test(lists_are_refreshed_only_when_needed),
		cmocka_unit_test(no_source_is_no_work),
		cmocka_unit_test(guards_delegate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
