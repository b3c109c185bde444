/*
 * The host's own places: names, modes, owners, and that what a stranger put there is refused.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "controller/host/tree/paths.h"

#define USER 12345
#define GROUP 12346
#define CONTROL 12347

struct fixture {
	char base[64];
	struct config config;
};

static int setup(void **state)
{
	struct fixture *fixture = ph_alloc(sizeof(*fixture));

	snprintf(fixture->base, sizeof(fixture->base), "/tmp/phoenix-test-paths-XXXXXX");
	assert_non_null(mkdtemp(fixture->base));
	snprintf(fixture->config.state_dir, sizeof(fixture->config.state_dir), "%s/lib/state",
		 fixture->base);
	snprintf(fixture->config.run_dir, sizeof(fixture->config.run_dir), "%s/run", fixture->base);
	fixture->config.uid = USER;
	fixture->config.gid = GROUP;
	fixture->config.control_gid = CONTROL;
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	PH_AUTO_FREE char *command = ph_format("rm -rf '%s'", fixture->base);

	assert_int_equal(system(command), 0);
	free(fixture);
	return 0;
}

static const struct {
	enum paths_place place;
	const char *path; /* below base */
	mode_t mode;
	uid_t uid;
	gid_t gid;
} places[] = {
	{ PATHS_STATE, "lib/state", 0711, 0, 0 },
	{ PATHS_DB, "lib/state/db", 0700, USER, GROUP },
	{ PATHS_SPOOL, "lib/state/spool", 01770, 0, CONTROL },
	{ PATHS_IMAGES, "lib/state/images", 0700, 0, 0 },
	{ PATHS_CONTAINERS, "lib/state/containers", 0711, 0, 0 },
	{ PATHS_DATA, "lib/state/data", 0711, 0, 0 },
	{ PATHS_RUN, "run", 01775, 0, GROUP },
	{ PATHS_AGENTS, "run/agents", 0711, 0, 0 },
	{ PATHS_NETWORK, "run/network", 0700, 0, 0 },
};

static void assert_place(const struct fixture *fixture, const char *below, mode_t mode, uid_t uid,
			 gid_t gid)
{
	PH_AUTO_FREE char *path = ph_format("%s/%s", fixture->base, below);
	struct stat status;

	assert_int_equal(lstat(path, &status), 0);
	assert_true(S_ISDIR(status.st_mode));
	assert_int_equal(status.st_mode & 07777, mode);
	assert_int_equal(status.st_uid, uid);
	assert_int_equal(status.st_gid, gid);
}

static void places_are_made(void **state)
{
	struct fixture *fixture = *state;

	if (geteuid() != 0)
		skip();
	for (int round = 0; round < 2; round++) {
		assert_int_equal(paths_ensure_all(&fixture->config, NULL), 0);
		for (size_t i = 0; i < ARRAY_LENGTH(places); i++) {
			PH_AUTO_FREE char *full = ph_format("%s/%s", fixture->base, places[i].path);
			char path[PATHS_SIZE];

			assert_place(fixture, places[i].path, places[i].mode, places[i].uid,
				     places[i].gid);
			assert_int_equal(paths_format(&fixture->config, places[i].place, NULL, NULL,
						      path, NULL),
					 0);
			assert_string_equal(path, full);
			if (round == 0) /* somebody widened it: the second round narrows it */
				assert_int_equal(chmod(full, 0777), 0);
		}
	}
}

static const struct {
	const char *name;
	const char *below;
	int expected;
	const char *path; /* below base */
} formats[] = {
	{ "web1", NULL, 0, "lib/state/containers/web1" },
	{ "web1", "rootfs", 0, "lib/state/containers/web1/rootfs" },
	{ "../x", NULL, -EINVAL, NULL },
	{ "a/b", NULL, -EINVAL, NULL },
	{ ".", NULL, -EINVAL, NULL },
	{ "", NULL, -EINVAL, NULL },
	{ "Web", NULL, -EINVAL, NULL },
	{ "a\nb", NULL, -EINVAL, NULL },
};

