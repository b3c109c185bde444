/* What each typed reader accepts, and what it says about the rest. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/schema.h"
#include "common/str.h"

static const char *const words[] = { "required", "best-effort", NULL };

enum reader { TEXT, NAME, WORD, BOOL, INTEGER, SIZE, CPUS, IPV4, SUBNET, PATH, MAP, LIST };

struct value_case {
	const char *name;
	enum reader reader;
	const char *yaml;     /* of the key "key" */
	const char *expected; /* the value as text; NULL: refused; "absent" */
	const char *why;      /* part of the refusal */
};

static const struct value_case value_cases[] = {
	{ "text", TEXT, "key: two words", "two words", NULL },
	{ "text that looks like a number", TEXT, "key: 12", "12", NULL },
	{ "text of the greatest length", TEXT, "key: abcdefghij", "abcdefghij", NULL },
	{ "text too long", TEXT, "key: abcdefghijk", NULL, "longer than 10 bytes" },
	{ "text without a value", TEXT, "key:", NULL, "must be a text, but has no value" },
	{ "text null", TEXT, "key: ~", NULL, "has no value" },
	{ "text empty", TEXT, "key: ''", NULL, "empty text" },
	{ "text as list", TEXT, "key: [a]", NULL, "must be a text, not a list" },
	{ "text absent", TEXT, "other: 1", "absent", NULL },

	{ "name", NAME, "key: web-1", "web-1", NULL },
	{ "name of digits", NAME, "key: 7", "7", NULL },
	{ "name that leaves the directory", NAME, "key: ../x", NULL, "not '../x'" },
	{ "name with a capital", NAME, "key: Web", NULL, "must be a name, not 'Web'" },
	{ "name of 64 bytes", NAME,
	  "key: aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg", NULL,
	  "must be a name" },
	{ "name as map", NAME, "key: {a: 1}", NULL, "must be a name, not a map" },
	{ "name without a value", NAME, "key:", NULL, "must be a name, but has no value" },

	{ "word", WORD, "key: best-effort", "1", NULL },
	{ "quoted word", WORD, "key: \"required\"", "0", NULL },
	{ "word mistyped", WORD, "key: requird", NULL,
	  "cannot be 'requird'; did you mean 'required'?" },
	{ "word unknown", WORD, "key: unconfined-xyz", NULL, "cannot be 'unconfined-xyz'" },
	{ "word in another case", WORD, "key: Required", NULL, "did you mean 'required'?" },

	{ "true", BOOL, "key: true", "1", NULL },
	{ "false", BOOL, "key: false", "0", NULL },
	{ "yes is not true", BOOL, "key: yes", NULL, "must be true or false, not 'yes'" },
	{ "quoted true", BOOL, "key: 'true'", NULL, "not the quoted text 'true'" },
	{ "1 is not true", BOOL, "key: 1", NULL, "must be true or false" },

	{ "integer", INTEGER, "key: 100", "100", NULL },
	{ "integer minimum", INTEGER, "key: 10", "10", NULL },
	{ "integer below", INTEGER, "key: 9", NULL, "a whole number from 10 to 1000, not '9'" },
	{ "integer above", INTEGER, "key: 1001", NULL, "from 10 to 1000" },
	{ "integer negative", INTEGER, "key: -10", NULL, "from 10 to 1000, not '-10'" },
	{ "integer beyond 64 bits", INTEGER, "key: 99999999999999999999999", NULL, "from 10" },
	{ "integer quoted", INTEGER, "key: '100'", NULL, "not the quoted text '100'" },
	{ "integer as a fraction", INTEGER, "key: 10.5", NULL, "a whole number" },
	{ "integer in hex", INTEGER, "key: 0x20", NULL, "a whole number" },
	{ "integer as list", INTEGER, "key: [100]", NULL, "not a list" },

	{ "size in MiB", SIZE, "key: 512MiB", "536870912", NULL },
	{ "size in GiB", SIZE, "key: 1GiB", "1073741824", NULL },
	{ "size in KiB", SIZE, "key: 64KiB", "65536", NULL },
	{ "size in TiB", SIZE, "key: 2TiB", "2199023255552", NULL },
	{ "size in bytes", SIZE, "key: 1000000", "1000000", NULL },
	{ "size of nothing", SIZE, "key: 0", "0", NULL },
	{ "size in decimal units", SIZE, "key: 1GB", NULL, "must be a size, not '1GB'" },
	{ "size with a short unit", SIZE, "key: 1G", NULL, "must be a size" },
	{ "size with a blank", SIZE, "key: 1 GiB", NULL, "must be a size" },
	{ "size as a fraction", SIZE, "key: 1.5GiB", NULL, "must be a size" },
	{ "size beyond 64 bits", SIZE, "key: 99999999999TiB", NULL, "must be a size" },
	{ "size that overflows by its unit", SIZE, "key: 16777216TiB", NULL, "must be a size" },
	{ "size of many digits", SIZE, "key: 1000000000000000000000000000", NULL, "a size" },
	{ "size of a unit only", SIZE, "key: GiB", NULL, "must be a size" },

	{ "cpus", CPUS, "key: 2", "200", NULL },
	{ "cpus and a half", CPUS, "key: 1.5", "150", NULL },
	{ "cpus in hundredths", CPUS, "key: 0.25", "25", NULL },
	{ "cpus 1.05", CPUS, "key: 1.05", "105", NULL },
	{ "cpus maximum", CPUS, "key: 1024", "102400", NULL },
	{ "cpus above the maximum", CPUS, "key: 1024.01", NULL, "a number of processors" },
	{ "cpus in thousandths", CPUS, "key: 1.505", NULL, "a number of processors" },
	{ "cpus without a fraction", CPUS, "key: 1.", NULL, "a number of processors" },
	{ "cpus without a whole", CPUS, "key: .5", NULL, "a number of processors" },
	{ "cpus with a comma", CPUS, "key: '1,5'", NULL, "a number of processors" },
	{ "cpus negative", CPUS, "key: -1", NULL, "a number of processors" },
	{ "cpus huge", CPUS, "key: 99999999999999999999", NULL, "a number of processors" },

	{ "address", IPV4, "key: 10.209.0.20", "10.209.0.20", NULL },
	{ "address short", IPV4, "key: 10.209.20", NULL, "must be an IPv4 address" },
	{ "address out of range", IPV4, "key: 10.209.0.256", NULL, "must be an IPv4 address" },
	{ "address of IPv6", IPV4, "key: 'fe80::1'", NULL, "must be an IPv4 address" },
	{ "address with a prefix", IPV4, "key: 10.209.0.20/16", NULL, "must be an IPv4 address" },

	{ "subnet", SUBNET, "key: 10.0.0.0/8", "10.0.0.0/8", NULL },
	{ "subnet with host bits", SUBNET, "key: 10.209.0.1/16", NULL, "within its network" },
	{ "subnet too large", SUBNET, "key: 0.0.0.0/0", NULL, "with /8 to /29" },
	{ "subnet too small", SUBNET, "key: 10.0.0.0/30", NULL, "with /8 to /29" },
	{ "subnet without a prefix", SUBNET, "key: 10.0.0.0", NULL, "an IPv4 network" },
	{ "subnet with a mask", SUBNET, "key: 10.0.0.0/255.0.0.0", NULL, "an IPv4 network" },

	{ "path", PATH, "key: /run/phoenix", "/run/phoenix", NULL },
	{ "path with odd but harmless bytes", PATH, "key: /a_b/c.d+e@f-1", "/a_b/c.d+e@f-1", NULL },
	{ "path with hidden parts", PATH, "key: /..a/.b", "/..a/.b", NULL },
	{ "path relative", PATH, "key: run", NULL, "must be an absolute path" },
	{ "path that climbs", PATH, "key: /run/../etc", NULL, "must be an absolute path" },
	{ "path that ends climbing", PATH, "key: /run/..", NULL, "must be an absolute path" },
	{ "path that stays", PATH, "key: /run/./x", NULL, "must be an absolute path" },
	{ "path with two slashes", PATH, "key: /run//x", NULL, "must be an absolute path" },
	{ "path with a slash at its end", PATH, "key: /run/", NULL, "must be an absolute path" },
	{ "path of the root", PATH, "key: /", NULL, "must be an absolute path" },
	{ "path with a colon", PATH, "key: '/a:b'", NULL, "of letters, digits" },
	{ "path with a comma", PATH, "key: '/a,b'", NULL, "of letters, digits" },
	{ "path with a blank", PATH, "key: /a b", NULL, "of letters, digits" },
	{ "path too long", PATH, "key: /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL, "longer" },

	{ "map", MAP, "key: {a: 1}", "1", NULL },
	{ "map of nothing", MAP, "key: {}", "0", NULL },
	{ "map without a value", MAP, "key:", "absent", NULL },
	{ "map as text", MAP, "key: a", NULL, "must be a map, not 'a'" },
	{ "map as list", MAP, "key: [a]", NULL, "must be a map, not a list" },
	{ "list", LIST, "key: [a, b]", "2", NULL },
	{ "list without a value", LIST, "key: null", "absent", NULL },
	{ "list as map", LIST, "key: {a: 1}", NULL, "must be a list, not a map" },
	{ "list as quoted nothing", LIST, "key: ''", NULL, "must be a list" },
};

/* Read "key" with one reader and write the value as text. */
static int read_value(enum reader reader, const struct yaml_node *map, char text[256],
		      struct ph_error *error)
{
	const struct yaml_node *node = NULL;
	const char *string = NULL;
	uint64_t number = 0;
	uint32_t small = 0, prefix_length = 0;
	size_t index = 0;
	bool flag = false;
	char address[16];
	int ret = 0;

	switch (reader) {
	case TEXT:
	case NAME:
	case PATH:
		if (reader == TEXT)
			ret = schema_get_text(map, "key", 10, &string, error);
		else if (reader == NAME)
			ret = schema_get_name(map, "key", &string, error);
		else
			ret = schema_get_path(map, "key", 30, &string, error);
		snprintf(text, 256, "%s", string ? string : "");
		return ret;
	case WORD:
		ret = schema_get_word(map, "key", words, &index, error);
		number = index;
		break;
	case BOOL:
		ret = schema_get_bool(map, "key", &flag, error);
		number = flag;
		break;
	case INTEGER:
		ret = schema_get_integer(map, "key", 10, 1000, &number, error);
		break;
	case SIZE:
		ret = schema_get_size(map, "key", &number, error);
		break;
	case CPUS:
		ret = schema_get_cpus(map, "key", &small, error);
		number = small;
		break;
	case IPV4:
		ret = schema_get_ipv4(map, "key", &small, error);
		snprintf(text, 256, "%s", ipv4_to_text(small, address));
		return ret;
	case SUBNET:
		ret = schema_get_subnet(map, "key", 8, 29, &small, &prefix_length, error);
		snprintf(text, 256, "%s/%u", ipv4_to_text(small, address), prefix_length);
		return ret;
	case MAP:
	case LIST:
		ret = reader == MAP ? schema_get_map(map, "key", &node, error) :
				      schema_get_list(map, "key", &node, error);
		number = node ? node->count : 0;
		break;
	}
	snprintf(text, 256, "%llu", (unsigned long long)number);
	return ret;
}

static struct yaml_node *parse(const char *text)
{
	struct yaml_node *root = NULL;

	assert_int_equal(yaml_parse("f.yaml", text, strlen(text), &root, NULL), 0);
	return root;
}

static void values_follow_the_table(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(value_cases); i++) {
		const struct value_case *row = &value_cases[i];
		struct yaml_node *root = parse(row->yaml);
		struct ph_error error = { 0 };
		char text[256];
		int ret = read_value(row->reader, root, text, &error);

		print_message("# %s\n", row->name);
		if (!row->expected) {
			assert_int_equal(ret, -EINVAL);
			assert_string_equal(error.where,
					    root->items[0]->count || root->items[0]->text[0] ?
						    "f.yaml:1:6" :
						    error.where);
			if (!strstr(error.why, row->why))
				fail_msg("\"%s\" is not in \"%s\"", row->why, error.why);
		} else if (text_equal(row->expected, "absent")) {
			assert_int_equal(ret, SCHEMA_ABSENT);
		} else {
			assert_string_equal(error.why, "");
			assert_int_equal(ret, 0);
			assert_string_equal(text, row->expected);
		}
		yaml_node_free(root);
	}
}

