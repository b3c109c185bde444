/* What becomes a tree, what is refused, and where the error points. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/str.h"
#include "common/yaml.h"
#include "tests/support/scratch.h"

struct tree_case {
	const char *name;
	const char *text;
	const char *tree; /* as describe() writes it; NULL: YAML_EMPTY */
};

static const struct tree_case tree_cases[] = {
	{ "nothing", "", NULL },
	{ "blanks and comments", "\n  \n# nothing here\n", NULL },
	{ "a scalar", "word\n", "'word'" },
	{ "quoted scalars", "[a, 'b', \"c\"]", "['a', \"b\", \"c\"]" },
	{ "a map", "a: 1\nb: two words\n", "{a: '1', b: 'two words'}" },
	{ "a map in one line", "{a: 1, b: 2}", "{a: '1', b: '2'}" },
	{ "a list", "- a\n- b\n", "['a', 'b']" },
	{ "a list of maps", "- a: 1\n  b: 2\n- a: 3\n", "[{a: '1', b: '2'}, {a: '3'}]" },
	{ "no value", "a:\nb: ~\n", "{a: '', b: '~'}" },
	{ "empty containers", "a: []\nb: {}\n", "{a: [], b: {}}" },
	{ "one document, marked", "---\na: 1\n...\n", "{a: '1'}" },
	{ "a version directive", "%YAML 1.1\n---\na: 1\n", "{a: '1'}" },
	{ "UTF-8", "a: caf\xc3\xa9\n", "{a: 'caf\xc3\xa9'}" },
	{ "CRLF", "a: 1\r\nb: 2\r\n", "{a: '1', b: '2'}" },
	{ "a byte order mark",
	  "\xef\xbb\xbf"
	  "a: 1\n",
	  "{a: '1'}" },
	{ "a folded scalar in one line", "a: >-\n  one\n  two\n", "{a: \"one two\"}" },
	{ "sixteen levels", "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]",
	  "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]" },
};

struct refusal_case {
	const char *name;
	const char *text;
	const char *where; /* LINE:COLUMN */
	const char *why;   /* part of it */
};

static const struct refusal_case refusal_cases[] = {
	{ "an open bracket", "a: [1, 2\n", "2:1", "this is not YAML" },
	{ "an open quote", "a: 'x\nb: 2\n", "3:1", "this is not YAML" },
	{ "a key without a colon", "a: 1\nbee\nc: 2\n", "3:1", "could not find expected ':'" },
	{ "bad indentation", "a: 1\n  b: 2\n", "2:4", "mapping values are not allowed" },
	{ "a tab", "a:\n\tb: 1\n", "2:1", "indented with a tab" },
	{ "a tab behind blanks", "a:\n  \tb: 1\n", "2:3", "indented with a tab" },
	{ "a key twice", "a: 1\nb: 2\na: 3\n", "3:1", "key 'a' was given before, in line 1" },
	{ "a key twice in one line", "{a: 1, a: 2}", "1:8", "key 'a' was given before" },
	{ "a key twice, once quoted", "a: 1\n'a': 2\n", "2:1", "was given before" },
	{ "an anchor", "a: &x 1\n", "1:4", "anchors and aliases" },
	{ "an alias", "a: &x [1]\nb: *x\n", "1:4", "anchors and aliases" },
	{ "an undefined alias", "a: *x\n", "1:4", "anchors and aliases" },
	{ "a merge key", "a: 1\n<<: *x\n", "2:5", "anchors and aliases" },
	{ "a tag", "a: !!str 1\n", "1:4", "tags (!)" },
	{ "a local tag", "a: !x {b: 1}\n", "1:4", "tags (!)" },
	{ "two documents", "a: 1\n---\nb: 2\n", "2:1", "second document" },
	{ "a list as key", "[a, b]: 1\n", "1:1", "cannot be a key" },
	{ "a map as key", "? {a: 1}\n: 2\n", "1:3", "cannot be a key" },
	{ "several lines", "a: |\n  one\n  two\n", "1:4", "line break" },
	{ "an escaped NUL", "a: \"x\\0y\"\n", "1:4", "control byte" },
	{ "an escaped ESC", "a: \"\\e[31m\"\n", "1:4", "control byte" },
	{ "a raw control byte", "a: 1\nb: \x01\n", "2:4", "not text" },
	{ "not UTF-8", "a: 1\nb: \xff\xfe\n", "2:4", "not text" },
	{ "seventeen levels", "[[[[[[[[[[[[[[[[[", "1:17", "too deeply" },
	{ "an executable",
	  "\x7f"
	  "ELF\x02\x01",
	  "1:1", "not text" },
};

