/*
 * Which seccomp policy a container gets: by the systemd in its tree; and that the two policies differ in the four
 * calls that it is about and in nothing else.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/lxc/systemd_version.h"
#include "controller/host/tree/tree.h"
#include "tests/support/cmocka.h"
#include "tests/support/scratch.h"

#define DEBIAN "usr/lib/x86_64-linux-gnu/systemd"
#define STRICT PH_SOURCE_DIR "/profiles/seccomp"
#define LOOSER PH_SOURCE_DIR "/profiles/seccomp-mount-api"

/* Make the directories of a path below the scratch directory. */
static void make_dirs(struct scratch *scratch, const char *path)
{
	PH_AUTO_FREE char *copy = ph_strdup(path);

	for (char *slash = strchr(copy, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(scratch_file(scratch, copy), 0755);
		*slash = '/';
	}
	mkdir(scratch_file(scratch, path), 0755);
}

static void test_versions(void **state)
{
	static const struct {
		const char *directory, *file;
		unsigned int version;
		bool needs_mount_api;
	} cases[] = {
		{ DEBIAN, "libsystemd-core-252.so", 252, false },
		{ DEBIAN, "libsystemd-core-258.so", 258, false },
		{ DEBIAN, "libsystemd-core-259.so", 259, true },
		{ DEBIAN, "libsystemd-core-262.so", 262, true },
		{ "usr/lib/systemd", "libsystemd-core-262.1-2.fc44.so", 262, true },
		{ "usr/lib64/systemd", "libsystemd-core-260.so", 260, true },
		{ DEBIAN, "libsystemd-shared-262.so", 0, false },
		{ DEBIAN, "libsystemd-core-.so", 0, false },
		{ DEBIAN, "libsystemd-core-262", 0, false },
		{ DEBIAN, "libsystemd-core-99999999999999999999.so", 0, false },
		{ "usr/lib/elsewhere", "libsystemd-core-262.so", 0, false },
		{ "usr", "nothing", 0, false },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		PH_AUTO_FREE char *path = ph_format("%s/%s", cases[i].directory, cases[i].file);
		struct scratch scratch;
		int root;

		scratch_init(&scratch);
		make_dirs(&scratch, cases[i].directory);
		scratch_write(&scratch, path, "", 0);
		assert_int_equal(tree_open_root(scratch.path, &root, NULL), 0);
		if (systemd_version(root) != cases[i].version)
			fail_msg("%s: %u", path, systemd_version(root));
		assert_int_equal(systemd_needs_mount_api(cases[i].version),
				 cases[i].needs_mount_api);
		close(root);
		scratch_fini(&scratch);
	}
}

/* A directory that is a symlink of the container's making leads nowhere. */
static void test_no_symlink_is_followed(void **state)
{
	struct scratch scratch;
	char target[512];
	int root;

	scratch_init(&scratch);
	make_dirs(&scratch, "outside");
	scratch_write(&scratch, "outside/libsystemd-core-262.so", "", 0);
	make_dirs(&scratch, "root/usr/lib");
	snprintf(target, sizeof(target), "%s/outside", scratch.path);
	assert_int_equal(symlink(target, scratch_file(&scratch, "root/usr/lib/systemd")), 0);
	assert_int_equal(tree_open_root(scratch_file(&scratch, "root"), &root, NULL), 0);
	assert_int_equal(systemd_version(root), 0);
	close(root);
	scratch_fini(&scratch);
}

/* The rules of a policy, one per line, without comments. */
static void read_rules(const char *path, struct str *rules)
{
	FILE *file = fopen(path, "re");
	char line[256];

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (line[0] != '#')
			str_append(rules, line);
	}
	fclose(file);
}

static void test_policies_differ_in_four_calls(void **state)
{
	static const char *const through[] = {
		"fsopen errno 38\n",
		"fsconfig errno 38\n",
		"fsmount errno 38\n",
		"move_mount errno 38\n",
	};
	PH_AUTO_STR struct str strict = STR_INIT;
	PH_AUTO_STR struct str looser = STR_INIT;
	PH_AUTO_STR struct str expected = STR_INIT;

	read_rules(STRICT, &strict);
	read_rules(LOOSER, &looser);
	for (const char *line = str_text(&strict); *line;) {
		size_t length = strcspn(line, "\n") + 1;
		bool is_through = false;

		for (size_t i = 0; i < ARRAY_LENGTH(through); i++)
			is_through |= !strncmp(line, through[i], length);
		if (!is_through)
			str_append_bytes(&expected, line, length);
		line += length;
	}
	assert_string_equal(str_text(&looser), str_text(&expected));
	for (size_t i = 0; i < ARRAY_LENGTH(through); i++)
		assert_non_null(strstr(str_text(&strict), through[i]));
}

/* With AF_VSOCK and without: one rule apart; make them anew from the others when those change. */
static void test_policies_differ_in_vsock(void **state)
{
	static const char *const policies[] = { STRICT, LOOSER };
	static const char rule[] = "socket errno 97 [0,40,SCMP_CMP_EQ]\n";

	for (size_t i = 0; i < ARRAY_LENGTH(policies); i++) {
		PH_AUTO_FREE char *path = ph_format("%s-vsock", policies[i]);
		PH_AUTO_STR struct str without = STR_INIT;
		PH_AUTO_STR struct str with = STR_INIT;
		PH_AUTO_STR struct str expected = STR_INIT;
		const char *at;

		read_rules(policies[i], &without);
		read_rules(path, &with);
		at = strstr(str_text(&without), rule);
		assert_non_null(at);
		str_append_bytes(&expected, str_text(&without), (size_t)(at - str_text(&without)));
		str_append(&expected, at + strlen(rule));
		assert_string_equal(str_text(&with), str_text(&expected));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_no_symlink_is_followed),
		cmocka_unit_test(test_policies_differ_in_four_calls),
		cmocka_unit_test(test_policies_differ_in_vsock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