static void names_are_checked(void **state)
{
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_LENGTH(formats); i++) {
		char path[PATHS_SIZE];
		int result = paths_format(&fixture->config, PATHS_CONTAINERS, formats[i].name,
					  formats[i].below, path, NULL);

		assert_int_equal(result, formats[i].expected);
		if (formats[i].path) {
			PH_AUTO_FREE char *full = ph_format("%s/%s", fixture->base, formats[i].path);

			assert_string_equal(path, full);
		}
		if (result < 0) {
			assert_int_equal(paths_make(&fixture->config, PATHS_CONTAINERS,
						    formats[i].name, 0, 0, 0755, NULL),
					 -EINVAL);
			assert_int_equal(paths_remove(&fixture->config, PATHS_CONTAINERS,
						      formats[i].name, NULL),
					 -EINVAL);
		}
	}
}

static void named_directories(void **state)
{
	struct fixture *fixture = *state;

	if (geteuid() != 0)
		skip();
	assert_int_equal(paths_make(&fixture->config, PATHS_AGENTS, "web1", USER, GROUP, 0750, NULL),
			 0);
	assert_place(fixture, "run/agents/web1", 0750, USER, GROUP);
	assert_int_equal(paths_make(&fixture->config, PATHS_AGENTS, "web1", USER, GROUP, 0700, NULL),
			 0);
	assert_place(fixture, "run/agents/web1", 0700, USER, GROUP);
	assert_int_equal(paths_remove(&fixture->config, PATHS_AGENTS, "web1", NULL), 0);
	assert_int_equal(paths_remove(&fixture->config, PATHS_AGENTS, "web1", NULL), 0);
}

/* phoenixd may write into RUN: what it puts in the way of root is not taken. */
static void strangers_are_refused(void **state)
{
	struct fixture *fixture = *state;
	PH_AUTO_FREE char *agents = NULL, *target = NULL;
	struct ph_error error = { 0 };
	struct stat status;

	if (geteuid() != 0)
		skip();
	assert_int_equal(paths_ensure(&fixture->config, PATHS_RUN, NULL), 0);
	agents = ph_format("%s/run/agents", fixture->base);
	target = ph_format("%s/target", fixture->base);
	assert_int_equal(mkdir(target, 0755), 0);

	assert_int_equal(mkdir(agents, 0755), 0);
	assert_int_equal(chown(agents, USER, GROUP), 0);
	assert_int_equal(paths_ensure(&fixture->config, PATHS_AGENTS, &error), -EPERM);
	assert_true(error.remedy[0]);
	assert_int_equal(rmdir(agents), 0);

	assert_int_equal(symlink(target, agents), 0);
	assert_int_equal(paths_ensure(&fixture->config, PATHS_AGENTS, &error), -ELOOP);
	assert_int_equal(paths_make(&fixture->config, PATHS_AGENTS, "web1", 0, 0, 0700, NULL), -ELOOP);
	assert_int_equal(stat(target, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0755);
	assert_int_equal(status.st_nlink, 2);
}

/* The administrator may put the state directory somewhere else by a symlink. */
static void configured_symlink_is_followed(void **state)
{
	struct fixture *fixture = *state;
	PH_AUTO_FREE char *lib = NULL, *disk = NULL;

	if (geteuid() != 0)
		skip();
	lib = ph_format("%s/lib", fixture->base);
	disk = ph_format("%s/disk", fixture->base);
	assert_int_equal(mkdir(disk, 0755), 0);
	assert_int_equal(symlink(disk, lib), 0);
	assert_int_equal(paths_ensure(&fixture->config, PATHS_IMAGES, NULL), 0);
	assert_place(fixture, "disk/state/images", 0700, 0, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(places_are_made),
		TEST(names_are_checked),
		TEST(named_directories),
		TEST(strangers_are_refused),
		TEST(configured_symlink_is_followed),
	};

	if (geteuid() != 0)
		print_message("# SKIP: owners can only be tried as root\n");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
