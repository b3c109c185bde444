/* Strings and names: each check as a table of what is taken and what is refused. */
#include "common/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/support/cmocka.h"

#define X62 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X255 X62 X62 X62 X62 "xxxxxxx"

struct check_case {
	const char *text;
	bool is_valid;
};

static const struct check_case name_cases[] = {
	{ "a", true },     { "web1", true },    { "0", true },      { "a-b-", true },
	{ X62 "x", true }, { X62 "xx", false }, { "", false },      { NULL, false },
	{ "-a", false },   { "A", false },      { "web_1", false }, { "a.b", false },
	{ "a/b", false },  { "a b", false },    { "a\n", false },   { "é", false },
	{ "..", false },   { "a\x01", false },
};

static const struct check_case file_name_cases[] = {
	{ "a", true },   { ".hidden", true }, { "...", true },  { "a b.tar", true },
	{ X255, true },  { X255 "x", false }, { "", false },    { NULL, false },
	{ ".", false },  { "..", false },     { "a/b", false }, { "/", false },
	{ "a/", false },
};

static void names_are_checked(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(name_cases); i++)
		if (name_is_valid(name_cases[i].text) != name_cases[i].is_valid)
			fail_msg("name \"%s\"", name_cases[i].text);
	for (size_t i = 0; i < ARRAY_LENGTH(file_name_cases); i++)
		if (file_name_is_valid(file_name_cases[i].text) != file_name_cases[i].is_valid)
			fail_msg("file name \"%s\"", file_name_cases[i].text);
}

static const struct {
	const char *text;
	uint64_t maximum;
	int result;
	uint64_t value;
} number_cases[] = {
	{ "0", 10, 0, 0 },
	{ "10", 10, 0, 10 },
	{ "11", 10, -EINVAL, 0 },
	{ "007", 10, 0, 7 },
	{ "18446744073709551615", UINT64_MAX, 0, UINT64_MAX },
	{ "18446744073709551616", UINT64_MAX, -EINVAL, 0 },
	{ "99999999999999999999", UINT64_MAX, -EINVAL, 0 },
	{ "", 10, -EINVAL, 0 },
	{ NULL, 10, -EINVAL, 0 },
	{ "-1", 10, -EINVAL, 0 },
	{ "+1", 10, -EINVAL, 0 },
	{ " 1", 10, -EINVAL, 0 },
	{ "1 ", 10, -EINVAL, 0 },
	{ "0x1", 10, -EINVAL, 0 },
	{ "1e1", 10, -EINVAL, 0 },
	{ "1e1", UINT64_MAX, -EINVAL, 0 },
	{ "1 ", UINT64_MAX, -EINVAL, 0 },
	{ "/", UINT64_MAX, -EINVAL, 0 },
	{ ":", UINT64_MAX, -EINVAL, 0 },
};

static void numbers_are_whole_and_bounded(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(number_cases); i++) {
		uint64_t value = 4711;
		int result = text_to_u64(number_cases[i].text, number_cases[i].maximum, &value);

		if (result != number_cases[i].result)
			fail_msg("\"%s\": %d", number_cases[i].text, result);
		assert_true(value == (result ? 4711 : number_cases[i].value));
	}
}

static const struct {
	const char *text;
	int result;
	uint32_t address;
} address_cases[] = {
	{ "0.0.0.0", 0, 0 },
	{ "10.209.0.20", 0, 0x0ad10014 },
	{ "255.255.255.255", 0, UINT32_MAX },
	{ "10.209.0", -EINVAL, 0 },
	{ "10.209.0.256", -EINVAL, 0 },
	{ "10.209.0.20 ", -EINVAL, 0 },
	{ "10.209.0.020", -EINVAL, 0 },
	{ "::1", -EINVAL, 0 },
	{ "", -EINVAL, 0 },
	{ NULL, -EINVAL, 0 },
};

static void addresses_read_and_write(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(address_cases); i++) {
		uint32_t address = 4711;
		int result = text_to_ipv4(address_cases[i].text, &address);
		char text[16];

		if (result != address_cases[i].result)
			fail_msg("\"%s\": %d", address_cases[i].text, result);
		assert_int_equal(address, result ? 4711 : address_cases[i].address);
		if (result == 0)
			assert_string_equal(ipv4_to_text(address, text), address_cases[i].text);
	}
}

