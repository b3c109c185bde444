#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "controller/cli/table.h"
#include "tests/support/capture.h"

static void hostile_bytes_are_replaced(void **state)
{
	static const struct {
		const char *name, *text, *expected;
	} cases[] = {
		{ "nothing", NULL, "" },
		{ "plain", "web1 ok", "web1 ok" },
		{ "accents stay", "caf\xc3\xa9", "caf\xc3\xa9" },
		{ "pictures stay", "\xf0\x9f\x94\xa5", "\xf0\x9f\x94\xa5" },
		{ "escape sequence", "a\033[31mb", "a?[31mb" },
		{ "window title", "\033]0;x\007", "?]0;x?" },
		{ "line break", "a\nb\r\tc", "a?b??c" },
		{ "delete", "a\177", "a?" },
		{ "C1 as a byte",
		  "a\x9b"
		  "31m",
		  "a?31m" },
		{ "C1 as UTF-8",
		  "a\xc2\x9b"
		  "31m",
		  "a?31m" },
		{ "next line", "\xc2\x85", "?" },
		{ "right-to-left override",
		  "\xe2\x80\xae"
		  "txt",
		  "?txt" },
		{ "isolate", "\xe2\x81\xa6x\xe2\x81\xa9", "?x?" },
		{ "Arabic letter mark", "\xd8\x9c", "?" },
		{ "zero width space",
		  "we\xe2\x80\x8b"
		  "b1",
		  "we?b1" },
		{ "byte order mark", "\xef\xbb\xbfx", "?x" },
		{ "tag", "\xf3\xa0\x81\xa1", "?" },
		{ "line separator", "\xe2\x80\xa8", "?" },
		{ "overlong slash", "\xc0\xaf", "??" },
		{ "overlong escape", "\xe0\x80\x9b", "???" },
		{ "surrogate", "\xed\xa0\x80", "???" },
		{ "beyond Unicode", "\xf4\x90\x80\x80", "????" },
		{ "cut at the end", "a\xe2\x82", "a??" },
		{ "lead without tail", "\xc3(", "?(" },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		PH_AUTO_FREE char *clean = text_clean(cases[i].text);

		if (strcmp(clean, cases[i].expected) != 0)
			fail_msg("%s: '%s'", cases[i].name, clean);
	}
}

static void width_counts_columns(void **state)
{
	static const struct {
		const char *text;
		size_t width;
	} cases[] = {
		{ "", 0 },
		{ "abc", 3 },
		{ "caf\xc3\xa9", 4 },
		{ "cafe\xcc\x81", 4 },             /* combining accent */
		{ "\xe6\xbc\xa2\xe5\xad\x97", 4 }, /* two wide characters */
		{ "\xf0\x9f\x94\xa5", 2 },
		{ "\xe2\x80\xa6", 1 }, /* an ellipsis */
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
		assert_int_equal(text_width(cases[i].text), cases[i].width);
}

static void cutting_keeps_characters_whole(void **state)
{
	static const struct {
		const char *text;
		size_t columns;
		const char *expected;
	} cases[] = {
		{ "abc", 3, "abc" },
		{ "abc", 2, "ab" },
		{ "abc", 0, "" },
		{ "\xc3\xa9\xc3\xa9", 1, "\xc3\xa9" },
		{ "\xe6\xbc\xa2\xe5\xad\x97", 3, "\xe6\xbc\xa2" },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		char text[32];

		strcpy(text, cases[i].text);
		text_cut(text, cases[i].columns);
		assert_string_equal(text, cases[i].expected);
	}
}

static char *print_table(const char *const (*rows)[3], size_t count)
{
	static const char *const head[] = { "NAME", "STATE", "WHY" };
	struct capture capture;
	struct table table;

	table_init(&table, 3, head);
	for (size_t i = 0; i < count; i++)
		table_add(&table, rows[i]);
	capture_begin(&capture);
	table_print(&table);
	table_fini(&table);
	return capture_end(&capture);
}

static void columns_are_aligned(void **state)
{
	static const char *const rows[][3] = {
		{ "web1", "ok", "-" },
		{ "\xe6\xbc\xa2", "longer than its head", "x" },
		{ "e\033[2Jvil\n", NULL, "last" },
	};
	PH_AUTO_FREE char *text = print_table(rows, ARRAY_LENGTH(rows));

	assert_string_equal(text, "NAME       STATE                 WHY\n"
				  "web1       ok                    -\n"
				  "\xe6\xbc\xa2         longer than its head  x\n"
				  "e?[2Jvil?                        last\n");
}

static void without_rows_the_head_stays(void **state)
{
	PH_AUTO_FREE char *text = print_table(NULL, 0);

	assert_string_equal(text, "NAME  STATE  WHY\n");
}

static void colours_are_for_terminals(void **state)
{
	struct capture capture;

	capture_begin(&capture);
	print_colored("31", "a\033b");
	print_padded("\xc3\xa9", 3);
	print_clean("|");
	print_padded("longer", 3);
	PH_AUTO_FREE char *text = capture_end(&capture);

	assert_string_equal(text, "a?b\xc3\xa9  |longer");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hostile_bytes_are_replaced),
		cmocka_unit_test(width_counts_columns),
		cmocka_unit_test(cutting_keeps_characters_whole),
		cmocka_unit_test(columns_are_aligned),
		cmocka_unit_test(without_rows_the_head_stays),
		cmocka_unit_test(colours_are_for_terminals),
	};

	return cmocka_run_group_tests_name("cli_table", tests, NULL, NULL);
}
