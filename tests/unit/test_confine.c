/*
 * Labels and what they prove, the kernel's list of profiles, and what stands in the way of a host:
 * the parts of the confine room that judge texts. No AppArmor needed.
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
#include "common/str.h"
#include "controller/host/confine/check.h"
#include "controller/host/confine/facts.h"
#include "controller/host/confine/label.h"
#include "controller/host/confine/policy.h"
#include "controller/host/confine/render.h"

/* --- labels ----------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	const char *text;
	size_t length; /* 0: strlen */
	int code;
	const char *label;
	enum confine_mode mode;
	bool enforces; /* lxc-phoenix-v2 */
} LABELS[] = {
	{ "enforced", "lxc-phoenix-v2 (enforce)\n", 0, 0, "lxc-phoenix-v2", CONFINE_MODE_ENFORCE,
	  true },
	{ "no newline", "lxc-phoenix-v2 (enforce)", 0, 0, "lxc-phoenix-v2", CONFINE_MODE_ENFORCE,
	  true },
	{ "zero byte behind", "lxc-phoenix-v2 (enforce)\n", 26, 0, "lxc-phoenix-v2",
	  CONFINE_MODE_ENFORCE, true },
	{ "complain", "lxc-phoenix-v2 (complain)\n", 0, 0, "lxc-phoenix-v2", CONFINE_MODE_COMPLAIN,
	  false },
	{ "kill", "lxc-phoenix-v2 (kill)\n", 0, 0, "lxc-phoenix-v2", CONFINE_MODE_KILL, true },
	{ "unconfined mode", "lxc-phoenix-v2 (unconfined)\n", 0, 0, "lxc-phoenix-v2",
	  CONFINE_MODE_UNCONFINED, false },
	{ "unconfined", "unconfined\n", 0, 0, "unconfined", CONFINE_MODE_UNCONFINED, false },
	{ "mode of the future", "lxc-phoenix-v2 (prompt)\n", 0, 0, "lxc-phoenix-v2",
	  CONFINE_MODE_OTHER, false },
	{ "stacked with a namespace", "lxc-phoenix-v2//&:lxc-phoenix-c1:unconfined (enforce)\n", 0,
	  0, "lxc-phoenix-v2//&:lxc-phoenix-c1:unconfined", CONFINE_MODE_ENFORCE, true },
	{ "second of a stack", "a//&lxc-phoenix-v2 (enforce)\n", 0, 0, "a//&lxc-phoenix-v2",
	  CONFINE_MODE_ENFORCE, true },
	{ "mixed stack", "lxc-phoenix-v2//&b (mixed)\n", 0, 0, "lxc-phoenix-v2//&b",
	  CONFINE_MODE_MIXED, false },
	{ "same name in a namespace", ":ns:lxc-phoenix-v2 (enforce)\n", 0, 0, ":ns:lxc-phoenix-v2",
	  CONFINE_MODE_ENFORCE, false },
	{ "a child of ours", "lxc-phoenix-v2//hat (enforce)\n", 0, 0, "lxc-phoenix-v2//hat",
	  CONFINE_MODE_ENFORCE, false },
	{ "longer name", "lxc-phoenix-v22 (enforce)\n", 0, 0, "lxc-phoenix-v22",
	  CONFINE_MODE_ENFORCE, false },
	{ "shorter name", "lxc-phoenix-v (enforce)\n", 0, 0, "lxc-phoenix-v", CONFINE_MODE_ENFORCE,
	  false },
	{ "parentheses in the name", "x (enforce) (complain)\n", 0, 0, "x (enforce)",
	  CONFINE_MODE_COMPLAIN, false },
	{ "docker-default", "docker-default (enforce)\n", 0, 0, "docker-default",
	  CONFINE_MODE_ENFORCE, false },
	{ "empty", "", 0, -EINVAL },
	{ "newline only", "\n", 0, -EINVAL },
	{ "no mode", "lxc-phoenix-v2\n", 0, -EINVAL },
	{ "no name", " (enforce)\n", 0, -EINVAL },
	{ "empty mode", "lxc-phoenix-v2 ()\n", 0, -EINVAL },
	{ "mode only", "(enforce)\n", 0, -EINVAL },
	{ "two lines", "lxc-phoenix-v2 (enforce)\nx (enforce)\n", 0, -EINVAL },
	{ "zero byte inside", "lxc\0-phoenix-v2 (enforce)", 25, -EINVAL },
	{ "SELinux's", "system_u:system_r:init_t:s0", 0, -EINVAL },
};

