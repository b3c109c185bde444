/*
 * Policy in a real kernel: load, the very same again, a changed one in place, complain mode noticed,
 * processes judged, unload. Uses profile names of its own. Skipped, visibly, where the kernel has no
 * AppArmor; on a test bed that must have it (PH_BED=uml or guest) its absence fails.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/apparmor.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/confine/check.h"
#include "controller/host/confine/facts.h"
#include "controller/host/confine/policy.h"
#include "controller/host/confine/render.h"

#define NAME "phoenix-test-confine"
#define FIRST "profile " NAME " flags=(attach_disconnected) { file, signal, ptrace, capability, }\n"
#define SECOND "profile " NAME " flags=(attach_disconnected) { file, signal, ptrace, }\n"
#define COMPLAIN "profile " NAME " flags=(complain) { file, }\n"
#define OTHER "profile phoenix-test-other { file, }\n"
#define PROFILES_DIR PH_SOURCE_DIR "/profiles"

static struct confine_facts facts_or_skip(void)
{
	const char *bed = getenv("PH_BED") ?: "";
	struct confine_facts facts;

	confine_facts_detect(NULL, &facts);
	if (facts.obstacle == CONFINE_ABLE)
		return facts;
	if (text_equal(bed, "uml") || text_equal(bed, "guest"))
		fail_msg("the %s bed has to confine: %s", bed,
			 confine_obstacle_reason(facts.obstacle));
	print_message("SKIP: %s\n", confine_obstacle_reason(facts.obstacle));
	skip();
	return facts;
}

static int load(const struct confine_facts *facts, const char *name, const char *text,
		struct ph_error *error)
{
	struct confine_policy policy = { name, text, NULL };

	return confine_policy_load(&policy, facts, error);
}

static void test_load_is_idempotent(void **state)
{
	struct confine_facts facts = facts_or_skip();
	struct ph_error error = { 0 };

	assert_int_equal(confine_policy_state(NAME, &error), CONFINE_POLICY_ABSENT);
	assert_int_equal(load(&facts, NAME, FIRST, &error), CONFINE_POLICY_LOADED);
	assert_int_equal(confine_policy_state(NAME, &error), CONFINE_POLICY_ENFORCED);
	assert_int_equal(load(&facts, NAME, FIRST, &error), CONFINE_POLICY_UNCHANGED);
	assert_int_equal(load(&facts, NAME, SECOND, &error), CONFINE_POLICY_LOADED);
	assert_int_equal(load(&facts, NAME, SECOND, &error), CONFINE_POLICY_UNCHANGED);
	assert_int_equal(confine_policy_unload(NAME, &error), CONFINE_POLICY_LOADED);
	assert_int_equal(confine_policy_state(NAME, &error), CONFINE_POLICY_ABSENT);
	assert_int_equal(confine_policy_unload(NAME, &error), CONFINE_POLICY_UNCHANGED);
}

static void test_complain_mode_is_no_success(void **state)
{
	struct confine_facts facts = facts_or_skip();
	struct ph_error error = { 0 };

	assert_int_equal(load(&facts, NAME, COMPLAIN, &error), -EIO);
	assert_int_equal(confine_policy_state(NAME, &error), CONFINE_POLICY_LAX);
	assert_int_equal(load(&facts, NAME, FIRST, &error), CONFINE_POLICY_LOADED);
	assert_int_equal(confine_policy_unload(NAME, &error), CONFINE_POLICY_LOADED);
}

static void test_bad_text_never_reaches_the_kernel(void **state)
{
	struct confine_facts facts = facts_or_skip();
	struct ph_error error = { 0 };

	assert_int_equal(load(&facts, NAME, "profile " NAME " { fle \n}\n", &error), -EINVAL);
	assert_int_equal(confine_policy_state(NAME, &error), CONFINE_POLICY_ABSENT);
	/* A text that defines another profile than it should is not taken for a success. */
	assert_int_equal(load(&facts, NAME, OTHER, &error), -EIO);
	assert_int_equal(confine_policy_unload("phoenix-test-other", &error),
			 CONFINE_POLICY_LOADED);
}

/* A child that sits under a profile, or under none; says over a pipe when it does. */
static pid_t spawn(const char *profile)
{
	int ready[2];
	char byte = 0;
	pid_t child;

	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		byte = !profile || aa_change_profile(profile) == 0 ? 'y' : 'n';
		if (write(ready[1], &byte, 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(byte, 'y');
	close(ready[0]);
	close(ready[1]);
	return child;
}

static void reap(pid_t child)
{
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

static void test_processes_are_judged(void **state)
{
	struct confine_facts facts = facts_or_skip();
	CONFINE_AUTO_CHECK struct confine_check check = CONFINE_CHECK_INIT;
	struct ph_error error = { 0 };
	char expected[64];
	pid_t held;
	pid_t loose;

	assert_int_equal(load(&facts, NAME, FIRST, &error), CONFINE_POLICY_LOADED);
	held = spawn(NAME);
	loose = spawn(NULL);
	assert_int_equal(confine_check_begin(&check, NAME, &error), 0);
	confine_check_visit(&check, held);
	assert_int_equal(confine_check_verdict(&check, &error), CONFINE_CHECK_HELD);
	confine_check_visit(&check, loose);
	assert_int_equal(confine_check_verdict(&check, &error), CONFINE_CHECK_OFFENDED);
	assert_int_equal(check.first_offender, loose);
	snprintf(expected, sizeof(expected), "pid %d (", loose);
	assert_true(text_has_prefix(check.first_text, expected));
	assert_true(text_has_suffix(check.first_text, "): unconfined"));
	reap(loose);
	/* The profile goes to complain mode behind our back: its processes are no longer held. */
	assert_int_equal(load(&facts, NAME, COMPLAIN, &error), -EIO);
	confine_check_fini(&check);
	assert_int_equal(confine_check_begin(&check, NAME, &error), 0);
	confine_check_visit(&check, held);
	assert_int_equal(confine_check_verdict(&check, &error), CONFINE_CHECK_OFFENDED);
	reap(held);
	assert_int_equal(confine_policy_unload(NAME, &error), CONFINE_POLICY_LOADED);
}

/* The shipped profile, rendered for this host, through the cache: the second load costs no parser. */
static void test_shipped_profile(void **state)
{
	struct confine_facts facts = facts_or_skip();
	struct confine_render render = { .features = facts.features };
	char directory[] = "/tmp/ph-test-policy-XXXXXX";
	PH_AUTO_FREE char *text = NULL;
	PH_AUTO_FREE char *clean = NULL;
	struct ph_error error = { 0 };
	struct confine_policy policy = { CONFINE_PROFILE, NULL, directory };

	assert_int_equal(confine_render(PROFILES_DIR, &render, &text, &error), 0);
	policy.text = text;
	assert_non_null(mkdtemp(directory));
	if (confine_policy_load(&policy, &facts, &error) < 0)
		fail_msg("%s: %s", error.what, error.why);
	assert_int_equal(confine_policy_load(&policy, &facts, &error), CONFINE_POLICY_UNCHANGED);
	assert_int_equal(confine_policy_state(CONFINE_PROFILE, &error), CONFINE_POLICY_ENFORCED);
	clean = ph_format("rm -r -- %s", directory);
	assert_int_equal(system(clean), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_load_is_idempotent),
		cmocka_unit_test(test_complain_mode_is_no_success),
		cmocka_unit_test(test_bad_text_never_reaches_the_kernel),
		cmocka_unit_test(test_processes_are_judged),
		cmocka_unit_test(test_shipped_profile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
