/* os-release as distributions write it, and as nobody should. */
#include "agent/system/os_release.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/support/cmocka.h"

static const struct {
	const char *name;
	const char *text;
	int result;
	const char *id, *version_id, *codename, *pretty_name;
	const char *where;
} cases[] = {
	{ "Debian 12",
	  "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\n"
	  "VERSION_CODENAME=bookworm\nID=debian\nHOME_URL=\"https://www.debian.org/\"\n",
	  0, "debian", "12", "bookworm", "Debian GNU/Linux 12 (bookworm)" },
	{ "testing has no VERSION_ID",
	  "PRETTY_NAME=\"Debian GNU/Linux forky/sid\"\nVERSION_CODENAME=forky\nID=debian\n", 0,
	  "debian", "", "forky", "Debian GNU/Linux forky/sid" },
	{ "single quotes, comments, blank lines, no newline at the end",
	  "# a comment\n\n  # another\nID='ubuntu'\nVERSION_ID='24.04'", 0, "ubuntu", "24.04", "",
	  "" },
	{ "escapes", "ID=x\nPRETTY_NAME=\"a \\\"b\\\" \\$c\"\n", 0, "x", "", "", "a \"b\" $c" },
	{ "a longer key is another key", "ID_LIKE=debian\nVARIANT_ID=z\nID=x\n", 0, "x", "", "",
	  "" },
	{ "an equals sign within", "ID=x\nPRETTY_NAME=a=b\n", 0, "x", "", "", "a=b" },
	{ "an unclosed quote ends with its line", "PRETTY_NAME=\"open\nID=x\n", 0, "x", "", "",
	  "open" },
	{ "long values are cut", "ID=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", 0,
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "", "", "" },
	{ "no ID", "NAME=x\n", -EINVAL, .where = "/r" },
	{ "an empty ID", "ID=\n", -EINVAL, .where = "/r" },
	{ "empty", "", -EINVAL, .where = "/r" },
	{ "not an assignment", "ID=x\nhello\n", -EINVAL, .where = "/r:2" },
	{ "no name", "ID=x\n\n=y\n", -EINVAL, .where = "/r:3" },
};

static void files_are_read(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		struct os_release release = { 0 };
		struct ph_error error = { 0 };
		int result = os_release_parse("/r", cases[i].text, &release, &error);

		if (result != cases[i].result)
			fail_msg("%s: %d %s", cases[i].name, result, error.why);
		if (result < 0) {
			assert_string_equal(error.where, cases[i].where);
			continue;
		}
		if (strcmp(release.id, cases[i].id) != 0 ||
		    strcmp(release.version_id, cases[i].version_id) != 0 ||
		    strcmp(release.codename, cases[i].codename) != 0 ||
		    strcmp(release.pretty_name, cases[i].pretty_name) != 0)
			fail_msg("%s: %s|%s|%s|%s", cases[i].name, release.id, release.version_id,
				 release.codename, release.pretty_name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(files_are_read) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
