/* The doctor's scanner: what it finds in a text, at which line, and what it makes of it. */
#include "controller/doctor/scan.h"

#include <errno.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/support/cmocka.h"

#define DECLARED " HOMEDIRS  HOME "
#define NOTHING (-1)

static const struct {
	const char *name, *text;
	enum doctor_file file;
	int kind;
	size_t line;
	const char *repaired; /* NULL: it cannot be */
} cases[] = {
	{ "healthy", "# x\n@{HOMEDIRS}=/home/\n@{HOME}=@{HOMEDIRS}*/ /root/\n", DOCTOR_TUNABLES,
	  NOTHING, 0, NULL },
	{ "includes", "include if exists <a>\n#include <b>\nalias /a -> /b,\n", DOCTOR_TUNABLES,
	  NOTHING, 0, NULL },
	{ "spaces that may be", "  @{HOME} = /root/\t/home/", DOCTOR_TUNABLES, NOTHING, 0, NULL },
	{ "boolean", "$yes = true\n", DOCTOR_TUNABLES, NOTHING, 0, NULL },
	{ "continued", "@{HOME}=/a \\\n  /b\n", DOCTOR_TUNABLES, NOTHING, 0, NULL },
	{ "at lost", "#\n{HOMEDIRS}=/home/\n", DOCTOR_TUNABLES, DOCTOR_MISSING_AT, 2,
	  "#\n@{HOMEDIRS}=/home/\n" },
	{ "at and braces lost", "HOMEDIRS=/home/", DOCTOR_TUNABLES, DOCTOR_MISSING_AT, 1,
	  "@{HOMEDIRS}=/home/" },
	{ "at lost, added", "{HOMEDIRS} += /srv/\n", DOCTOR_TUNABLES, DOCTOR_MISSING_AT, 1,
	  "@{HOMEDIRS}+=/srv/\n" },
	{ "braces lost", "@HOMEDIRS=/home/\n", DOCTOR_TUNABLES, DOCTOR_BRACES, 1,
	  "@{HOMEDIRS}=/home/\n" },
	{ "no close", "@{HOMEDIRS=/home/\n", DOCTOR_TUNABLES, DOCTOR_BRACES, 1,
	  "@{HOMEDIRS}=/home/\n" },
	{ "no open", "@HOMEDIRS}=/home/\n", DOCTOR_TUNABLES, DOCTOR_BRACES, 1,
	  "@{HOMEDIRS}=/home/\n" },
	{ "double", "@{HOMEDIRS}==/home/\n", DOCTOR_TUNABLES, DOCTOR_DOUBLE_EQUALS, 1,
	  "@{HOMEDIRS}=/home/\n" },
	{ "no sign", "@{HOMEDIRS} /home/\n", DOCTOR_TUNABLES, DOCTOR_MISSING_EQUALS, 1,
	  "@{HOMEDIRS}=/home/\n" },
	{ "inner spaces", "@{ HOMEDIRS }=/home/\n", DOCTOR_TUNABLES, DOCTOR_SPACING, 1,
	  "@{HOMEDIRS}=/home/\n" },
	{ "torn", "@{HOMEDIRS} + = /home/\n", DOCTOR_TUNABLES, DOCTOR_SPACING, 1,
	  "@{HOMEDIRS}+=/home/\n" },
	{ "dollar", "$HOMEDIRS=/home/\n", DOCTOR_TUNABLES, DOCTOR_BOOLEAN, 1,
	  "@{HOMEDIRS}=/home/\n" },
	{ "no value", "@{HOMEDIRS}=\n", DOCTOR_TUNABLES, DOCTOR_NO_VALUE, 1, NULL },
	{ "stray", "/home/ = x\n", DOCTOR_TUNABLES, DOCTOR_STRAY, 1, "# /home/ = x\n" },
	{ "stray sign", "=/home/\n", DOCTOR_TUNABLES, DOCTOR_STRAY, 1, "# =/home/\n" },
	{ "added to nothing", "@{NEW}+=/x\n", DOCTOR_TUNABLES, DOCTOR_UNDECLARED_ADD, 1,
	  "@{NEW}=/x\n" },
	{ "undeclared", "@{HOME}=@{NOPE}/x\n", DOCTOR_TUNABLES, DOCTOR_UNDECLARED_USE, 1, NULL },
	{ "crlf", "@{HOME}=/x\r\n", DOCTOR_TUNABLES, DOCTOR_CRLF, 1, "@{HOME}=/x\n" },
	{ "binary",
	  "\x7f"
	  "ELF\x01\n",
	  DOCTOR_TUNABLES, DOCTOR_BINARY, 1, NULL },
	{ "profile", "profile a {\n  /{a,b}/** rw, # }\n  signal,\n}\n", DOCTOR_PROFILES, NOTHING,
	  0, NULL },
	{ "unclosed", "profile a {\n  signal,\n", DOCTOR_PROFILES, DOCTOR_UNCLOSED, 2,
	  "profile a {\n  signal,\n}\n" },
	{ "unclosed, no line end", "profile a {\n  signal,", DOCTOR_PROFILES, DOCTOR_UNCLOSED, 2,
	  "profile a {\n  signal,\n}\n" },
	{ "unclosed before another", "profile a {\nprofile b {\n}\n", DOCTOR_PROFILES,
	  DOCTOR_UNCLOSED, 2, "profile a {\n}\n\nprofile b {\n}\n" },
	{ "closed twice", "profile a {\n}\n}\n", DOCTOR_PROFILES, DOCTOR_EXTRA_CLOSE, 3,
	  "profile a {\n}\n# }\n" },
	{ "not opened", "profile a\n  signal,\n}\n", DOCTOR_PROFILES, DOCTOR_MISSING_OPEN, 1,
	  "profile a {\n  signal,\n}\n" },
};

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		PH_CLEANUP(doctor_scan_fini) struct doctor_scan scan = { 0 };
		PH_AUTO_STR struct str text = STR_INIT;

		assert_int_equal(doctor_scan_text(cases[i].text, strlen(cases[i].text),
						  cases[i].file, DECLARED, &scan),
				 0);
		print_message("# %s\n", cases[i].name);
		assert_int_equal(scan.count, cases[i].kind == NOTHING ? 0 : 1);
		if (cases[i].kind == NOTHING)
			continue;
		assert_int_equal(scan.findings[0].kind, cases[i].kind);
		assert_int_equal(scan.findings[0].line, cases[i].line);
		doctor_apply(cases[i].text, strlen(cases[i].text), &scan, &text);
		assert_string_equal(str_text(&text),
				    cases[i].repaired ? cases[i].repaired : cases[i].text);
	}
}

static void test_bounds(void **state)
{
	struct doctor_scan scan = { 0 };

	(void)state;
	assert_int_equal(doctor_scan_text("", DOCTOR_TEXT_MAXIMUM + 1, DOCTOR_TUNABLES, NULL,
					  &scan),
			 -EFBIG);
	assert_int_equal(doctor_scan_text("", 0, DOCTOR_PROFILES, NULL, &scan), 0);
	assert_int_equal(scan.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
