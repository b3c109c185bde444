/* Merging daemon.json: what is added, what is left alone, what is refused and where. */
#include "agent/docker/daemon_json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "tests/support/cmocka.h"

#define DRIVER "fuse-overlayfs"

struct merge_case {
	const char *name;
	const char *text; /* NULL: no file */
	int result;
	const char *merged; /* of a change */
	const char *where;  /* of a refusal */
	const char *why;    /* a part of it */
};

static const struct merge_case cases[] = {
	{ "no file", NULL, DAEMON_JSON_CHANGED,
	  "{\n    \"storage-driver\": \"fuse-overlayfs\",\n    \"features\": {\n"
	  "        \"containerd-snapshotter\": false\n    }\n}\n" },
	{ "empty file", "", DAEMON_JSON_CHANGED,
	  "{\n    \"storage-driver\": \"fuse-overlayfs\",\n    \"features\": {\n"
	  "        \"containerd-snapshotter\": false\n    }\n}\n" },
	{ "blank file", " \n\t\r\n", DAEMON_JSON_CHANGED,
	  "{\n    \"storage-driver\": \"fuse-overlayfs\",\n    \"features\": {\n"
	  "        \"containerd-snapshotter\": false\n    }\n}\n" },
	{ "as wanted, differently laid out",
	  "{\"features\":{\"containerd-snapshotter\":false},  \"storage-driver\":\"fuse-overlayfs\"}",
	  DAEMON_JSON_UNCHANGED },
	{ "user's keys and their order are kept",
	  "{\"log-driver\":\"local\",\"debug\":true,\"a\":[1,2.5,null],\"dns\":[\"10.0.0.1\"]}",
	  DAEMON_JSON_CHANGED,
	  "{\n    \"log-driver\": \"local\",\n    \"debug\": true,\n    \"a\": [\n        1,\n"
	  "        2.5,\n        null\n    ],\n    \"dns\": [\n        \"10.0.0.1\"\n    ],\n"
	  "    \"storage-driver\": \"fuse-overlayfs\",\n    \"features\": {\n"
	  "        \"containerd-snapshotter\": false\n    }\n}\n" },
	{ "other features are kept", "{\"features\":{\"buildkit\":true}}", DAEMON_JSON_CHANGED,
	  "{\n    \"features\": {\n        \"buildkit\": true,\n"
	  "        \"containerd-snapshotter\": false\n    },\n"
	  "    \"storage-driver\": \"fuse-overlayfs\"\n}\n" },
	{ "null and empty text are unset", "{\"storage-driver\":\"\",\"features\":null}",
	  DAEMON_JSON_CHANGED,
	  "{\n    \"storage-driver\": \"fuse-overlayfs\",\n    \"features\": {\n"
	  "        \"containerd-snapshotter\": false\n    }\n}\n" },
	{ "another driver", "{\n  \"debug\": true,\n  \"storage-driver\": \"overlay2\"\n}", -EEXIST,
	  NULL, "/d.json:3:3", "to \"overlay2\", and \"fuse-overlayfs\" is wanted" },
	{ "the key as a value is not its place",
	  "{\"x\": \"storage-driver\",\n \"storage-driver\": \"vfs\"}", -EEXIST, NULL,
	  "/d.json:2:2", "vfs" },
	{ "the key deeper down is not its place",
	  "{\"x\": {\"storage-driver\": \"y\"},\n\"storage-driver\": \"vfs\"}", -EEXIST, NULL,
	  "/d.json:2:1", "vfs" },
	{ "snapshotter on", "{\"features\":\n {\"containerd-snapshotter\": true}}", -EEXIST, NULL,
	  "/d.json:2:3", "snapshotter on" },
	{ "driver of the wrong type", "{\"storage-driver\": 7}", -EINVAL, NULL, "/d.json:1:2",
	  "not a text" },
	{ "features of the wrong type", "{\"features\": [true]}", -EINVAL, NULL, "/d.json:1:2",
	  "not an object" },
	{ "not JSON", "{\n  \"debug\": true\n  \"dns\": []\n}", -EINVAL, NULL,
	  "/d.json:3:", "not valid" },
	{ "trailing comma", "{\"debug\": true,}", -EINVAL, NULL, "/d.json:1:", "not valid" },
	{ "comment", "// mine\n{}", -EINVAL, NULL, "/d.json:1:", "not valid" },
	{ "something behind", "{} {}", -EINVAL, NULL, "/d.json:1:", "not valid" },
	{ "a key twice", "{\"debug\": true,\n\"debug\": false}", -EINVAL, NULL,
	  "/d.json:2:", "duplicate" },
	{ "cut off", "{\"debug\": tr", -EINVAL, NULL, "/d.json:1:", "not valid" },
	{ "an array", "[1]", -EINVAL, NULL, "/d.json:1:1", "not an object" },
	{ "a text", "\"x\"", -EINVAL, NULL, "/d.json:1:1", "not an object" },
	{ "not UTF-8", "{\"x\": \"\xff\"}", -EINVAL, NULL, "/d.json:1:", "not valid" },
};

