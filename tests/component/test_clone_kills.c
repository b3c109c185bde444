/*
 * A rebuild, a preparation, going back and giving up, killed at every few system calls, by each
 * method: the clone is on one of its roots then, whole and with all that was its own, and so is the
 * kept one; doing it again completes it, and nothing of the interruption is left. PH_KILL_STRIDE=3
 * looks closer, and takes the longer for it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "tests/component/roots_fixture.h"

static int act_rebuild(const struct host_fixture *fixture, const struct clone_request *request)
{
	return clone_rebuild(&fixture->config, request, false, NULL, NULL);
}

static int act_prepare(const struct host_fixture *fixture, const struct clone_request *request)
{
	return clone_rebuild(&fixture->config, request, true, NULL, NULL);
}

static int act_destroy(const struct host_fixture *fixture, const struct clone_request *request)
{
	return clone_destroy(&fixture->config, request->name, NULL);
}

static int act_discard(const struct host_fixture *fixture, const struct clone_request *request)
{
	return clone_discard(&fixture->config, request->name, NULL, NULL);
}

/* Roots are made one after the other; the first of all is marked. */
struct walk {
	const char *name;
	const char *before[3];  /* the images it was made of, ended by NULL */
	int (*act)(const struct host_fixture *, const struct clone_request *);
	const char *image;      /* what the act asks for */
	const char *current, *kept, *prepared; /* when it is done */
	unsigned int stride;    /* odd: before a system call and behind one in turn */
};

static const struct walk walks[] = {
	{ "a rebuild", { "web" }, act_rebuild, "next", "next", "web", "", 75 },
	{ "a rebuild to a third image", { "web", "next" }, act_rebuild, "third", "third", "next", "",
	  151 },
	{ "a preparation", { "web" }, act_prepare, "next", "web", "", "next", 95 },
	{ "going back", { "web", "next" }, act_rebuild, "web", "web", "next", "", 21 },
	{ "giving up", { "web", "next" }, act_discard, "next", "next", "", "", 45 },
};

static void make(const struct host_fixture *fixture, const struct walk *walk,
		 enum clone_method method)
{
	struct clone_request request = roots_fixture_request(walk->before[0], method);
	struct ph_error error = { 0 };

	clone_fixture_foreign_file(fixture);
	roots_fixture_expect(clone_create(&fixture->config, &request, NULL, &error),
			       CLONE_CHANGED, &error);
	roots_fixture_mark(fixture);
	if (!walk->before[1])
		return;
	request.image = walk->before[1];
	roots_fixture_expect(clone_rebuild(&fixture->config, &request, false, NULL, &error),
			       CLONE_CHANGED, &error);
	roots_fixture_find(fixture); /* mounts it, as a start does */
}

/* The first root has its mark wherever it is; no other one has. */
static void assert_whole(const struct host_fixture *fixture, const struct walk *walk)
{
	const struct clone clone = roots_fixture_find(fixture);

	assert_int_equal(roots_fixture_is_marked(fixture),
			 strcmp(clone.current.image, walk->before[0]) == 0);
	assert_true(!clone.kept.image[0] || clone.kept.complete);
}

/* What was killed is done again, or the kept root is gone back to instead. */
static void recover(const struct host_fixture *fixture, const struct walk *walk,
		    const struct clone_request *request, bool again)
{
	struct clone clone = roots_fixture_find(fixture);
	struct clone_request back = *request;
	struct ph_error error = { 0 };

	assert_whole(fixture, walk);
	if (!again && clone.kept.image[0]) {
		back.image = clone.kept.image;
		roots_fixture_expect(clone_rebuild(&fixture->config, &back, false, NULL, &error),
				       CLONE_CHANGED, &error);
		assert_whole(fixture, walk);
	}
	if (again) {
		assert_true(walk->act(fixture, request) >= 0);
		clone = roots_fixture_find(fixture);
		assert_string_equal(clone.current.image, walk->current);
		assert_string_equal(clone.kept.image, walk->kept);
		assert_string_equal(clone.prepared.image, walk->prepared);
		assert_whole(fixture, walk);
		roots_fixture_assert_no_rubbish(fixture, &clone);
	}
	roots_fixture_expect(clone_destroy(&fixture->config, "web1", &error), CLONE_CHANGED,
			       &error);
	assert_int_equal(host_fixture_entries(fixture, "state/containers/web1"), -1);
	assert_int_equal(host_fixture_entries(fixture, "state/data"), 0);
	assert_int_equal(clone_fixture_mounts(fixture), 1);
}

