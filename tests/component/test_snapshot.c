/*
 * Clones by snapshot on a btrfs of the test's own: what a container makes inside goes with it, the
 * image stays while it has clones, what cannot be is refused, and a creation or a removal may be
 * killed at any system call.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "controller/host/image/image.h"
#include "tests/component/clone_fixture.h"

#define KILL_STRIDE 7 /* odd: before a system call and behind one in turn */
#define REMOVAL_STRIDE 23 /* of which there are many more, by each method */

static void subvolumes_of_a_container_go_with_it(void **state)
{
	struct host_fixture *fixture = *state;
	PH_AUTO_FREE char *rootfs = NULL, *data = NULL;

	NEEDS_ROOT(state);
	if (!clone_fixture_begin_on(fixture, "btrfs"))
		skip();
	rootfs = clone_fixture_inside(fixture, "web1", "");
	data = host_fixture_path(fixture, "state/data/web1");
	for (size_t i = 0; i < ARRAY_LENGTH(clone_fixture_methods); i++) {
		const struct clone_request request = clone_fixture_request("web1", clone_fixture_methods[i]);

		assert_int_equal(clone_create(&fixture->config, &request, NULL, NULL), CLONE_CHANGED);
		assert_int_equal(clone_fixture_as_container(clone_fixture_make_subvolumes, data), 0);
		if (clone_fixture_methods[i] != CLONE_OVERLAY) /* has none */
			assert_int_equal(clone_fixture_as_container(clone_fixture_make_subvolumes, rootfs), 0);
		assert_int_equal(clone_destroy(&fixture->config, "web1", NULL), CLONE_CHANGED);
		assert_int_equal(host_fixture_entries(fixture, "state/containers"), 0);
	}
	clone_fixture_end_on(fixture);
}

/* An image is not removed under its snapshots, and is its clones' no more when they are gone. */
static void image_outlives_its_snapshots(void **state)
{
	struct host_fixture *fixture = *state;
	const struct clone_request request = clone_fixture_request("web1", CLONE_SNAPSHOT);
	struct ph_error error = { 0 };

	NEEDS_ROOT(state);
	if (!clone_fixture_begin_on(fixture, "btrfs"))
		skip();
	assert_int_equal(clone_create(&fixture->config, &request, NULL, NULL), CLONE_CHANGED);
	assert_int_equal(image_remove(&fixture->config, "web", &error), -EBUSY);
	assert_non_null(strstr(error.why, "web1"));
	assert_int_equal(clone_destroy(&fixture->config, "web1", NULL), CLONE_CHANGED);
	clone_fixture_end_on(fixture);
}

/* An image of before there were snapshots: others are made of it, and a snapshot is refused. */
static void image_without_a_subvolume(void **state)
{
	struct host_fixture *fixture = *state;
	struct clone_request request = clone_fixture_request("web1", CLONE_SNAPSHOT);
	PH_AUTO_FREE char *command = NULL;
	struct ph_error error = { 0 };

	NEEDS_ROOT(state);
	if (!clone_fixture_begin_on(fixture, "btrfs"))
		skip();
	command = ph_format("cd %s/state/images/web && cp -a rootfs plain && mv rootfs sub && "
			    "mv plain rootfs", fixture->base);
	assert_int_equal(system(command), 0);
	assert_int_equal(clone_create(&fixture->config, &request, NULL, &error), -EOPNOTSUPP);
	assert_non_null(strstr(error.why, "import it again"));
	request.method = CLONE_AUTO;
	assert_int_equal(clone_create(&fixture->config, &request, NULL, NULL), CLONE_CHANGED);
	assert_int_equal(clone_destroy(&fixture->config, "web1", NULL), CLONE_CHANGED);
	clone_fixture_end_on(fixture);
}

/* What is asked for and cannot be had is not replaced by something else. */
static void impossible_methods_are_refused(void **state)
{
	static const struct {
		enum clone_method method;
		const char *reason;
	} cases[] = {
		{ CLONE_SNAPSHOT, "not on btrfs" },
		{ CLONE_REFLINK, "shares no blocks" },
	};
	struct host_fixture *fixture = *state;

	NEEDS_ROOT(state);
	if (!clone_fixture_begin_on(fixture, "ext4"))
		skip();
	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		const struct clone_request request = clone_fixture_request("web1", cases[i].method);
		struct ph_error error = { 0 };

		assert_int_equal(clone_create(&fixture->config, &request, NULL, &error), -EOPNOTSUPP);
		assert_non_null(strstr(error.why, cases[i].reason));
		assert_non_null(strstr(error.remedy, "clone: auto"));
		assert_int_equal(host_fixture_entries(fixture, "state/containers"), 0);
		assert_int_equal(host_fixture_entries(fixture, "state/data"), 0);
	}
	clone_fixture_end_on(fixture);
}

