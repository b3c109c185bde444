/*
 * The published JSON Schema against the parser: both know the same keys at every place. What the
 * parser knows is what it says when it meets a key that it does not know.
 */
#include "tests/support/cmocka.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/cli/schema.h"
#include "controller/fleet/fleet.h"

#define UNKNOWN "zzzzzzzz: 1"
#define KNOWN "keys that are known here: "

static const struct place {
	const char *path; /* to the object in the schema */
	const char *text; /* a fleet file with an unknown key there */
} places[] = {
	{ "", "version: 1\n" UNKNOWN "\n" },
	{ "properties/defaults", "version: 1\ndefaults: {" UNKNOWN "}\n" },
	{ "properties/groups/items", "version: 1\ngroups: [{" UNKNOWN "}]\n" },
	{ "properties/rollout", "version: 1\nrollout: {" UNKNOWN "}\n" },
	{ "properties/containers/items", "version: 1\ncontainers: [{" UNKNOWN "}]\n" },
	{ "$defs/confinement/oneOf/1", "version: 1\ndefaults: {confinement: {" UNKNOWN "}}\n" },
	{ "$defs/resources", "version: 1\ndefaults: {resources: {" UNKNOWN "}}\n" },
	{ "$defs/storage", "version: 1\ndefaults: {storage: {" UNKNOWN "}}\n" },
	{ "$defs/docker", "version: 1\ndefaults: {docker: {" UNKNOWN "}}\n" },
	{ "$defs/docker/properties/repository",
	  "version: 1\ndefaults: {docker: {repository: {" UNKNOWN "}}}\n" },
	{ "$defs/network", "version: 1\ncontainers: [{network: {" UNKNOWN "}}]\n" },
};

static const json_t *walk(const json_t *node, const char *path)
{
	PH_AUTO_FREE char *copy = ph_strdup(path);
	char *rest = copy, *part;

	while (*path && (part = strsep(&rest, "/")))
		node = json_is_array(node) ? json_array_get(node, strtoul(part, NULL, 10)) :
					     json_object_get(node, part);
	return node;
}

/* Whether a word stands in "a, b and c". */
static bool is_listed(const char *list, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = strstr(list, word); at; at = strstr(at + 1, word))
		if ((at == list || at[-1] == ' ') && strchr(", ", at[length]))
			return true;
	return false;
}

static size_t count_words(const char *list)
{
	size_t count = 1;

	for (; *list; list++)
		count += *list == ',';
	return count;
}

static void same_keys_as_the_parser(void **state)
{
	json_t *schema = json_loads(schema_text(), 0, NULL);

	assert_non_null(schema);
	for (size_t i = 0; i < ARRAY_LENGTH(places); i++) {
		const json_t *object = walk(schema, places[i].path);
		json_t *properties = json_object_get(object, "properties");
		Phoenix__Fleet *fleet = NULL;
		struct ph_error error = { 0 };
		const char *list, *key;
		json_t *value;

		assert_true(fleet_parse("f", places[i].text, strlen(places[i].text), &fleet,
					&error) < 0);
		list = strstr(error.remedy, KNOWN);
		if (!list || !properties)
			fail_msg("%s: '%s' ('%s')", places[i].path, error.why, error.remedy);
		list += strlen(KNOWN);
		json_object_foreach (properties, key, value)
			if (!is_listed(list, key))
				fail_msg("%s: the schema has '%s', the parser knows %s",
					 places[i].path, key, list);
		if (json_object_size(properties) != count_words(list))
			fail_msg("%s: the parser knows %s, docs/fleet.schema.json has %zu of them",
				 places[i].path, list, json_object_size(properties));
		/* A misspelt key is an error to an editor too. */
		assert_false(json_is_true(json_object_get(object, "additionalProperties")));
		assert_non_null(json_object_get(object, "additionalProperties"));
	}
	json_decref(schema);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_keys_as_the_parser),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