/* Whether the killed one has got anywhere, and not to its end. */
static bool is_between(const struct host_fixture *fixture, const struct walk *walk)
{
	PH_AUTO_FREE char *first = host_fixture_path(fixture, "state/containers/web1");
	struct clone clone;
	int parts = 0;

	assert_int_equal(clone_find(&fixture->config, "web1", &clone, NULL), 0);
	for (unsigned int number = 1; number < 4; number++) {
		PH_AUTO_FREE char *base = ph_format("state/containers/web1/root-%u", number);

		parts += host_fixture_entries(fixture, base) >= 0;
	}
	return clone.prepared.image[0] || parts != (clone.kept.image[0] != '\0') ||
	       strcmp(clone.current.image, walk->current) != 0;
}

static unsigned int stride_of(const struct walk *walk)
{
	const char *stride = getenv("PH_KILL_STRIDE");

	return stride && atoi(stride) > 0 ? (unsigned int)atoi(stride) : walk->stride;
}

static void run_walk(const struct host_fixture *fixture, const struct walk *walk,
		     enum clone_method method)
{
	const struct clone_request request = roots_fixture_request(walk->image, method);
	unsigned int stop = 0, kills = 0, between = 0;

	make(fixture, walk, method);
	while (clone_fixture_kill_at(fixture, &request, walk->act, stop)) {
		between += is_between(fixture, walk);
		recover(fixture, walk, &request, kills++ % 2 == 0);
		make(fixture, walk, method);
		stop += stride_of(walk);
	}
	print_message("# %s, %s: %u kills, %u in the middle of it\n", clone_method_name(method),
		      walk->name, kills, between);
	assert_true(between > 2);
	recover(fixture, walk, &request, true);
}

/* What is left of a removal is the clone that it was, with nothing lost, or a new one. */
static void finish_removal(const struct host_fixture *fixture, const struct clone_request *request,
			   bool again)
{
	struct ph_error error = { 0 };
	struct clone clone;
	int result;

	if (again) {
		result = clone_create(&fixture->config, request, NULL, &error);
		if (result < 0)
			fail_msg("%s: %s: %s", error.what, error.where, error.why);
		clone = roots_fixture_find(fixture);
		assert_string_equal(clone.kept.image, result == CLONE_UNCHANGED ? "web" : "");
		roots_fixture_assert_no_rubbish(fixture, &clone);
	}
	if (clone_destroy(&fixture->config, "web1", &error) < 0)
		fail_msg("%s: %s: %s", error.what, error.where, error.why);
	assert_int_equal(host_fixture_entries(fixture, "state/containers"), 0);
	assert_int_equal(host_fixture_entries(fixture, "state/data"), 0);
	assert_int_equal(clone_fixture_mounts(fixture), 1);
}

static void removals_killed_step_by_step(void **state)
{
	static const struct walk walk = { .before = { "web", "next" }, .stride = 95 };
	struct host_fixture *fixture = *state;
	struct clone_probe probe;

	NEEDS_ROOT(state);
	if (!clone_fixture_begin_on(fixture, "btrfs"))
		skip();
	roots_fixture_begin(fixture);
	for (size_t i = 0; i < ARRAY_LENGTH(clone_fixture_methods); i++) {
		const struct clone_request request =
			roots_fixture_request("next", clone_fixture_methods[i]);
		unsigned int stop = 0, kills = 0, incomplete = 0;

		make(fixture, &walk, request.method);
		while (clone_fixture_kill_at(fixture, &request, act_destroy, stop)) {
			incomplete += clone_fixture_is_incomplete(fixture);
			finish_removal(fixture, &request, kills++ % 2 != 0);
			make(fixture, &walk, request.method);
			stop += stride_of(&walk);
		}
		print_message("# %s, a removal: %u kills, %u in the middle of it\n",
			      clone_method_name(request.method), kills, incomplete);
		assert_true(incomplete > 1);
		finish_removal(fixture, &request, false);
	}
	assert_int_equal(clone_probe(&fixture->config, &probe, NULL), 0); /* clears a killed one */
	roots_fixture_end(fixture);
	clone_fixture_end_on(fixture);
}

static void killed_step_by_step(void **state)
{
	struct host_fixture *fixture = *state;
	struct clone_probe probe;

	NEEDS_ROOT(state);
	if (!clone_fixture_begin_on(fixture, "btrfs"))
		skip();
	roots_fixture_begin(fixture);
	for (size_t i = 0; i < ARRAY_LENGTH(walks); i++)
		for (size_t j = 0; j < ARRAY_LENGTH(clone_fixture_methods); j++)
			if (clone_fixture_works(fixture, clone_fixture_methods[j]))
				run_walk(fixture, &walks[i], clone_fixture_methods[j]);
	assert_int_equal(clone_probe(&fixture->config, &probe, NULL), 0); /* clears a killed one */
	roots_fixture_end(fixture);
	clone_fixture_end_on(fixture);
}

#define TEST(function)                                                                             \
	cmocka_unit_test_setup_teardown(function, host_fixture_setup, host_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(killed_step_by_step),
		TEST(removals_killed_step_by_step),
	};

	if (!host_fixture_enter())
		print_message("# SKIP: clones need root\n");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
