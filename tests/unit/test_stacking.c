/* Which kernels may show AppArmor's control files to a container. */
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/host/confine/namespace.h"
#include "controller/host/confine/stacking.h"
#include "tests/support/cmocka.h"

#define DEBIAN(version) "#1 SMP PREEMPT_DYNAMIC Debian " version " (2026-01-01)"
#define PLAIN "#1 SMP Mon Jan 1 2026"

static const struct {
	const char *name, *release, *version;
	bool cannot_stack, no_namespaces, no_userns_policy;
	const char *why; /* part of the refusal; NULL: allowed */
} CASES[] = {
	{ "Debian 12 before the fix", "6.1.0-43-amd64", DEBIAN("6.1.162-1"), .why = "6.1.162" },
	{ "Debian 12 with the first fix", "6.1.0-44-amd64", DEBIAN("6.1.164-1"), .why = "6.1.164" },
	{ "Debian 12 with all fixes", "6.1.0-45-amd64", DEBIAN("6.1.170-1") },
	{ "Debian 13 before", "6.12.74+deb13-amd64", DEBIAN("6.12.74-2"), .why = "6.12.74" },
	{ "Debian 13 after", "6.12.90+deb13-amd64", DEBIAN("6.12.90-1") },
	{ "User-Mode Linux of Debian 12", "6.1.176", PLAIN },
	{ "6.6 just before", "6.6.129", PLAIN, .why = "6.6.129" },
	{ "6.6 with the fix", "6.6.130", PLAIN },
	{ "6.18 just before", "6.18.17-1-custom", PLAIN, .why = "CrackArmor" },
	{ "6.18 with the fix", "6.18.18", PLAIN },
	{ "6.19 with the fix", "6.19.8", PLAIN },
	{ "7.0", "7.0.0", PLAIN },
	{ "a candidate of 7.0", "7.0.0-rc2", PLAIN, .why = "not known whether" },
	{ "Debian's candidate of 7.0", "7.0-rc2-amd64", DEBIAN("7.0~rc2-1~exp1"), .why = "not known" },
	{ "later than the table", "7.3.1", PLAIN },
	{ "next major", "8.0.0", PLAIN },
	{ "a series that ended without the fix", "6.17.13", PLAIN, .why = "6.17.13" },
	{ "an old series", "5.10.300", PLAIN, .why = "5.10.300" },
	{ "Ubuntu says nothing of upstream's patch level", "6.8.0-107-generic", PLAIN, .why = "6.8.0" },
	{ "release and version contradict", "6.12.90-amd64", DEBIAN("6.1.170-1"), .why = "not known" },
	{ "no numbers", "custom", PLAIN, .why = "not known whether" },
	{ "empty", "", "", .why = "not known whether" },
	{ "cannot stack", "6.12.90", PLAIN, .cannot_stack = true, .why = "cannot stack" },
	{ "no namespaces", "6.12.90", PLAIN, .no_namespaces = true, .why = "cannot stack" },
	{ "no policy from user namespaces", "6.12.90", PLAIN, .no_userns_policy = true,
	  .why = "unprivileged_userns_apparmor_policy is 0" },
};

static void kernels_are_judged(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(CASES); i++) {
		const struct stacking_kernel kernel = {
			.release = CASES[i].release,
			.version = CASES[i].version,
			.can_stack = !CASES[i].cannot_stack,
			.has_namespaces = !CASES[i].no_namespaces,
			.userns_policy = !CASES[i].no_userns_policy,
		};
		struct ph_error error = { 0 };
		int code = stacking_judge(&kernel, &error);

		if (code != (CASES[i].why ? -EOPNOTSUPP : 0))
			fail_msg("%s: %d (%s)", CASES[i].name, code, error.why);
		if (CASES[i].why && (!strstr(error.why, CASES[i].why) || !error.remedy[0]))
			fail_msg("%s: says '%s', to do '%s'", CASES[i].name, error.why, error.remedy);
	}
}

static void series_are_named_with_their_source(void **state)
{
	for (const struct stacking_series *series = stacking_fixed; series->major; series++) {
		assert_non_null(series->source);
		assert_true(series[1].major == 0 || series[1].major > series->major ||
			    series[1].minor > series->minor);
	}
}

static void labels_name_profile_and_namespace(void **state)
{
	char name[NAMESPACE_NAME_SIZE], label[NAMESPACE_LABEL_SIZE];

	assert_string_equal(namespace_name("web1", name), "phoenix-web1");
	assert_string_equal(namespace_label("lxc-phoenix-v2-stacked", "web1", label),
			    "lxc-phoenix-v2-stacked//&:phoenix-web1:unconfined");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kernels_are_judged),
		cmocka_unit_test(series_are_named_with_their_source),
		cmocka_unit_test(labels_name_profile_and_namespace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
