/* dpkg's states: every kind of half-way, and lines that are none. */
#include "agent/docker/dpkg_status.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/support/cmocka.h"

struct status_case {
	const char *name;
	const char *text;
	int result;
	const char *state; /* of docker.io */
	const char *version;
	bool is_installed;
	size_t broken;
	bool reinstall; /* of the first broken one */
};

static const struct status_case cases[] = {
	{ "installed", "ii \tdocker.io\t20.10.24+dfsg1-1\n", 0, "ii ", "20.10.24+dfsg1-1", true },
	{ "held", "hi \tdocker.io\t1\n", 0, "hi ", "1", true },
	{ "unknown to dpkg", "ii \tbash\t5\n", 0, "", "", false },
	{ "nothing at all", "", 0, "", "", false },
	{ "removed, configuration left", "rc \tdocker.io\t1\n", 0, "rc ", "", false },
	{ "not installed", "un \tdocker.io\t\n", 0, "un ", "", false },
	{ "unpacked", "iU \tdocker.io\t1\n", 0, "iU ", "1", false, 1 },
	{ "half-configured", "iF \tdocker.io\t1\n", 0, "iF ", "1", false, 1 },
	{ "half-installed, to be reinstalled", "iHR\tdocker.io\t1\n", 0, "iHR", "1", false, 1,
	  true },
	{ "installed, to be reinstalled", "iiR\tdocker.io\t1\n", 0, "iiR", "1", false, 1, true },
	{ "triggers awaited", "iW \tdocker.io\t1\n", 0, "iW ", "1", false, 1 },
	{ "triggers pending", "it \tdocker.io\t1\n", 0, "it ", "1", false, 1 },
	{ "another is broken", "ii \tdocker.io\t1\niU \tlibc6\t2\n", 0, "ii ", "1", true, 1 },
	{ "a longer name is another package", "ii \tdocker.io-doc\t1\n", 0, "", "", false },
	{ "no newline at the end", "ii \tdocker.io\t1", 0, "ii ", "1", true },
	{ "a line of words", "what is this\n", -EBADMSG },
	{ "a state too short", "ii\tdocker.io\t1\n", -EBADMSG },
	{ "no version field", "ii \tdocker.io\n", -EBADMSG },
	{ "no name", "ii \t\t1\n", -EBADMSG },
	{ "an empty line", "\n", -EBADMSG },
};

static void case_check(const struct status_case *c)
{
	struct dpkg_package packages[] = { { .name = "runc" }, { .name = "docker.io" } };
	struct dpkg_broken broken = { 0 };
	int result = dpkg_status_parse(c->text, packages, 2, &broken);
	const struct dpkg_package *docker = dpkg_package_find(packages, 2, "docker.io");

	if (result != c->result)
		fail_msg("%s: result %d", c->name, result);
	if (result < 0)
		return;
	if (strcmp(docker->state, c->state) != 0 || strcmp(docker->version, c->version) != 0)
		fail_msg("%s: \"%s\" \"%s\"", c->name, docker->state, docker->version);
	if (dpkg_package_is_installed(docker) != c->is_installed)
		fail_msg("%s: is installed", c->name);
	if (broken.count != c->broken || broken.reinstall[0] != c->reinstall)
		fail_msg("%s: %zu broken", c->name, broken.count);
}

static void states_are_told_apart(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
		case_check(&cases[i]);
	assert_null(dpkg_package_find(NULL, 0, "docker.io"));
}

static void old_answers_are_forgotten(void **state)
{
	struct dpkg_package package = { .name = "docker.io" };

	assert_int_equal(dpkg_status_parse("ii \tdocker.io\t1\n", &package, 1, NULL), 0);
	assert_int_equal(dpkg_status_parse("ii \tbash\t1\n", &package, 1, NULL), 0);
	assert_string_equal(package.state, "");
	assert_string_equal(package.version, "");
}

static void sizes_are_of_what_is_unpacked(void **state)
{
	static const struct {
		const char *line;
		uint32_t size_kib;
	} lines[] = {
		{ "ii \tdocker.io\t1\t147576\n", 147576 },
		{ "iU \tdocker.io\t1\t147576\n", 147576 },
		{ "iHR\tdocker.io\t1\t147576\n", 0 },
		{ "rc \tdocker.io\t1\t147576\n", 0 },
		{ "ii \tdocker.io\t1\t\nii \tx\t1\t9\n", 0 },
		{ "ii \tdocker.io\t1\n", 0 },
		{ "ii \tdocker.io\t1\t-1\n", 0 },
		{ "ii \tdocker.io\t1\t99999999999\n", UINT32_MAX },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(lines); i++) {
		struct dpkg_package package = { .name = "docker.io", .size_kib = 7 };

		assert_int_equal(dpkg_status_parse(lines[i].line, &package, 1, NULL), 0);
		if (package.size_kib != lines[i].size_kib)
			fail_msg("%s: %u KiB", lines[i].line, package.size_kib);
		if (package.version[0] && strcmp(package.version, "1") != 0)
			fail_msg("%s: version \"%s\"", lines[i].line, package.version);
	}
}

static void many_broken_ones_are_counted(void **state)
{
	static char text[100 * 32];
	struct dpkg_broken broken;
	size_t length = 0;

	for (int i = 0; i < 100; i++)
		length += (size_t)sprintf(text + length, "iU \tpackage-%d\t1\n", i);
	assert_int_equal(dpkg_status_parse(text, NULL, 0, &broken), 0);
	assert_int_equal(broken.count, 100);
	assert_string_equal(broken.names[DPKG_BROKEN_MAXIMUM - 1], "package-31");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(states_are_told_apart),
		cmocka_unit_test(old_answers_are_forgotten),
		cmocka_unit_test(sizes_are_of_what_is_unpacked),
		cmocka_unit_test(many_broken_ones_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