/* Images on one file system, containers on another: found by trying, before anything is made. */
static void images_elsewhere(void **state)
{
	struct host_fixture *fixture = *state;
	PH_AUTO_FREE char *containers = NULL;
	struct clone_request request = clone_fixture_request("web1", CLONE_AUTO);
	struct clone_probe probe;
	struct clone clone;

	NEEDS_ROOT(state);
	if (!clone_fixture_begin_on(fixture, "btrfs"))
		skip();
	containers = host_fixture_path(fixture, "state/containers");
	assert_int_equal(mount("tmpfs", containers, "tmpfs", 0, "size=8m,mode=711"), 0);
	assert_int_equal(clone_probe(&fixture->config, &probe, NULL), 0);
	assert_non_null(strstr(probe.reasons[CLONE_SNAPSHOT], "different file systems"));
	assert_true(probe.reasons[CLONE_REFLINK][0]);
	assert_int_equal(clone_create(&fixture->config, &request, &clone, NULL), CLONE_CHANGED);
	assert_int_equal(clone.current.method, probe.method);
	assert_int_equal(clone_destroy(&fixture->config, "web1", NULL), CLONE_CHANGED);
	assert_int_equal(umount(containers), 0);
	clone_fixture_end_on(fixture);
}

/* On a host whose mounts are shared, the one of a snapshot is private all the same. */
static void mounts_are_private(void **state)
{
	struct host_fixture *fixture = *state;
	const struct clone_request request = clone_fixture_request("web1", CLONE_SNAPSHOT);
	PH_AUTO_FILE FILE *mounts = NULL;
	unsigned int count = 0;
	char line[4096];

	NEEDS_ROOT(state);
	if (!clone_fixture_begin_on(fixture, "btrfs"))
		skip();
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL), 0);
	assert_int_equal(clone_create(&fixture->config, &request, NULL, NULL), CLONE_CHANGED);
	mounts = fopen("/proc/self/mountinfo", "re");
	while (fgets(line, sizeof(line), mounts)) {
		if (!strstr(line, fixture->base) || !strstr(line, "web1"))
			continue;
		count++;
		assert_null(strstr(line, "shared:"));
	}
	assert_int_equal(count, 2);
	assert_int_equal(clone_destroy(&fixture->config, "web1", NULL), CLONE_CHANGED);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	clone_fixture_end_on(fixture);
}

static int create_web1(const struct host_fixture *fixture, const struct clone_request *request)
{
	return clone_create(&fixture->config, request, NULL, NULL);
}

static int destroy_web1(const struct host_fixture *fixture, const struct clone_request *request)
{
	return clone_destroy(&fixture->config, request->name, NULL);
}

/* A creation killed at every few system calls of a snapshot. */
static void snapshots_killed_step_by_step(void **state)
{
	struct host_fixture *fixture = *state;
	const struct clone_request request = clone_fixture_request("web1", CLONE_SNAPSHOT);
	unsigned int stop = 0, kills = 0, incomplete = 0;

	NEEDS_ROOT(state);
	if (!clone_fixture_begin_on(fixture, "btrfs"))
		skip();
	clone_fixture_foreign_file(fixture);
	while (clone_fixture_kill_at(fixture, &request, create_web1, stop)) {
		incomplete += clone_fixture_is_incomplete(fixture);
		clone_fixture_recover(fixture, &request, kills++ % 3 != 0, 1);
		clone_fixture_foreign_file(fixture);
		stop += KILL_STRIDE;
	}
	clone_fixture_recover(fixture, &request, true, 1);
	print_message("# %u kills, %u met a clone that was not complete\n", kills, incomplete);
	assert_true(incomplete > 10);
	clone_fixture_end_on(fixture);
}

