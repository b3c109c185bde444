/* Errors: always terminated, printable, cut behind a whole character, prefixed from outside in. */
#include "common/error.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/support/cmocka.h"

struct text_case {
	const char *name;
	const char *text;
	const char *expected;
};

static const struct text_case text_cases[] = {
	{ "plain", "no space left", "no space left" },
	{ "empty", "", "" },
	{ "characters of every length", "aé€😀", "aé€😀" },
	{ "line break", "one\ntwo", "one two" },
	{ "carriage return and tab", "one\r\ttwo", "one??two" },
	{ "escape sequence", "\x1b[31mred", "?[31mred" },
	{ "delete", "a\x7f", "a?" },
	{ "eight-bit control", "a\302\23331m", "a?31m" },
	{ "no-break space is no control", "a\302\240b", "a\302\240b" },
	{ "lone continuation", "a\x80z", "a?z" },
	{ "cut character at the end", "a\xe2\x82", "a??" },
	{ "overlong slash", "\xc0\xaf", "??" },
	{ "surrogate", "\xed\xa0\x80", "???" },
	{ "beyond Unicode", "\xf4\x90\x80\x80", "????" },
	{ "latin-1", "caf\xe9", "caf?" },
};

static void texts_become_printable(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(text_cases); i++) {
		const struct text_case *text = &text_cases[i];
		struct ph_error error = { 0 };

		assert_int_equal(error_set(&error, -EIO, text->text, text->text, "%s", text->text),
				 -EIO);
		error_prefix(&error, "%s", text->text);
		error_step(&error, text->text);
		if (strcmp(error.why, text->expected) || strcmp(error.where, text->expected) ||
		    strcmp(error.remedy, text->expected) || strcmp(error.what, text->expected) ||
		    strcmp(error.step, text->expected))
			fail_msg("%s: \"%s\"", text->name, error.why);
	}
}

/* The step holds 47 bytes: fill it with a text of count times the character. */
static const char *cut_step(struct ph_error *error, const char *character, size_t count)
{
	char text[400] = "";

	for (size_t i = 0; i < count; i++)
		strcat(text, character);
	error_clear(error);
	error_step(error, text);
	return error->step;
}

static void long_texts_are_cut_behind_a_character(void **state)
{
	struct ph_error error;

	assert_int_equal(strlen(cut_step(&error, "x", 47)), 47);
	assert_null(strstr(error.step, "…"));
	assert_int_equal(strlen(cut_step(&error, "x", 48)), 44 + 3);
	assert_string_equal(error.step + 44, "…");
	assert_int_equal(strlen(cut_step(&error, "é", 23)), 46);
	assert_null(strstr(error.step, "…"));
	assert_int_equal(strlen(cut_step(&error, "é", 24)), 44 + 3);
	assert_string_equal(error.step + 44, "…");
	assert_int_equal(strlen(cut_step(&error, "€", 16)), 42 + 3);
	assert_string_equal(error.step + 42, "…");
	assert_int_equal(strlen(cut_step(&error, "😀", 90)), 44 + 3);
	assert_string_equal(error.step + 40, "😀…");
}

static void every_field_is_cut_within_its_bounds(void **state)
{
	struct ph_error error;
	char text[3000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	error_set(&error, -EIO, text, text, "%s", text);
	error_prefix(&error, "%s", text);
	error_prefix(&error, "%s", text);
	assert_int_equal(strlen(error.what), sizeof(error.what) - 1);
	assert_int_equal(strlen(error.where), sizeof(error.where) - 1);
	assert_int_equal(strlen(error.why), sizeof(error.why) - 1);
	assert_int_equal(strlen(error.remedy), sizeof(error.remedy) - 1);
	assert_string_equal(error.what + sizeof(error.what) - 4, "…");
}

static void prefixes_stack_from_outside(void **state)
{
	struct ph_error error = { 0 };

	error_set(&error, -EACCES, "/srv", NULL, "denied");
	assert_int_equal(error_prefix(&error, "mount %s", "data-root"), -EACCES);
	assert_int_equal(error_prefix(&error, "start %s", "web1"), -EACCES);
	assert_string_equal(error.what, "start web1: mount data-root");
	assert_string_equal(error.why, "denied");
	assert_string_equal(error.remedy, "");
}

static void the_innermost_step_stays(void **state)
{
	struct ph_error error = { 0 };

	error_step(&error, "inner");
	error_step(&error, "outer");
	assert_string_equal(error.step, "inner");
}

static void errno_is_explained(void **state)
{
	struct ph_error error = { 0 };

	assert_int_equal(error_errno(&error, -ENOENT, "/x", "Create it.", "open"), -ENOENT);
	assert_string_equal(error.why, "open: No such file or directory");
	assert_string_equal(error.remedy, "Create it.");
}

static void a_new_error_replaces_all_of_the_old(void **state)
{
	struct ph_error error = { 0 };

	error_set(&error, -EIO, "here", "do", "first");
	error_prefix(&error, "what");
	error_step(&error, "step");
	error_set(&error, -EPERM, NULL, NULL, "second");
	assert_int_equal(error.code, -EPERM);
	assert_string_equal(error.what, "");
	assert_string_equal(error.where, "");
	assert_string_equal(error.remedy, "");
	assert_string_equal(error.step, "");
	assert_true(error_is_set(&error));
	error_clear(&error);
	assert_false(error_is_set(&error));
}

static void an_error_may_be_built_from_its_own_texts(void **state)
{
	struct ph_error error = { 0 };

	error_set(&error, -EIO, "here", "do", "first");
	error_set(&error, -EPERM, error.where, error.remedy, "then %s", error.why);
	assert_string_equal(error.where, "here");
	assert_string_equal(error.remedy, "do");
	assert_string_equal(error.why, "then first");
}

static void nobody_has_to_ask_for_an_error(void **state)
{
	assert_int_equal(error_set(NULL, -EIO, "here", "do", "why"), -EIO);
	assert_int_equal(error_errno(NULL, -EIO, NULL, NULL, "open"), -EIO);
	assert_int_equal(error_prefix(NULL, "what"), 0);
	error_step(NULL, "step");
	error_clear(NULL);
}

static const struct {
	const char *what, *where, *why, *expected;
} format_cases[] = {
	{ "", NULL, "denied", "denied" },
	{ "", "/srv", "denied", "denied (/srv)" },
	{ "mount", NULL, "denied", "mount: denied" },
	{ "mount", "/srv", "denied", "mount: denied (/srv)" },
};

static void formatted_as_a_sentence(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(format_cases); i++) {
		struct ph_error error = { 0 };
		char text[100], cut[8];

		error_set(&error, -EIO, format_cases[i].where, NULL, "%s", format_cases[i].why);
		if (format_cases[i].what[0])
			error_prefix(&error, "%s", format_cases[i].what);
		assert_string_equal(error_format(&error, text, sizeof(text)),
				    format_cases[i].expected);
		assert_true(strlen(error_format(&error, cut, sizeof(cut))) < sizeof(cut));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_become_printable),
		cmocka_unit_test(long_texts_are_cut_behind_a_character),
		cmocka_unit_test(every_field_is_cut_within_its_bounds),
		cmocka_unit_test(prefixes_stack_from_outside),
		cmocka_unit_test(the_innermost_step_stays),
		cmocka_unit_test(errno_is_explained),
		cmocka_unit_test(a_new_error_replaces_all_of_the_old),
		cmocka_unit_test(an_error_may_be_built_from_its_own_texts),
		cmocka_unit_test(nobody_has_to_ask_for_an_error),
		cmocka_unit_test(formatted_as_a_sentence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