static void test_labels(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(LABELS); i++) {
		size_t length = LABELS[i].length ?: strlen(LABELS[i].text);
		struct confine_label label = { .name = "untouched" };
		int code = confine_label_parse(LABELS[i].text, length, &label);

		if (code != LABELS[i].code)
			fail_msg("%s: %d", LABELS[i].name, code);
		if (code < 0) {
			assert_string_equal(label.name, "untouched");
			continue;
		}
		if (strcmp(label.name, LABELS[i].label) || label.mode != LABELS[i].mode)
			fail_msg("%s: %s (%d)", LABELS[i].name, label.name, label.mode);
		if (confine_label_enforces(&label, CONFINE_PROFILE) != LABELS[i].enforces)
			fail_msg("%s: judged wrong", LABELS[i].name);
		assert_false(confine_label_enforces(&label, ""));
	}
}

static void test_label_too_long(void **state)
{
	char text[CONFINE_LABEL_SIZE + 32];
	struct confine_label label;

	memset(text, 'a', sizeof(text));
	strcpy(text + CONFINE_LABEL_SIZE, " (enforce)");
	assert_int_equal(confine_label_parse(text, strlen(text), &label), -ENAMETOOLONG);
	strcpy(text + CONFINE_LABEL_SIZE - 1, " (enforce)");
	assert_int_equal(confine_label_parse(text, strlen(text), &label), 0);
}

static void test_label_of_processes(void **state)
{
	PH_AUTO_CLOSE int proc = confine_proc_open(NULL);
	struct confine_label label;
	int own;

	assert_true(proc >= 0);
	own = confine_label_read_pid(proc, getpid(), &label);
	if (access("/sys/kernel/security/apparmor", F_OK))
		assert_int_equal(own, -ENOTSUP);
	else
		assert_int_equal(own, 0);
	assert_int_equal(confine_label_read_pid(proc, 0, &label), -EINVAL);
	/* Beyond the kernel's largest process number. */
	assert_int_equal(confine_label_read_pid(proc, 0x7fffffff, &label), -ESRCH);
}

/* --- check ------------------------------------------------------------------------------------ */

static void test_check(void **state)
{
	CONFINE_AUTO_CHECK struct confine_check check = CONFINE_CHECK_INIT;
	struct ph_error error = { 0 };

	assert_int_equal(confine_check_begin(&check, CONFINE_PROFILE, &error), 0);
	assert_int_equal(confine_check_verdict(&check, &error), CONFINE_CHECK_EMPTY);
	assert_int_equal(confine_check_visit(&check, 0x7fffffff), 0);
	assert_int_equal(confine_check_verdict(&check, &error), CONFINE_CHECK_EMPTY);
	/* This test is not confined by the profile: it has to be found, and named. */
	assert_int_equal(confine_check_visit(&check, getpid()), 0);
	assert_int_equal(confine_check_visit(&check, getppid()), 0);
	assert_int_equal(confine_check_verdict(&check, &error), CONFINE_CHECK_OFFENDED);
	assert_int_equal(check.processes, 2);
	assert_int_equal(check.offenders, 2);
	assert_int_equal(check.first_offender, getpid());
	assert_non_null(strstr(check.first_text, "(test_confine"));
	assert_string_equal(error.where, check.first_text);
}

/* --- the host --------------------------------------------------------------------------------- */