/* A clone with a mark of its own in both trees, and subvolumes in its data-root. */
static void make_marked(const struct host_fixture *fixture, const struct clone_request *request)
{
	PH_AUTO_FREE char *data = host_fixture_path(fixture, "state/data/web1");
	PH_AUTO_FREE char *command = ph_format("touch %1$s/state/containers/web1/rootfs/usr/mark "
					       "%1$s/state/data/web1/mark", fixture->base);

	clone_fixture_foreign_file(fixture);
	assert_int_equal(clone_create(&fixture->config, request, NULL, NULL), CLONE_CHANGED);
	assert_int_equal(clone_fixture_as_container(clone_fixture_make_subvolumes, data), 0);
	assert_int_equal(request->method == CLONE_SNAPSHOT ? 0 : system(command), 0);
}

/* Whether both marks are there; one without the other is half a clone. */
static bool is_marked(const struct host_fixture *fixture)
{
	PH_AUTO_FREE char *root = clone_fixture_inside(fixture, "web1", "usr/mark");
	PH_AUTO_FREE char *data = host_fixture_path(fixture, "state/data/web1/mark");

	assert_int_equal(access(root, F_OK), access(data, F_OK));
	return access(root, F_OK) == 0;
}

/*
 * What was killed in the middle of its removal is removed by doing it again. Made again instead, it
 * is either the clone that it was, with nothing lost, or a whole new one.
 */
static void finish_removal(const struct host_fixture *fixture, const struct clone_request *request,
			   bool again)
{
	PH_AUTO_FREE char *shell = clone_fixture_inside(fixture, "web1", "usr/bin/sh");
	PH_AUTO_FREE char *inner = host_fixture_path(fixture, "state/data/web1/outer/inner");
	struct ph_error error = { 0 };
	int result = again ? clone_create(&fixture->config, request, NULL, &error) : 0;

	if (result < 0)
		fail_msg("create: %s: %s (%s)", error.what, error.why, error.where);
	if (again) {
		assert_int_equal(access(shell, F_OK), 0);
		if (request->method != CLONE_SNAPSHOT)
			assert_int_equal(is_marked(fixture), result == CLONE_UNCHANGED);
		assert_int_equal(access(inner, F_OK) == 0, result == CLONE_UNCHANGED);
	}
	if (clone_destroy(&fixture->config, "web1", &error) < 0)
		fail_msg("destroy: %s: %s (%s)", error.what, error.why, error.where);
	assert_int_equal(host_fixture_entries(fixture, "state/containers"), 0);
	assert_int_equal(host_fixture_entries(fixture, "state/data"), 0);
	assert_int_equal(clone_fixture_mounts(fixture), 1);
}

/* A removal killed at every few system calls, of clones by each method. */
static void removals_killed_step_by_step(void **state)
{
	struct host_fixture *fixture = *state;

	NEEDS_ROOT(state);
	if (!clone_fixture_begin_on(fixture, "btrfs"))
		skip();
	for (size_t i = 0; i < ARRAY_LENGTH(clone_fixture_methods); i++) {
		const struct clone_request request =
			clone_fixture_request("web1", clone_fixture_methods[i]);
		unsigned int stop = 0, kills = 0, incomplete = 0;

		make_marked(fixture, &request);
		while (clone_fixture_kill_at(fixture, &request, destroy_web1, stop)) {
			incomplete += clone_fixture_is_incomplete(fixture);
			finish_removal(fixture, &request, kills++ % 2 != 0);
			make_marked(fixture, &request);
			stop += REMOVAL_STRIDE;
		}
		print_message("# %s: %u kills of a removal, %u in the middle of it\n",
			      clone_method_name(request.method), kills, incomplete);
		assert_true(incomplete > 3);
		finish_removal(fixture, &request, false);
	}
	clone_fixture_end_on(fixture);
}

#define TEST(function)                                                                             \
	cmocka_unit_test_setup_teardown(function, host_fixture_setup, host_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(subvolumes_of_a_container_go_with_it),
		TEST(image_outlives_its_snapshots),
		TEST(image_without_a_subvolume),
		TEST(impossible_methods_are_refused),
		TEST(images_elsewhere),
		TEST(mounts_are_private),
		TEST(snapshots_killed_step_by_step),
		TEST(removals_killed_step_by_step),
	};

	if (!host_fixture_enter())
		print_message("# SKIP: clones need root\n");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