static const char *const candidates[] = {
	"name", "labels", "image", "confinement", "resources", "memory", "cpus", "pids", NULL,
};

struct suggestion_case {
	const char *word;
	const char *expected; /* NULL: none */
};

static const struct suggestion_case suggestion_cases[] = {
	{ "memroy", "memory" },
	{ "memor", "memory" },
	{ "Memory", "memory" },
	{ "mem", "memory" },
	{ "cpu", "cpus" },
	{ "pid", "pids" },
	{ "label", "labels" },
	{ "lables", "labels" },
	{ "confinment", "confinement" },
	{ "resource", "resources" },
	{ "nmae", "name" },
	{ "xyzzy", NULL },
	{ "", NULL },
	{ "privileged", NULL },
	{ "mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm", NULL },
};

static void suggestions_follow_the_table(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(suggestion_cases); i++) {
		const struct suggestion_case *row = &suggestion_cases[i];
		const char *suggestion = schema_suggest(row->word, candidates);

		print_message("# '%s'\n", row->word);
		assert_string_equal(suggestion ? suggestion : "none",
				    row->expected ? row->expected : "none");
	}
}

static void unknown_keys_are_refused(void **state)
{
	struct yaml_node *root = parse("cpus: 1\nmemroy: 1GiB\n");
	struct ph_error error = { 0 };

	assert_int_equal(schema_check_keys(root, "resources", candidates, &error), -EINVAL);
	assert_string_equal(error.where, "f.yaml:2:1");
	assert_string_equal(error.why, "key 'memroy' is not known here; did you mean 'memory'?");
	assert_string_equal(error.remedy, "keys that are known here: name, labels, image, "
					  "confinement, resources, memory, cpus, pids");
	yaml_node_free(root);

	root = parse("cpus: 1\nmemory: 1\n");
	assert_int_equal(schema_check_keys(root, "resources", candidates, &error), 0);
	yaml_node_free(root);

	root = parse("- cpus\n");
	assert_int_equal(schema_check_keys(root, "resources", candidates, &error), -EINVAL);
	assert_string_equal(error.why, "resources must be a map, not a list");
	yaml_node_free(root);
}

static void no_map_has_no_keys(void **state)
{
	bool value = true;

	struct yaml_node *list = parse("[key, key]");

	assert_null(schema_find(list, "key"));
	yaml_node_free(list);
	assert_null(schema_find(NULL, "key"));
	assert_int_equal(schema_get_bool(NULL, "key", &value, NULL), SCHEMA_ABSENT);
	assert_true(value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_follow_the_table),
		cmocka_unit_test(suggestions_follow_the_table),
		cmocka_unit_test(unknown_keys_are_refused),
		cmocka_unit_test(no_map_has_no_keys),
	};

	return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