static const struct {
	const char *text;
	size_t length;
} character_cases[] = {
	{ "", 0 },
	{ "a", 1 },
	{ "\x7f", 1 },
	{ "\x80", 0 },
	{ "\xc2\x80", 2 },
	{ "\xc1\xbf", 0 },
	{ "\xc3", 0 },
	{ "\xdf\xbf", 2 },
	{ "\xe0\x9f\xbf", 0 },
	{ "\xe0\xa0\x80", 3 },
	{ "\xed\x9f\xbf", 3 },
	{ "\xed\xa0\x80", 0 },
	{ "\xee\x80\x80", 3 },
	{ "\xe2\x82", 0 },
	{ "\xf0\x8f\xbf\xbf", 0 },
	{ "\xf0\x90\x80\x80", 4 },
	{ "\xf4\x8f\xbf\xbf", 4 },
	{ "\xf4\x90\x80\x80", 0 },
	{ "\xf0\x90\x80", 0 },
	{ "\xf5\x80\x80\x80", 0 },
	{ "\xff", 0 },
	{ "\xe2\x28\xa1", 0 },
	{ "\xe2\x82\x28", 0 },
};

static void characters_are_measured(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(character_cases); i++)
		if (text_character(character_cases[i].text) != character_cases[i].length)
			fail_msg("case %zu: %zu", i, text_character(character_cases[i].text));
}

static void texts_are_compared(void **state)
{
	static const struct {
		const char *left, *right;
		bool is_equal;
	} cases[] = {
		{ "a", "a", true },   { "a", "b", false },  { NULL, "", true },
		{ "", NULL, true },   { NULL, NULL, true }, { NULL, "a", false },
		{ "a", "ab", false },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
		assert_int_equal(text_equal(cases[i].left, cases[i].right), cases[i].is_equal);
	assert_true(text_has_prefix("storage.driver", "storage."));
	assert_true(text_has_prefix("a", ""));
	assert_false(text_has_prefix("sto", "storage"));
	assert_true(text_has_suffix("image.tar", ".tar"));
	assert_true(text_has_suffix("a", ""));
	assert_true(text_has_suffix(".tar", ".tar"));
	assert_false(text_has_suffix("tar", ".tar"));
	assert_true(text_empty(NULL) && text_empty("") && !text_empty(" "));
}

static void copies_are_cut_and_say_so(void **state)
{
	char buffer[4];

	assert_true(text_copy(buffer, sizeof(buffer), "abc"));
	assert_string_equal(buffer, "abc");
	assert_false(text_copy(buffer, sizeof(buffer), "abcd"));
	assert_string_equal(buffer, "abc");
	assert_true(text_copy(buffer, sizeof(buffer), NULL));
	assert_string_equal(buffer, "");
}

static void strings_grow(void **state)
{
	PH_AUTO_STR struct str str = STR_INIT;
	char *taken;

	assert_string_equal(str_text(&str), "");
	str_append(&str, "");
	str_append(&str, "begin:");
	assert_string_equal(str_text(&str), "begin:");
	str_fini(&str);
	str_appendf(&str, "%s", "");
	assert_non_null(str.data);
	assert_string_equal(str_text(&str), "");
	for (int i = 0; i < 1000; i++)
		str_appendf(&str, "%d,", i);
	assert_int_equal(str.length, 10 * 2 + 90 * 3 + 900 * 4);
	assert_int_equal(strlen(str_text(&str)), str.length);
	assert_true(text_has_prefix(str_text(&str), "0,1,2,"));
	assert_true(text_has_suffix(str_text(&str), "998,999,"));
	taken = str_take(&str);
	assert_int_equal(strlen(taken), 3890);
	free(taken);
	assert_string_equal(str_text(&str), "");
	taken = str_take(&str);
	assert_string_equal(taken, "");
	free(taken);
}

static void strings_hold_any_byte(void **state)
{
	PH_AUTO_STR struct str str = STR_INIT;

	str_append_bytes(&str, "a\0b", 3);
	str_append_bytes(&str, NULL, 0);
	assert_int_equal(str.length, 3);
	assert_memory_equal(str.data, "a\0b", 4);
	str_fini(&str);
	str_fini(&str);
	assert_int_equal(str.capacity, 0);
}

static void bytes_become_hex(void **state)
{
	char text[9];

	assert_string_equal(bytes_to_hex("\x00\x9f\xff\x10", 4, text), "009fff10");
	assert_string_equal(bytes_to_hex("", 0, text), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_checked),
		cmocka_unit_test(numbers_are_whole_and_bounded),
		cmocka_unit_test(addresses_read_and_write),
		cmocka_unit_test(characters_are_measured),
		cmocka_unit_test(texts_are_compared),
		cmocka_unit_test(copies_are_cut_and_say_so),
		cmocka_unit_test(strings_grow),
		cmocka_unit_test(strings_hold_any_byte),
		cmocka_unit_test(bytes_become_hex),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