static void test_parser_versions(void **state)
{
	static const struct {
		const char *output;
		int code;
		const char *version;
		unsigned int major, minor;
	} cases[] = {
		{ "AppArmor parser version 3.0.8\nCopyright\n", 0, "3.0.8", 3, 0 },
		{ "AppArmor parser version 4.1.0~beta5\n", 0, "4.1.0~beta5", 4, 1 },
		{ "AppArmor parser version 2.13.6\n", 0, "2.13.6", 2, 13 },
		{ "AppArmor parser version \n", -EINVAL },
		{ "AppArmor parser version x.y\n", -EINVAL },
		{ "", -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		unsigned int major = 0;
		unsigned int minor = 0;
		char version[32] = "";

		assert_int_equal(confine_parser_version(cases[i].output, version, &major, &minor),
				 cases[i].code);
		if (cases[i].code)
			continue;
		assert_string_equal(version, cases[i].version);
		assert_int_equal(major, cases[i].major);
		assert_int_equal(minor, cases[i].minor);
	}
}

/* A host made of files: its kernel mediates message queues, but its parser doesn't know them; the other way round
 * with io_uring. Each case takes one thing away from one that is able. */
static const struct {
	const char *name;
	const char *change; /* shell, in the directory of the host */
	enum confine_obstacle obstacle;
	const char *detail;
} HOSTS[] = {
	{ "able", ":", CONFINE_ABLE, "" },
	{ "no AppArmor", "rm -r module", CONFINE_NO_KERNEL, "" },
	{ "switched off", "echo N > module/enabled", CONFINE_DISABLED, "" },
	{ "no securityfs", "rm -r fs", CONFINE_NO_SECURITYFS, "" },
	{ "no permission", "rm fs/.replace", CONFINE_NO_PERMISSION, "" },
	{ "complain", "echo complain > module/mode", CONFINE_NOT_ENFORCING, "mode complain" },
	{ "no mount rules", "rm -r fs/features/mount", CONFINE_NO_MOUNT_RULES, "" },
	{ "no parser", "rm parser", CONFINE_NO_PARSER, "" },
	{ "old parser", "sed -i s/4.1.0/2.13.6/ parser", CONFINE_OLD_PARSER, "2.13.6" },
	{ "talkative parser", "printf '#!/bin/sh\\necho hello\\n' > parser", CONFINE_NO_PARSER, "" },
};

static const char MAKE_HOST[] =
	"mkdir -p module fs/features/mount fs/features/namespaces fs/features/ipc/posix_mqueue policy/abi cgroup &&"
	"echo Y > module/enabled && echo enforce > module/mode && echo x > fs/features/mount/mask &&"
	"touch fs/.replace policy/abi/3.0 fs/features/namespaces/userns_create &&"
	"printf '#!/bin/sh\\ncase $1 in --version) echo AppArmor parser version 4.1.0;; *) ! grep -q mqueue;; esac\\n' "
	"> parser && chmod 755 parser";

static void test_obstacles(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(HOSTS); i++) {
		char root[] = "/tmp/ph-test-host-XXXXXX";
		PH_AUTO_FREE char *make = NULL;
		PH_AUTO_FREE char *clean = NULL;
		char module[64], fs[64], policy[64], cgroup[64], parser[64];
		char mode[CONFINE_LAX_SIZE] = "";
		struct confine_places places = { module, fs, policy, cgroup, parser };
		struct confine_facts facts;
		struct ph_error error = { 0 };

		assert_non_null(mkdtemp(root));
		make = ph_format("cd %s && %s && %s", root, MAKE_HOST, HOSTS[i].change);
		clean = ph_format("rm -r -- %s", root);
		assert_int_equal(system(make), 0);
		snprintf(module, sizeof(module), "%s/module", root);
		snprintf(fs, sizeof(fs), "%s/fs", root);
		snprintf(policy, sizeof(policy), "%s/policy", root);
		snprintf(cgroup, sizeof(cgroup), "%s/cgroup", root);
		snprintf(parser, sizeof(parser), "%s/parser", root);
		confine_facts_detect(&places, &facts);
		assert_int_equal(confine_kernel_enforces(&places, mode),
				 HOSTS[i].obstacle != CONFINE_NOT_ENFORCING);
		assert_string_equal(mode, HOSTS[i].obstacle == CONFINE_NOT_ENFORCING ? "complain" : "");
		assert_int_equal(system(clean), 0);
		if (facts.obstacle != HOSTS[i].obstacle || strcmp(facts.detail, HOSTS[i].detail))
			fail_msg("%s: %d %s", HOSTS[i].name, facts.obstacle, facts.detail);
		if (facts.obstacle == CONFINE_ABLE) {
			assert_int_equal(facts.features, CONFINE_FEATURE_ABI | CONFINE_FEATURE_USERNS |
								 CONFINE_FEATURE_NOSYMFOLLOW);
			assert_int_equal(confine_facts_require(&facts, &error), 0);
			continue;
		}
		assert_int_equal(confine_facts_require(&facts, &error), -ENOTSUP);
		assert_true(error.why[0] && error.remedy[0]);
		assert_non_null(strstr(error.why, HOSTS[i].detail));
	}
}