static int merge(const char *text, size_t length, const char *replaces, char **ret_merged,
		 struct ph_error *error)
{
	const struct daemon_json_wanted wanted = { .driver = DRIVER, .replaces = replaces };

	return daemon_json_merge("/d.json", text, length, &wanted, ret_merged, error);
}

static void case_check(const struct merge_case *c)
{
	PH_AUTO_FREE char *merged = NULL;
	struct ph_error error = { 0 };
	int result = merge(c->text, c->text ? strlen(c->text) : 0, NULL, &merged, &error);

	if (result != c->result)
		fail_msg("%s: %d instead of %d (%s)", c->name, result, c->result, error.why);
	if (!text_equal(merged, c->merged))
		fail_msg("%s: merged to\n%s", c->name, merged);
	if (result >= 0)
		return;
	if (!text_has_prefix(error.where, c->where) || !strstr(error.why, c->why))
		fail_msg("%s: \"%s\" at %s", c->name, error.why, error.where);
	if (!strstr(error.remedy, "not touched"))
		fail_msg("%s: the remedy is \"%s\"", c->name, error.remedy);
}

static void files_are_merged_or_refused(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
		case_check(&cases[i]);
}

static void merging_twice_changes_nothing(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
		PH_AUTO_FREE char *again = NULL;

		if (cases[i].result != DAEMON_JSON_CHANGED)
			continue;
		if (merge(cases[i].merged, strlen(cases[i].merged), NULL, &again, NULL) !=
		    DAEMON_JSON_UNCHANGED)
			fail_msg("%s: merged twice", cases[i].name);
	}
}

/* Consent is to one driver's going: any other one stays the user's. */
static void a_named_driver_may_be_replaced(void **state)
{
	static const char text[] = "{\"storage-driver\":\"overlay2\",\"debug\":true,"
				   "\"features\":{\"containerd-snapshotter\":false}}";
	PH_AUTO_FREE char *merged = NULL, *none = NULL;
	struct ph_error error = { 0 };

	assert_int_equal(merge(text, strlen(text), "overlay2",
					   &merged, NULL),
			 DAEMON_JSON_CHANGED);
	assert_string_equal(merged, "{\n    \"storage-driver\": \"fuse-overlayfs\",\n"
				    "    \"debug\": true,\n    \"features\": {\n"
				    "        \"containerd-snapshotter\": false\n    }\n}\n");
	assert_int_equal(merge(text, strlen(text), "vfs", &none,
					   &error),
			 -EEXIST);
	assert_int_equal(merge(text, strlen(text), "", &none,
					   &error),
			 -EEXIST);
}

/* --- the fragment ---- */

#define OURS "\"storage-driver\":\"fuse-overlayfs\",\"features\":{\"containerd-snapshotter\":false}"
#define LAST                                                                                       \
	"    \"storage-driver\": \"fuse-overlayfs\",\n    \"features\": {\n"                       \
	"        \"containerd-snapshotter\": false\n    }"

static const struct {
	const char *name;
	const char *text;
	const char *fragment;
	const char *ours;
	bool override;
	int result;
	const char *merged;
	const char *where;
} fragment_cases[] = {
	{ "further keys come last", "{" OURS "}", "{\"debug\":true}", NULL, false, DAEMON_JSON_CHANGED,
	  "{\n" LAST ",\n    \"debug\": true\n}\n" },
	{ "as wanted already", "{\"debug\":true," OURS "}", "{\"debug\":true}", NULL, false,
	  DAEMON_JSON_UNCHANGED },
	{ "the user's stays", "{" OURS ",\n\"debug\":false}", "{\"debug\":true}", NULL, false, -EEXIST,
	  NULL, "/d.json:2:1" },
	{ "the user's goes when told", "{" OURS ",\"debug\":false}", "{\"debug\":true}", NULL, true,
	  DAEMON_JSON_CHANGED, "{\n" LAST ",\n    \"debug\": true\n}\n" },
	{ "ours may change", "{" OURS ",\"debug\":false}", "{\"debug\":true}", "{\"debug\":false}",
	  false, DAEMON_JSON_CHANGED, "{\n" LAST ",\n    \"debug\": true\n}\n" },
	{ "ours that the user changed is the user's", "{" OURS ",\n\"mtu\":9000}", "{\"mtu\":1400}",
	  "{\"mtu\":1500}", false, -EEXIST, NULL, "/d.json:2:1" },
	{ "ours goes when not wanted any more", "{" OURS ",\"debug\":false}", "", "{\"debug\":false}",
	  false, DAEMON_JSON_CHANGED, "{\n" LAST "\n}\n" },
	{ "but not when the user changed it", "{" OURS ",\"debug\":true}", NULL,
	  "{\"debug\":false}", false, DAEMON_JSON_UNCHANGED },
	{ "objects are merged key by key", "{\"log-opts\":{\"a\":\"1\"}," OURS "}",
	  "{\"log-opts\":{\"b\":\"2\"}}", NULL, false, DAEMON_JSON_CHANGED,
	  "{\n    \"log-opts\": {\n        \"a\": \"1\",\n        \"b\": \"2\"\n    },\n" LAST
	  "\n}\n" },
	{ "a key within an object", "{\"log-opts\":\n{\"a\":\"1\"}," OURS "}",
	  "{\"log-opts\":{\"a\":\"2\"}}", NULL, false, -EEXIST, NULL, "/d.json:2:2" },
	{ "an object where the user has a word", "{" OURS ",\n\"log-opts\":\"x\"}",
	  "{\"log-opts\":{\"a\":\"2\"}}", NULL, false, -EEXIST, NULL, "/d.json:2:1" },
	{ "lists are one value", "{" OURS ",\n\"dns\":[\"1.1.1.1\"]}", "{\"dns\":[\"9.9.9.9\"]}", NULL,
	  false, -EEXIST, NULL, "/d.json:2:1" },
	{ "a fragment that is none", "{" OURS "}", "[1]", NULL, false, -EINVAL, NULL,
	  "docker.daemon" },
};