static void describe(struct str *text, const struct yaml_node *node)
{
	if (node->kind == YAML_SCALAR) {
		str_appendf(text, node->plain ? "'%s'" : "\"%s\"", node->text);
		return;
	}
	str_append(text, node->kind == YAML_LIST ? "[" : "{");
	for (size_t i = 0; i < node->count; i++) {
		str_append(text, i ? ", " : "");
		if (node->kind == YAML_MAP)
			str_appendf(text, "%s: ", node->keys[i]->text);
		describe(text, node->items[i]);
	}
	str_append(text, node->kind == YAML_LIST ? "]" : "}");
}

static void trees_follow_the_table(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(tree_cases); i++) {
		const struct tree_case *row = &tree_cases[i];
		PH_AUTO_STR struct str tree = STR_INIT;
		struct ph_error error = { 0 };
		struct yaml_node *root = NULL;
		int ret = yaml_parse("f", row->text, strlen(row->text), &root, &error);

		print_message("# %s\n", row->name);
		assert_string_equal(error.why, "");
		assert_int_equal(ret, row->tree ? 0 : YAML_EMPTY);
		if (root)
			describe(&tree, root);
		assert_string_equal(str_text(&tree), row->tree ? row->tree : "");
		yaml_node_free(root);
	}
}

static void refusals_follow_the_table(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(refusal_cases); i++) {
		const struct refusal_case *row = &refusal_cases[i];
		struct ph_error error = { 0 };
		struct yaml_node *root = NULL;
		char where[64];

		print_message("# %s\n", row->name);
		snprintf(where, sizeof(where), "fleet.yaml:%s", row->where);
		assert_int_equal(yaml_parse("fleet.yaml", row->text, strlen(row->text), &root,
					    &error),
				 -EINVAL);
		assert_null(root);
		assert_string_equal(error.where, where);
		if (!strstr(error.why, row->why))
			fail_msg("\"%s\" is not in \"%s\"", row->why, error.why);
	}
}

static void places_are_those_of_the_text(void **state)
{
	static const char text[] = "# head\nfirst:\n  - name: web1\n    labels: {tier: web}\n";
	struct yaml_node *root = NULL, *list, *item;

	assert_int_equal(yaml_parse("f", text, strlen(text), &root, NULL), 0);
	list = root->items[0];
	item = list->items[0];
	assert_int_equal(root->keys[0]->line, 2);
	assert_int_equal(root->keys[0]->column, 1);
	assert_int_equal(list->line, 3);
	assert_int_equal(list->column, 3);
	assert_int_equal(item->items[0]->line, 3);
	assert_int_equal(item->items[0]->column, 11);
	assert_int_equal(item->items[1]->items[0]->line, 4);
	assert_int_equal(item->items[1]->items[0]->column, 20);
	yaml_node_free(root);
}

static void a_long_file_name_leaves_the_line(void **state)
{
	struct ph_error error = { 0 };
	struct yaml_node *root = NULL;
	char file[1000];

	memset(file, 'd', sizeof(file));
	strcpy(file + sizeof(file) - 12, "/fleet.yaml");
	assert_int_equal(yaml_parse(file, "a: *b", 5, &root, &error), -EINVAL);
	assert_true(text_has_suffix(error.where, "/fleet.yaml:1:4"));
	assert_true(text_has_prefix(error.where, "…ddd"));
}

/* Texts of a mebibyte that would be expensive for a careless reader. */
struct hostile_case {
	const char *name;
	const char *head;
	const char *repeated;
	int expected;
};

static const struct hostile_case hostile_cases[] = {
	{ "brackets", "", "[", -EINVAL },
	{ "braces", "", "{", -EINVAL },
	{ "nested keys", "", "? ", -EINVAL },
	{ "nested dashes", "", "- ", -EINVAL },
	{ "nested braces with keys", "", "{a: ", -EINVAL },
	{ "a list of a million", "[", "a,", -EINVAL },
	{ "a list of empty lists", "[", "[],", -EINVAL },
	{ "anchors", "[", "&a a,", -EINVAL },
	{ "the same key", "{", "a: 1,", -EINVAL },
	{ "one long scalar", "", "a", 0 },
	{ "one long quoted scalar, never closed", "\"", "a", -EINVAL },
	{ "one long comment", "", "#", YAML_EMPTY },
	{ "comments", "", "#\n", YAML_EMPTY },
	{ "blanks", "", " ", YAML_EMPTY },
	{ "line breaks", "", "\n", YAML_EMPTY },
	{ "line breaks in a scalar", "a\n", "\n", 0 },
	{ "documents", "", "---\n", -EINVAL },
	{ "directives", "", "%YAML 1.1\n", -EINVAL },
	{ "tag directives", "", "%TAG ! a\n", -EINVAL },
	{ "colons", "", ":", -EINVAL },
	{ "escapes", "\"", "\\\"", -EINVAL },
	{ "commas", "[", ",", -EINVAL },
};

