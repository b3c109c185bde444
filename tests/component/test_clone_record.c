/*
 * The record of a clone: with several roots one that a Phoenix of before does not misread, and what
 * is wrong with one is found before it is gone by.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "tests/component/roots_fixture.h"

static char *read_record(const struct host_fixture *fixture)
{
	PH_AUTO_FREE char *path = host_fixture_path(fixture, "state/containers/web1/clone.json");
	PH_AUTO_FILE FILE *file = fopen(path, "re");
	char *text = ph_alloc(4096);

	assert_non_null(file);
	assert_true(fread(text, 1, 4095, file) > 0);
	return text;
}

/*
 * What a Phoenix of before reads: "image" and "method" of the record itself, without which it does
 * nothing. It has them as long as there is only the root that it knows of, and not otherwise.
 */
static void record_of_several_is_none_of_before(void **state)
{
	struct host_fixture *fixture = *state;
	PH_AUTO_FREE char *one = NULL, *several = NULL, *again = NULL;

	NEEDS_ROOT(state);
	clone_fixture_image(fixture, "web", clone_fixture_entries);
	roots_fixture_begin(fixture);
	roots_fixture_create(fixture, CLONE_AUTO);
	one = read_record(fixture);
	assert_non_null(strstr(one, "\n \"image\": \"web\""));
	assert_non_null(strstr(one, "\n \"version\": 1"));
	roots_fixture_rebuild(fixture, "next", CLONE_AUTO, true, CLONE_CHANGED);
	several = read_record(fixture);
	assert_null(strstr(several, "\n \"image\""));
	assert_null(strstr(several, "\n \"method\""));
	assert_null(strstr(several, "\n \"complete\""));
	assert_non_null(strstr(several, "\n \"version\": 2"));
	assert_int_equal(clone_discard(&fixture->config, "web1", NULL, NULL), CLONE_CHANGED);
	again = read_record(fixture);
	assert_string_equal(one, again);
	roots_fixture_destroy(fixture, 0);
}

#define ROOT(number, image)                                                                        \
	"{\"number\": " number ", \"image\": \"" image "\", \"digest\": \"0\", \"method\": \"copy\", "    \
	"\"reason\": \"\", \"created_ms\": 1, \"complete\": true}"
#define RECORD(version, roots)                                                                     \
	"{\"version\": " version ", \"id_base\": 300000, \"id_count\": 65536, \"roots\": {" roots "}}"

static void write_text(const char *path, const char *text)
{
	PH_AUTO_FILE FILE *file = fopen(path, "we");

	assert_true(fputs(text, file) >= 0);
}

static void damaged_records(void **state)
{
	static const struct {
		const char *name, *text;
		const char *why; /* NULL: it is good */
	} cases[] = {
		{ "good", RECORD("2", "\"current\": " ROOT("1", "web") ", \"kept\": " ROOT("0", "web")),
		  NULL },
		{ "later", RECORD("3", "\"current\": " ROOT("1", "web")), "newer Phoenix" },
		{ "no current", RECORD("2", "\"kept\": " ROOT("1", "web")), "damaged" },
		{ "no image", RECORD("2", "\"current\": " ROOT("1", "")), "damaged" },
		{ "number", RECORD("2", "\"current\": " ROOT("4", "web")), "damaged" },
		{ "negative", RECORD("2", "\"current\": " ROOT("-1", "web")), "damaged" },
		{ "text", RECORD("2", "\"current\": " ROOT("\"../..\"", "web")), "damaged" },
		{ "one root twice",
		  RECORD("2", "\"current\": " ROOT("1", "web") ", \"kept\": " ROOT("1", "web")), "damaged" },
		{ "two to come", RECORD("2", "\"current\": " ROOT("1", "web") ", \"kept\": " ROOT("0", "web")
					", \"prepared\": " ROOT("0", "web")), "damaged" },
		{ "no root", RECORD("2", "\"current\": 7"), "damaged" },
		{ "no roots", "{\"version\": 2, \"id_base\": 300000, \"id_count\": 65536}", "damaged" },
		{ "a list", "{\"version\": 2, \"id_base\": 300000, \"id_count\": 65536, \"roots\": []}",
		  "damaged" },
	};
	struct host_fixture *fixture = *state;
	PH_AUTO_FREE char *path = NULL;

	NEEDS_ROOT(state);
	path = host_fixture_path(fixture, "state/containers/web1/clone.json");
	clone_fixture_foreign_file(fixture);
	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		struct ph_error error = { 0 };
		struct clone clone;
		int result;

		write_text(path, cases[i].text);
		result = clone_find(&fixture->config, "web1", &clone, &error);
		if (result != (cases[i].why ? -EBADMSG : 0) ||
		    (cases[i].why && !strstr(error.why, cases[i].why)))
			fail_msg("%s: %d, %s", cases[i].name, result, error.why);
		if (cases[i].why)
			assert_int_equal(clone_discard(&fixture->config, "web1", NULL, NULL),
					 -EBADMSG);
	}
	assert_int_equal(clone_destroy(&fixture->config, "web1", NULL), CLONE_CHANGED);
}

#define TEST(function)                                                                             \
	cmocka_unit_test_setup_teardown(function, host_fixture_setup, host_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(record_of_several_is_none_of_before),
		TEST(damaged_records),
	};

	if (!host_fixture_enter())
		print_message("# SKIP: clones need root\n");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
