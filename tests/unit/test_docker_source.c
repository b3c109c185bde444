/* Pins, sources and users: what is written and what is matched. */
#include "agent/docker/source.h"

#include <stdlib.h>
#include <string.h>

#include "agent/docker/users.h"
#include "common/cleanup.h"
#include "common/str.h"
#include "tests/support/cmocka.h"

static const struct {
	const char *wanted;
	const char *version;
	bool matches;
} version_cases[] = {
	{ NULL, "20.10.24", true },
	{ "", "20.10.24", true },
	{ "any", "20.10.24", true },
	{ "20.10.*", "20.10.24+dfsg1-1+deb12u1+b6", true },
	{ "20.10.*", "26.1.5+dfsg1-9", false },
	{ "28.5.*", "5:28.5.2-1~debian.13~trixie", true },
	{ "5:28.5.*", "5:28.5.2-1~debian.13~trixie", true },
	{ "4:28.5.*", "5:28.5.2-1", false },
	{ "20.10.24", "20.10.24", true },
	{ "20.10.24", "20.10.240", false },
	{ "2?.*", "26.1.5", true },
	{ "20.10.*", "", false },
};

static void versions_are_matched(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(version_cases); i++) {
		const struct docker_wanted wanted = { .version = version_cases[i].wanted };

		if (source_version_matches(&wanted, version_cases[i].version) !=
		    version_cases[i].matches)
			fail_msg("%s and %s", version_cases[i].wanted, version_cases[i].version);
	}
}

static void pins_cover_both_spellings(void **state)
{
	const struct docker_wanted wanted = { .version = "20.10.*" };
	const struct docker_wanted any = { .version = "any" };
	PH_AUTO_FREE char *pin = source_pin_text(&wanted, "docker.io");
	PH_AUTO_FREE char *none = source_pin_text(&any, "docker.io");

	assert_non_null(strstr(pin, "Package: docker.io docker-cli\nPin: version 20.10.*\n"));
	assert_non_null(strstr(pin, "Package: docker.io docker-cli\nPin: version *:20.10.*\n"));
	assert_string_equal(none, "");
}

static void sources_have_defaults(void **state)
{
	const struct os_release os = { .id = "debian", .codename = "trixie" };
	struct docker_wanted wanted = { .source = "docker-ce" };
	PH_AUTO_FREE char *own = source_list_text(&wanted, &os);
	PH_AUTO_FREE char *other = NULL, *none = NULL;

	assert_non_null(strstr(own, "URIs: https://download.docker.com/linux/debian\n"
				    "Suites: trixie\nComponents: stable\n"
				    "Signed-By: /etc/apt/keyrings/phoenix-docker-ce.asc\n"));
	wanted.repository = (struct docker_repository){ .uri = "file:/srv/ce",
							.suite = "here",
							.components = "a b" };
	other = source_list_text(&wanted, &os);
	assert_non_null(strstr(other, "URIs: file:/srv/ce\nSuites: here\nComponents: a b\n"));
	wanted.source = "distribution";
	none = source_list_text(&wanted, &os);
	assert_string_equal(none, "");
}

static const struct {
	const char *groups;
	const char *user;
	bool is_member;
} group_cases[] = {
	{ "root:x:0:\ndocker:x:101:ann,bob\n", "ann", true },
	{ "root:x:0:\ndocker:x:101:ann,bob\n", "bob", true },
	{ "docker:x:101:ann,bob", "bo", false },
	{ "docker:x:101:ann,bobby", "bob", false },
	{ "docker:x:101:\nann:x:1:bob\n", "bob", false },
	{ "docker-users:x:101:ann\n", "ann", false },
	{ "docker:x\nann:y:z:ann\n", "ann", false },
	{ "docker:ann:101:bob\n", "ann", false },
	{ "", "ann", false },
};

static void members_are_found(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(group_cases); i++)
		if (users_in_group(group_cases[i].groups, "docker", group_cases[i].user) !=
		    group_cases[i].is_member)
			fail_msg("%s in %s", group_cases[i].user, group_cases[i].groups);
	assert_true(users_known("root:x:0:0::/root:/bin/sh\nann:x:1::/:\n", "ann"));
	assert_false(users_known("root:x:0:0:ann:/root:/bin/sh\n", "ann"));
	assert_false(users_known("anne:x:1::/:\n", "ann"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions_are_matched),
		cmocka_unit_test(pins_cover_both_spellings),
		cmocka_unit_test(sources_have_defaults),
		cmocka_unit_test(members_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
