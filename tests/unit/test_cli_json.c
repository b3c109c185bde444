#include "tests/support/cmocka.h"

#include <jansson.h>
#include <string.h>

#include "common/cleanup.h"
#include "controller/cli/json.h"
#include "proto/control.pb-c.h"

static char *dump(const void *message)
{
	json_t *object = json_from_message(message);
	char *text = json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_SORT_KEYS);

	json_decref(object);
	return text;
}

static void texts_become_valid_json(void **state)
{
	static const struct {
		const char *name, *text, *expected;
	} cases[] = {
		{ "empty", "", "\"\"" },
		{ "plain", "web1", "\"web1\"" },
		{ "quotes", "a\"b\\c", "\"a\\\"b\\\\c\"" },
		{ "controls", "\033[31m\n", "\"\\u001B[31m\\n\"" },
		{ "C1 as UTF-8",
		  "\xc2\x9b"
		  "31m",
		  "\"\\u009B31m\"" },
		{ "bidi override",
		  "a\xe2\x80\xae"
		  "b",
		  "\"a\\u202Eb\"" },
		{ "beyond the first plane", "\xf0\x9f\x94\xa5", "\"\\uD83D\\uDD25\"" },
		{ "no UTF-8", "a\xff\xc3z", "\"a\\\\xff\\\\xc3z\"" },
		{ "no UTF-8 beside UTF-8", "\xc3\xa9\xff", "\"\\u00E9\\\\xff\"" },
		{ "surrogate", "\xed\xa0\x80", "\"\\\\xed\\\\xa0\\\\x80\"" },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		Phoenix__Pair pair = PHOENIX__PAIR__INIT;
		PH_AUTO_FREE char *text = NULL;
		char expected[128];

		pair.value = (char *)cases[i].text;
		text = dump(&pair);
		snprintf(expected, sizeof(expected), "{\"key\":\"\",\"value\":%s}",
			 cases[i].expected);
		if (strcmp(text, expected) != 0)
			fail_msg("%s: %s instead of %s", cases[i].name, text, expected);
	}
}

static void numbers_stay_numbers(void **state)
{
	static const struct {
		uint64_t number;
		const char *expected;
	} cases[] = {
		{ 0, "0" },
		{ 4294967296, "4294967296" },
		{ INT64_MAX, "9223372036854775807" },
		{ UINT64_MAX, "1.8446744073709552e19" },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		Phoenix__Resources resources = PHOENIX__RESOURCES__INIT;
		PH_AUTO_FREE char *text = NULL;
		char expected[128];

		resources.memory_bytes = cases[i].number;
		resources.cpu_percent = UINT32_MAX;
		text = dump(&resources);
		snprintf(expected, sizeof(expected),
			 "{\"cpu_percent\":4294967295,\"memory_bytes\":%s,\"pids\":0}",
			 cases[i].expected);
		assert_string_equal(text, expected);
	}
}

static void negative_numbers_stay_negative(void **state)
{
	Phoenix__Failure failure = PHOENIX__FAILURE__INIT;
	json_t *object;

	failure.code = -28;
	object = json_from_message(&failure.base);
	assert_int_equal(json_integer_value(json_object_get(object, "code")), -28);
	json_decref(object);
}

static void enums_are_names_and_unknown_ones_numbers(void **state)
{
	Phoenix__Check check = PHOENIX__CHECK__INIT;
	json_t *object;

	check.status = PHOENIX__CHECK__STATUS__KNOWN_LIMIT;
	check.observed = true;
	object = json_from_message(&check.base);
	assert_string_equal(json_string_value(json_object_get(object, "status")), "KNOWN_LIMIT");
	assert_true(json_is_true(json_object_get(object, "observed")));
	json_decref(object);

	check.status = (Phoenix__Check__Status)77;
	object = json_from_message(&check.base);
	assert_int_equal(json_integer_value(json_object_get(object, "status")), 77);
	json_decref(object);
}

static void lists_and_messages_nest(void **state)
{
	Phoenix__ListReply reply = PHOENIX__LIST_REPLY__INIT;
	Phoenix__ContainerStatus status = PHOENIX__CONTAINER_STATUS__INIT;
	Phoenix__ContainerStatus *list[] = { &status };
	Phoenix__ContainerSpec spec = PHOENIX__CONTAINER_SPEC__INIT;
	char *capabilities[] = { (char *)"verify", (char *)"health" };
	json_t *object, *item;

	object = json_from_message(&reply.base);
	assert_true(json_is_array(json_object_get(object, "containers")));
	assert_int_equal(json_array_size(json_object_get(object, "containers")), 0);
	json_decref(object);

	reply.n_containers = 1;
	reply.containers = list;
	spec.name = (char *)"web1";
	status.spec = &spec;
	status.n_agent_capabilities = 2;
	status.agent_capabilities = capabilities;
	object = json_from_message(&reply.base);
	item = json_array_get(json_object_get(object, "containers"), 0);
	assert_string_equal(json_string_value(
				    json_object_get(json_object_get(item, "spec"), "name")),
			    "web1");
	assert_string_equal(json_string_value(
				    json_array_get(json_object_get(item, "agent_capabilities"), 1)),
			    "health");
	assert_true(json_is_null(json_object_get(item, "verify")));
	json_decref(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_become_valid_json),
		cmocka_unit_test(numbers_stay_numbers),
		cmocka_unit_test(negative_numbers_stay_negative),
		cmocka_unit_test(enums_are_names_and_unknown_ones_numbers),
		cmocka_unit_test(lists_and_messages_nest),
	};

	return cmocka_run_group_tests_name("cli_json", tests, NULL, NULL);
}