static char *hostile_text(const struct hostile_case *row)
{
	char *text = ph_alloc(YAML_TEXT_MAXIMUM + 1);
	size_t length = strlen(row->head), step = strlen(row->repeated);

	memcpy(text, row->head, length);
	for (; length + step <= YAML_TEXT_MAXIMUM; length += step)
		memcpy(text + length, row->repeated, step);
	return text;
}

static void hostile_texts_cost_little(void **state)
{
	for (size_t i = 0; i < ARRAY_LENGTH(hostile_cases); i++) {
		const struct hostile_case *row = &hostile_cases[i];
		PH_AUTO_FREE char *text = hostile_text(row);
		struct ph_error error = { 0 };
		struct yaml_node *root = NULL;
		uint64_t started = clock_monotonic_ms();
		int ret = yaml_parse("f", text, strlen(text), &root, &error);
		uint64_t took = clock_monotonic_ms() - started;

		print_message("# %s: %llu ms, %s %s\n", row->name, (unsigned long long)took,
			      error.where, error.why);
		assert_int_equal(ret, row->expected);
		assert_in_range(took, 0, 5000);
		yaml_node_free(root);
	}
}

/* No prefix and no mangled copy of a good text may do anything but succeed or be refused. */
static void mangled_texts_are_harmless(void **state)
{
	static const char text[] =
		"version: 1\ndefaults: {image: \"bookworm\", resources: {memory: 1GiB}}\n"
		"containers:\n  - name: 'web1'\n    labels: {tier: web}\n  - name: web2\n";
	char copy[sizeof(text)];
	unsigned int seed = 7, refused = 0;

	for (size_t round = 0; round < 20000; round++) {
		struct yaml_node *root = NULL;
		size_t length = round < sizeof(text) ? round : sizeof(text) - 1;

		memcpy(copy, text, sizeof(text));
		for (size_t i = 0; round >= sizeof(text) && i < 1 + round % 4; i++)
			copy[(size_t)rand_r(&seed) % length] = (char)(rand_r(&seed) % 256);
		if (yaml_parse("f", copy, length, &root, NULL) < 0)
			refused++;
		yaml_node_free(root);
	}
	assert_in_range(refused, 1000, 19999);
}

static void too_large_a_text_is_refused(void **state)
{
	PH_AUTO_FREE char *text = ph_alloc(YAML_TEXT_MAXIMUM + 1);
	struct yaml_node *root = NULL;

	memset(text, ' ', YAML_TEXT_MAXIMUM + 1);
	assert_int_equal(yaml_parse("f", text, YAML_TEXT_MAXIMUM, &root, NULL), YAML_EMPTY);
	assert_int_equal(yaml_parse("f", text, YAML_TEXT_MAXIMUM + 1, &root, NULL), -EFBIG);
}

static void files_are_read_whole(void **state)
{
	PH_AUTO_FREE char *text = ph_alloc(YAML_TEXT_MAXIMUM + 1);
	PH_AUTO_FREE char *back = NULL;
	struct ph_error error = { 0 };
	struct scratch scratch;
	size_t length = 0;
	int fd;

	scratch_init(&scratch);
	memset(text, 'x', YAML_TEXT_MAXIMUM + 1);
	fd = open(scratch_write(&scratch, "f", text, YAML_TEXT_MAXIMUM), O_RDONLY);
	assert_int_equal(yaml_read(fd, "f", &back, &length, &error), 0);
	close(fd);
	assert_int_equal(length, YAML_TEXT_MAXIMUM);
	assert_memory_equal(back, text, YAML_TEXT_MAXIMUM);

	fd = open(scratch_write(&scratch, "f", text, YAML_TEXT_MAXIMUM + 1), O_RDONLY);
	assert_int_equal(yaml_read(fd, "f", &back, &length, &error), -EFBIG);
	close(fd);
	fd = open("/dev/zero", O_RDONLY);
	assert_int_equal(yaml_read(fd, "f", &back, &length, &error), -EFBIG);
	close(fd);
	fd = open(scratch.path, O_RDONLY);
	assert_int_equal(yaml_read(fd, "f", &back, &length, &error), -EISDIR);
	close(fd);
	scratch_fini(&scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trees_follow_the_table),
		cmocka_unit_test(refusals_follow_the_table),
		cmocka_unit_test(places_are_those_of_the_text),
		cmocka_unit_test(a_long_file_name_leaves_the_line),
		cmocka_unit_test(hostile_texts_cost_little),
		cmocka_unit_test(mangled_texts_are_harmless),
		cmocka_unit_test(too_large_a_text_is_refused),
		cmocka_unit_test(files_are_read_whole),
	};

	return cmocka_run_group_tests_name("yaml", tests, NULL, NULL);
}
