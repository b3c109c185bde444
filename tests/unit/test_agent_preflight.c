/* The texts that the inside of a container gives, and the attempts on the machine that runs this. */
#include "tests/support/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/preflight/attempts.h"
#include "agent/preflight/preflight.h"
#include "agent/preflight/texts.h"
#include "common/cleanup.h"
#include "common/message.h"
#include "common/str.h"

static const struct {
	const char *map;
	uint64_t count;
} maps[] = {
	{ "         0     100000      65536\n", 65536 },
	{ "0 100000 1000\n1000 300000 1000\n", 2000 },
	{ "1000 300000 1000\n0 100000 1000\n", 2000 }, /* in any order */
	{ "0 100000 1000\n1001 300000 1000\n", 1000 }, /* a hole */
	{ "1 100000 65535\n", 0 },		       /* no root */
	{ "0 0 4294967295\n", 4294967295u },
	{ "", 0 },
	{ "words\n", 0 },
	{ "0 0 0\n", 0 },
};

static void id_maps(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(maps); i++)
		if (texts_map_count(maps[i].map) != maps[i].count)
			fail_msg("\"%s\": %llu", maps[i].map,
				 (unsigned long long)texts_map_count(maps[i].map));
}

static const struct {
	const char *output, *version;
} versions[] = {
	{ "runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1+deb12u1\nspec: 1.0.2-dev\n", "1.1.5+ds1" },
	{ "runc version 1.3.6", "1.3.6" },
	{ "crun version 1.8", "" },
	{ "runc version ", "" },
	{ "runc version 0123456789012345678901234567890123456789\n", "" },
	{ "", "" },
};

static void runc_versions(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(versions); i++) {
		char version[32];

		texts_runc_version(versions[i].output, version);
		assert_string_equal(version, versions[i].version);
	}
}

#define IDS "failed to Lchown \"/x\" for UID 70000, GID 0 (try increasing the number of subordinate IDs"

static void complaints(void **state)
{
	char lines[2][TEXTS_LINE_SIZE];
	PH_AUTO_STR struct str log = STR_INIT;

	assert_int_equal(texts_complaints("", lines, 2), 0);
	assert_int_equal(texts_complaints("lchown /x: operation not permitted\n", lines, 2), 0);
	assert_int_equal(texts_complaints("one " IDS "\nother\none " IDS "\n", lines, 2), 1);
	assert_string_equal(lines[0], "one " IDS);
	/* The newest ones, without the newline at the end. */
	assert_int_equal(texts_complaints("1 " IDS "\n2 " IDS "\n3 " IDS, lines, 2), 2);
	assert_string_equal(lines[0], "3 " IDS);
	assert_string_equal(lines[1], "2 " IDS);
	str_append(&log, IDS);
	for (int i = 0; i < 1000; i++)
		str_append(&log, "0123456789");
	assert_int_equal(texts_complaints(str_text(&log), lines, 2), 1);
	assert_int_equal(strlen(lines[0]), TEXTS_LINE_SIZE - 1);
}

static const struct {
	const char *mountinfo, *cgroup;
} cgroups[] = {
	{ "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n", "v2" },
	{ "30 23 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
	  "31 30 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n", "v1" },
	{ "30 23 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n", "none" },
	{ "30 23 0:26 / /mnt rw - cgroup2 cgroup2 rw\n", "none" },
	{ "", "none" },
	{ " - ", "none" },
};

static void cgroup_mounts(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(cgroups); i++)
		assert_string_equal(texts_cgroup(cgroups[i].mountinfo), cgroups[i].cgroup);
}

/* Where nothing confines this test, what runc does works; nothing is left open. */
static void attempts_work(void **state)
{
	struct ph_error error = { 0 };
	struct attempt attempt = { "unset", -1 };
	int before = dup(0), after;

	close(before);
	if (geteuid() != 0) {
		print_message("SKIP: needs root\n");
		skip();
	}
	assert_int_equal(attempt_reopen_sysctl(&attempt, &error), 0);
	if (strcmp(attempt.step, "reopen") == 0 && attempt.number == EACCES)
		print_message("this machine has the clash\n");
	else
		assert_string_equal(attempt.step, "");
	assert_int_equal(attempt_user_namespace(&attempt, &error), 0);
	assert_true(attempt.step[0] == '\0' || strcmp(attempt.step, "unshare") == 0);
	after = dup(0);
	close(after);
	assert_int_equal(before, after);
}

/* Without a descriptor to be had, /dev/fuse cannot be opened: the step and its errno are told. */
static void attempts_fail(void **state)
{
	struct rlimit old, none;
	struct ph_error error = { 0 };
	struct attempt attempt = { "unset", -1 };
	int r;

	getrlimit(RLIMIT_NOFILE, &old);
	none = old;
	none.rlim_cur = (rlim_t)dup(0) + 2; /* room for the pipe, and for nothing in the child */
	close((int)none.rlim_cur - 2);
	setrlimit(RLIMIT_NOFILE, &none);
	r = attempt_fuse(&attempt, &error);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_int_equal(r, 0);
	assert_string_equal(attempt.step, "open");
	assert_int_equal(attempt.number, EMFILE);
}

static void collected(void **state)
{
	Phoenix__AgentPreflightReply *reply;
	struct ph_error error = { 0 };

	assert_int_equal(preflight_collect(&reply, &error), 0);
	assert_non_null(reply->reopen_sysctl);
	assert_non_null(reply->session_keyring);
	assert_non_null(reply->user_namespace);
	assert_non_null(reply->fuse);
	assert_int_not_equal(reply->fuse->outcome, PHOENIX__PREFLIGHT_ATTEMPT__OUTCOME__UNTRIED);
	assert_true(reply->uid_count > 0);
	assert_true(reply->cgroup[0] != '\0');
	message_free(reply);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(id_maps),	 cmocka_unit_test(runc_versions),
		cmocka_unit_test(complaints),	 cmocka_unit_test(cgroup_mounts),
		cmocka_unit_test(attempts_work), cmocka_unit_test(attempts_fail),
		cmocka_unit_test(collected),
	};

	return cmocka_run_group_tests_name("agent_preflight", tests, NULL, NULL);
}
