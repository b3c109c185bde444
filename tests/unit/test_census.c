/* Containers are told by the group that their manager gave them, never by what they chose. */
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "controller/host/lxc/census.h"
#include "tests/support/cmocka.h"

static const struct {
	const char *title, *cgroup, *kind, *name;
} CASES[] = {
	{ "ours", "0::/phoenix.payload.web1/init.scope\n", "phoenix", "web1" },
	{ "LXC", "0::/lxc.payload.db/system.slice\n", "lxc", "db" },
	{ "LXC's older name", "0::/lxc/101/ns\n", "lxc", "101" },
	{ "LXC on a hybrid host", "5:memory:/\n4:pids:/lxc.payload.x\n0::/user.slice\n", "lxc", "x" },
	{ "Docker with systemd",
	  "0::/system.slice/docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope\n",
	  "docker", "0123456789ab" },
	{ "Docker without", "0::/docker/0123456789abcdef\n", "docker", "0123456789ab" },
	{ "Podman", "0::/machine.slice/libpod-fedcba9876543210.scope\n", "podman", "fedcba987654" },
	{ "nspawn", "0::/machine.slice/machine-test.scope/payload\n", "machine", "test" },
	{ "a group named by a container", "0::/lxc.payload.bad/phoenix.payload.good\n", "lxc", "bad" },
	{ "ours with one named like LXC's", "0::/phoenix.payload.web1/lxc.payload.x\n", "phoenix", "web1" },
	{ "bytes for a terminal", "0::/lxc.payload.a\x1b[31m'\"\\\xff\n", "lxc", "a?[31m????" },
	{ "a service", "0::/system.slice/cron.service\n", "other", "" },
	{ "nothing", "", "other", "" },
};

static void groups_name_containers(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(CASES); i++) {
		struct census_entry entry = { 0 };
		bool is_known = census_classify(CASES[i].cgroup, &entry);

		if (!text_equal(entry.kind, CASES[i].kind) || !text_equal(entry.name, CASES[i].name) ||
		    is_known != (CASES[i].name[0] != '\0'))
			fail_msg("%s: %s '%s'", CASES[i].title, entry.kind, entry.name);
	}
}

static void long_names_are_cut(void **state)
{
	char text[400] = "0::/lxc.payload.";
	struct census_entry entry = { 0 };

	memset(text + strlen(text), 'x', 300);
	assert_true(census_classify(text, &entry));
	assert_int_equal(strlen(entry.name), 63);
}

static void this_host_can_be_counted(void **state)
{
	struct census census;
	struct ph_error error;

	assert_int_equal(census_take(&census, &error), 0);
	for (size_t i = 0; i < census.count; i++)
		assert_true(census.entries[i].init > 1);
	census_fini(&census);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(groups_name_containers),
		cmocka_unit_test(long_names_are_cut),
		cmocka_unit_test(this_host_can_be_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