static void fragments_are_merged_or_refused(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(fragment_cases); i++) {
		const struct daemon_json_wanted wanted = {
			.driver = DRIVER,
			.fragment = fragment_cases[i].fragment,
			.ours = fragment_cases[i].ours,
			.override = fragment_cases[i].override,
		};
		const char *text = fragment_cases[i].text;
		PH_AUTO_FREE char *merged = NULL;
		struct ph_error error = { 0 };
		int result = daemon_json_merge("/d.json", text, strlen(text), &wanted, &merged,
					       &error);

		if (result != fragment_cases[i].result ||
		    !text_equal(merged, fragment_cases[i].merged))
			fail_msg("%s: %d (%s), merged to\n%s", fragment_cases[i].name, result,
				 error.why, merged);
		if (result < 0 && (!text_equal(error.where, fragment_cases[i].where) ||
				   !error.remedy[0]))
			fail_msg("%s: at %s", fragment_cases[i].name, error.where);
	}
}

/* Found by fuzzing: with the consent to override, a fragment could take our own keys away. */
static void our_keys_are_in_no_fragment(void **state)
{
	static const char *const fragments[] = {
		"{\"storage-driver\":\"vfs\"}",
		"{\"features\":[]}",
		"{\"features\":null}",
		"{\"features\":{\"containerd-snapshotter\":true}}",
	};

	for (size_t i = 0; i < ARRAY_LENGTH(fragments); i++) {
		const struct daemon_json_wanted wanted = {
			.driver = DRIVER,
			.fragment = fragments[i],
			.override = true,
		};
		PH_AUTO_FREE char *merged = NULL;
		struct ph_error error = { 0 };

		if (daemon_json_merge("/d.json", "{}", 2, &wanted, &merged, &error) != -EINVAL ||
		    merged || !text_equal(error.where, "docker.daemon"))
			fail_msg("%s was merged to %s", fragments[i], merged);
	}
}

/* What is noted as ours from before does not withdraw our own keys either. */
static void our_keys_are_never_withdrawn(void **state)
{
	static const char text[] = "{\"storage-driver\":\"" DRIVER "\"}";
	const struct daemon_json_wanted wanted = { .driver = DRIVER, .ours = text };
	PH_AUTO_FREE char *merged = NULL;

	assert_int_equal(daemon_json_merge("/d.json", text, strlen(text), &wanted, &merged, NULL),
			 DAEMON_JSON_CHANGED);
	assert_non_null(strstr(merged, DRIVER));
}

static void deep_nesting_is_refused(void **state)
{
	PH_AUTO_STR struct str text = STR_INIT;
	PH_AUTO_FREE char *merged = NULL;
	struct ph_error error = { 0 };

	str_append(&text, "{\"x\":");
	for (size_t i = 0; i < 500 * 1000; i++)
		str_append(&text, "[");
	assert_int_equal(merge(str_text(&text), text.length, NULL,
					   &merged, &error),
			 -EINVAL);
	assert_null(merged);
}

static void values_are_looked_up(void **state)
{
	static const struct {
		const char *text;
		const char *value;
	} values[] = {
		{ "{\"data-root\":\"/srv\"}", "/srv" },
		{ "{\"data-root\":3}", "" },
		{ "{}", "" },
		{ "[]", "" },
		{ "", "" },
		{ "{", "" },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(values); i++) {
		char buffer[16] = "x";

		daemon_json_value(values[i].text, strlen(values[i].text), "data-root", buffer,
				  sizeof(buffer));
		assert_string_equal(buffer, values[i].value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_merged_or_refused),
		cmocka_unit_test(merging_twice_changes_nothing),
		cmocka_unit_test(a_named_driver_may_be_replaced),
		cmocka_unit_test(fragments_are_merged_or_refused),
		cmocka_unit_test(our_keys_are_in_no_fragment),
		cmocka_unit_test(our_keys_are_never_withdrawn),
		cmocka_unit_test(deep_nesting_is_refused),
		cmocka_unit_test(values_are_looked_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
