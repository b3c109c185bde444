/* What changed since the last verify, in words. */
#include "controller/container/drift.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "tests/support/cmocka.h"

#define PAIRS_MAXIMUM 8

struct pair {
	const char *key, *value;
};

static const struct {
	const char *name;
	struct pair then[PAIRS_MAXIMUM], now[PAIRS_MAXIMUM];
	size_t count;
	const char *reason, *says;
} cases[] = {
	{ "nothing", { { "runc", "1" }, { "driver", "a" } }, { { "driver", "a" }, { "runc", "1" } },
	  0, NULL, "" },
	{ "an upgrade", { { "runc", "1.1" } }, { { "runc", "1.2" } }, 1, "PackageChanged",
	  "runc: 1.1 is now 1.2" },
	{ "a package tells more than its program",
	  { { "program:runc", "a" }, { "runc", "1.1" } },
	  { { "program:runc", "b" }, { "runc", "1.2" } },
	  2, "PackageChanged", "program:runc: a is now b; runc: 1.1 is now 1.2" },
	{ "a program alone", { { "program:runc", "a" } }, { { "program:runc", "b" } }, 1,
	  "ProgramReplaced", "program:runc: a is now b" },
	{ "a package more", { { "driver", "a" } }, { { "driver", "a" }, { "docker-ce", "28" } }, 1,
	  "PackageChanged", "docker-ce: new, 28" },
	{ "a package less", { { "runc", "1" } }, { { NULL, NULL } }, 1, "PackageChanged",
	  "runc: gone, was 1" },
	{ "daemon.json", { { "daemon.json", "00" } }, { { "daemon.json", "01" } }, 1,
	  "DaemonJsonEdited", "daemon.json was edited" },
	{ "the driver explains daemon.json",
	  { { "daemon.json", "00" }, { "driver", "overlay2" } },
	  { { "daemon.json", "01" }, { "driver", "vfs" } },
	  2, "DriverChanged", "driver: overlay2 is now vfs" },
	{ "below the data-root", { { "data-root-filesystem", "ext4" } },
	  { { "data-root-filesystem", "overlay" } }, 1, "DataRootChanged", "ext4 is now overlay" },
	{ "kernel", { { "kernel", "6.1" } }, { { "kernel", "6.12" } }, 1, "KernelChanged", "6.12" },
};

static size_t fill(const struct pair *from, Phoenix__Pair *pairs, Phoenix__Pair **list)
{
	size_t count = 0;

	for (; count < PAIRS_MAXIMUM && from[count].key; count++) {
		phoenix__pair__init(&pairs[count]);
		pairs[count].key = (char *)from[count].key;
		pairs[count].value = (char *)from[count].value;
		list[count] = &pairs[count];
	}
	return count;
}

static void test_drift(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		Phoenix__VerifyReport verify = PHOENIX__VERIFY_REPORT__INIT;
		Phoenix__HealthReply claimed = PHOENIX__HEALTH_REPLY__INIT;
		Phoenix__Pair then[PAIRS_MAXIMUM], now[PAIRS_MAXIMUM];
		Phoenix__Pair *then_list[PAIRS_MAXIMUM], *now_list[PAIRS_MAXIMUM];
		struct drift got;

		verify.n_facts = fill(cases[i].then, then, then_list);
		verify.facts = then_list;
		claimed.n_inputs = fill(cases[i].now, now, now_list);
		claimed.inputs = now_list;
		drift_find(&verify, &claimed, &got);
		if (got.count != cases[i].count || !text_equal(got.reason, cases[i].reason) ||
		    !strstr(got.message, cases[i].says))
			fail_msg("%s: %zu %s: %s", cases[i].name, got.count,
				 got.reason ? got.reason : "-", got.message);
	}
}

/* An agent that claims very much cannot make the message longer than it is. */
static void test_bounds(void **state)
{
	Phoenix__VerifyReport verify = PHOENIX__VERIFY_REPORT__INIT;
	Phoenix__HealthReply claimed = PHOENIX__HEALTH_REPLY__INIT;
	Phoenix__Pair pair = PHOENIX__PAIR__INIT, *list[500];
	char value[3000];
	struct drift got;

	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	pair.key = pair.value = value;
	for (size_t i = 0; i < ARRAY_LENGTH(list); i++)
		list[i] = &pair;
	claimed.n_inputs = ARRAY_LENGTH(list);
	claimed.inputs = list;
	drift_find(&verify, &claimed, &got);
	assert_int_equal(got.count, 500);
	assert_true(strlen(got.message) < sizeof(got.message));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drift),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
