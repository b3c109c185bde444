/* Which processes count as a container's own, and what a process of the test's is found to be. */
#include "controller/link/peer.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/str.h"
#include "tests/support/cmocka.h"

#define MAP "         0     100000      65536\n"
#define GROUPS "0::/phoenix.payload.web1\n"
#define LABEL "lxc-phoenix-v2 (enforce)"

struct peer_case {
	const char *name;
	struct peer_facts facts;
	const char *profile;
	const char *wrong; /* NULL: nothing */
};

#define FACTS(uid_map, gid_map, cgroup, label, levels)                                             \
	{                                                                                          \
		uid_map, gid_map, cgroup, label, levels                                            \
	}
#define PROFILE "lxc-phoenix-v2"

static const struct peer_case cases[] = {
	{ "the agent", FACTS(MAP, MAP, GROUPS, LABEL, 2), PROFILE, NULL },
	{ "in a group below", FACTS(MAP, MAP, "0::/phoenix.payload.web1/init.scope\n", LABEL, 2),
	  PROFILE, NULL },
	{ "on a host with v1",
	  FACTS(MAP, MAP, "4:memory:/phoenix.payload.web1\n3:misc:/\n0::/\n", LABEL, 2), PROFILE,
	  NULL },
	{ "without AppArmor", FACTS(MAP, MAP, GROUPS, "", 2), "", NULL },
	{ "unconfined where nothing is wanted", FACTS(MAP, MAP, GROUPS, "unconfined", 2), "", NULL },
	{ "with a policy namespace below",
	  FACTS(MAP, MAP, GROUPS, "lxc-phoenix-v2-stacked//&:phoenix-web1:unconfined (mixed)", 2),
	  "lxc-phoenix-v2-stacked", NULL },
	{ "another container's ids",
	  FACTS("0 165536 65536\n", MAP, GROUPS, LABEL, 2), PROFILE, "id map" },
	{ "another container's groups of ids",
	  FACTS(MAP, "0 165536 65536\n", GROUPS, LABEL, 2), PROFILE, "id map" },
	{ "a map with more lines",
	  FACTS(MAP "65536 0 1\n", MAP, GROUPS, LABEL, 2), PROFILE, "id map" },
	{ "part of the map", FACTS("0 100000 1000\n", MAP, GROUPS, LABEL, 2), PROFILE, "id map" },
	{ "no map", FACTS("", MAP, GROUPS, LABEL, 2), PROFILE, "id map" },
	{ "another container", FACTS(MAP, MAP, "0::/phoenix.payload.web12\n", LABEL, 2), PROFILE,
	  "control group" },
	{ "no container", FACTS(MAP, MAP, "0::/user.slice\n", LABEL, 2), PROFILE, "control group" },
	{ "a group of that name elsewhere",
	  FACTS(MAP, MAP, "0::/user.slice/phoenix.payload.web1\n", LABEL, 2), PROFILE,
	  "control group" },
	{ "nested", FACTS(MAP, MAP, GROUPS, LABEL, 3), PROFILE, "pid namespace" },
	{ "of the host", FACTS(MAP, MAP, GROUPS, LABEL, 1), PROFILE, "pid namespace" },
	{ "unconfined", FACTS(MAP, MAP, GROUPS, "unconfined", 2), PROFILE, "label" },
	{ "only complaining", FACTS(MAP, MAP, GROUPS, "lxc-phoenix-v2 (complain)", 2), PROFILE,
	  "label" },
	{ "under a profile that begins alike",
	  FACTS(MAP, MAP, GROUPS, "lxc-phoenix-v2-stacked (enforce)", 2), PROFILE, "label" },
	{ "under a child of the profile",
	  FACTS(MAP, MAP, GROUPS, "lxc-phoenix-v2//child (enforce)", 2), PROFILE, "label" },
	{ "without a label", FACTS(MAP, MAP, GROUPS, "", 2), PROFILE, "label" },
};

static void test_judge(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct peer_expected expected = { "web1", 100000, 65536, cases[i].profile };
		struct ph_error error = { 0 };
		int result = peer_judge(&cases[i].facts, &expected, &error);

		if (result != (cases[i].wrong ? -EPERM : 0) ||
		    (cases[i].wrong && !strstr(error.why, cases[i].wrong)))
			fail_msg("%s: %d %s", cases[i].name, result, error.why);
	}
}

/* This process is of no container; one that is not there is told apart. */
static void test_check(void **state)
{
	const struct peer_expected expected = { "web1", 100000, 65536, "" };
	struct ph_error error;

	assert_int_equal(peer_check(getpid(), &expected, &error), -EPERM);
	assert_int_equal(peer_check(0, &expected, &error), -ESRCH);
	assert_int_equal(peer_check(0x3fffffff, &expected, &error), -ESRCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judge),
		cmocka_unit_test(test_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