/* The parser is asked once for each file that it is: what it was is told by size, inode and times. */
static void test_parser_is_remembered(void **state)
{
	static const struct {
		const char *name, *change;
		int calls; /* that the parser has counted by then */
		enum confine_obstacle obstacle;
	} steps[] = {
		{ "first", ":", 1, CONFINE_ABLE },
		{ "unchanged", ":", 1, CONFINE_ABLE },
		{ "touched", "touch -d 2001-01-01 parser", 2, CONFINE_ABLE },
		{ "unchanged again", ":", 2, CONFINE_ABLE },
		{ "another version", "sed -i s/4.1.0/2.1.0/ parser", 3, CONFINE_OLD_PARSER },
		{ "old, unchanged", ":", 3, CONFINE_OLD_PARSER },
		{ "memory damaged", "echo x > memory/parser", 4, CONFINE_OLD_PARSER },
		{ "memory cut", "truncate -s -1 memory/parser", 5, CONFINE_OLD_PARSER },
		{ "memory gone", "rm -r memory", 6, CONFINE_OLD_PARSER },
		{ "parser gone", "rm parser", 6, CONFINE_NO_PARSER },
	};
	char root[] = "/tmp/ph-test-host-XXXXXX";
	char module[64], fs[64], policy[64], cgroup[64], parser[64], memory[64], calls[64];
	struct confine_places places = { module, fs, policy, cgroup, parser, memory };
	PH_AUTO_FREE char *make = NULL;
	PH_AUTO_FREE char *clean = NULL;

	assert_non_null(mkdtemp(root));
	make = ph_format("cd %s && mkdir memory && %s && sed -i '2i[ $1 != --version ] || echo x >> %s/calls' parser", root,
			 MAKE_HOST, root);
	clean = ph_format("rm -r -- %s", root);
	assert_int_equal(system(make), 0);
	snprintf(module, sizeof(module), "%s/module", root);
	snprintf(fs, sizeof(fs), "%s/fs", root);
	snprintf(policy, sizeof(policy), "%s/policy", root);
	snprintf(cgroup, sizeof(cgroup), "%s/cgroup", root);
	snprintf(parser, sizeof(parser), "%s/parser", root);
	snprintf(memory, sizeof(memory), "%s/memory", root);
	snprintf(calls, sizeof(calls), "%s/calls", root);
	for (size_t i = 0; i < ARRAY_LENGTH(steps); i++) {
		PH_AUTO_FREE char *change = ph_format("cd %s && %s", root, steps[i].change);
		struct confine_facts facts;
		struct stat about;

		assert_int_equal(system(change), 0);
		confine_facts_detect(&places, &facts);
		assert_int_equal(stat(calls, &about), 0);
		if (facts.obstacle != steps[i].obstacle || about.st_size != 2 * steps[i].calls)
			fail_msg("%s: obstacle %d, %d calls", steps[i].name, facts.obstacle,
				 (int)about.st_size / 2);
	}
	assert_int_equal(system(clean), 0);
}

/* --- policy ----------------------------------------------------------------------------------- */

static void test_policy_list(void **state)
{
	static const char list[] = "/usr/bin/man (enforce)\nlxc-phoenix-v2 (complain)\n"
				   "lxc-phoenix-v22 (enforce)\nunder (enforce)\nno mode\nx (unconfined)";
	static const struct {
		const char *name;
		enum confine_policy_state state;
	} cases[] = {
		{ "lxc-phoenix-v2", CONFINE_POLICY_LAX }, { "lxc-phoenix-v22", CONFINE_POLICY_ENFORCED },
		{ "lxc-phoenix-v", CONFINE_POLICY_ABSENT }, { "no mode", CONFINE_POLICY_ABSENT },
		{ "x", CONFINE_POLICY_LAX }, { "/usr/bin/man", CONFINE_POLICY_ENFORCED },
		{ "", CONFINE_POLICY_ABSENT },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
		assert_int_equal(confine_policy_find(list, cases[i].name), cases[i].state);
	assert_int_equal(confine_policy_find("", "x"), CONFINE_POLICY_ABSENT);
}

static void test_load_refuses_unable_host(void **state)
{
	struct confine_facts facts = { .obstacle = CONFINE_NO_KERNEL };
	struct confine_policy policy = { "x", "profile x { }", NULL };
	struct ph_error error = { 0 };

	assert_int_equal(confine_policy_load(&policy, &facts, &error), -ENOTSUP);
	assert_non_null(strstr(error.why, "no AppArmor"));
	assert_non_null(strstr(error.what, "load profile x"));
	assert_non_null(strstr(error.remedy, "best-effort"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_label_too_long),
		cmocka_unit_test(test_label_of_processes),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_parser_versions),
		cmocka_unit_test(test_obstacles),
		cmocka_unit_test(test_parser_is_remembered),
		cmocka_unit_test(test_policy_list),
		cmocka_unit_test(test_load_refuses_unable_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
