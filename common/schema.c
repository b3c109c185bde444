#include "common/schema.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"

#define WORD_MAXIMUM 48 /* longer words are not compared */
#define SIZE_MAXIMUM (UINT64_C(1) << 60)
#define CPUS_MAXIMUM 1024

int schema_error(const struct yaml_node *node, struct ph_error *error, const char *remedy,
		 const char *why, ...)
{
	char text[400];
	va_list arguments;

	va_start(arguments, why);
	vsnprintf(text, sizeof(text), why, arguments);
	va_end(arguments);
	return yaml_error(node->file, node->line, node->column, error, remedy, "%s", text);
}

static size_t smallest(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

/* Edits between two words: insert, delete, replace, and swap of two neighbours. */
static size_t distance(const char *left, const char *right)
{
	size_t rows[WORD_MAXIMUM + 1][WORD_MAXIMUM + 1];
	size_t height = strlen(left), width = strlen(right);

	for (size_t i = 0; i <= height; i++)
		rows[i][0] = i;
	for (size_t j = 0; j <= width; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= height; i++) {
		for (size_t j = 1; j <= width; j++) {
			size_t replace = left[i - 1] != right[j - 1];
			size_t least = smallest(rows[i - 1][j] + 1, rows[i][j - 1] + 1,
						rows[i - 1][j - 1] + replace);

			if (i > 1 && j > 1 && left[i - 1] == right[j - 2] &&
			    left[i - 2] == right[j - 1] && rows[i - 2][j - 2] + 1 < least)
				least = rows[i - 2][j - 2] + 1;
			rows[i][j] = least;
		}
	}
	return rows[height][width];
}

const char *schema_suggest(const char *word, const char *const *candidates)
{
	size_t length = strlen(word);
	size_t best_distance = length / 3 + 1; /* more than a third wrong is another word */
	const char *best = NULL;

	if (length > WORD_MAXIMUM)
		return NULL;
	for (; *candidates; candidates++) {
		size_t edits;

		if (strlen(*candidates) > WORD_MAXIMUM)
			continue;
		edits = distance(word, *candidates);
		if (length >= 3 && text_has_prefix(*candidates, word))
			edits = 1; /* an abbreviation is as near as one slip */
		if (edits < best_distance || (edits == best_distance && !best)) {
			best_distance = edits;
			best = *candidates;
		}
	}
	return best;
}

static void append_words(struct str *text, const char *const *words)
{
	for (size_t i = 0; words[i]; i++)
		str_appendf(text, "%s%s", i ? ", " : "", words[i]);
}

/* "…; did you mean 'memory'?" behind a message, and all words in the remedy. */
static int fail_with_words(const struct yaml_node *node, const char *const *words,
			   const char *remedy, struct ph_error *error, const char *why)
{
	const char *suggestion = schema_suggest(node->text, words);
	PH_AUTO_STR struct str all = STR_INIT;

	str_append(&all, remedy);
	append_words(&all, words);
	return schema_error(node, error, str_text(&all), "%s%s%s%s", why,
			    suggestion ? "; did you mean '" : "", suggestion ? suggestion : "",
			    suggestion ? "'?" : "");
}

static const char *kind_name(const struct yaml_node *node)
{
	static const char *const names[] = { "a value", "a list", "a map" };

	return names[node->kind];
}

/* A scalar that is YAML's null: "key:" or "key: ~". */
static bool is_null(const struct yaml_node *node)
{
	return node->kind == YAML_SCALAR && node->plain &&
	       (node->text[0] == '\0' || strcmp(node->text, "~") == 0 ||
		strcmp(node->text, "null") == 0);
}

/* "key 'pids' must be WANTED, not 'many'" */
static int fail_wanted(const struct yaml_node *node, const char *key, const char *wanted,
		       const char *remedy, struct ph_error *error)
{
	if (node->kind != YAML_SCALAR)
		return schema_error(node, error, remedy, "key '%s' must be %s, not %s", key, wanted,
				    kind_name(node));
	if (is_null(node))
		return schema_error(node, error, remedy, "key '%s' must be %s, but has no value",
				    key, wanted);
	return schema_error(node, error, remedy, "key '%s' must be %s, not %s'%.60s'", key, wanted,
			    node->plain ? "" : "the quoted text ", node->text);
}

const struct yaml_node *schema_find(const struct yaml_node *map, const char *key)
{
	if (!map || map->kind != YAML_MAP)
		return NULL;
	for (size_t i = 0; i < map->count; i++)
		if (strcmp(map->keys[i]->text, key) == 0)
			return map->items[i];
	return NULL;
}

static bool is_listed(const char *word, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(word, *words) == 0)
			return true;
	return false;
}

int schema_check_keys(const struct yaml_node *node, const char *what, const char *const *keys,
		      struct ph_error *error)
{
	if (node->kind != YAML_MAP)
		return schema_error(node, error, "write it as lines of 'key: value'",
				    "%s must be a map, not %s", what, kind_name(node));
	for (size_t i = 0; i < node->count; i++) {
		char why[120];

		if (is_listed(node->keys[i]->text, keys))
			continue;
		snprintf(why, sizeof(why), "key '%.60s' is not known here", node->keys[i]->text);
		return fail_with_words(node->keys[i], keys, "keys that are known here: ", error,
				       why);
	}
	return 0;
}

static int get_container(const struct yaml_node *map, const char *key, enum yaml_kind kind,
			 const char *wanted, const struct yaml_node **ret_node,
			 struct ph_error *error)
{
	const struct yaml_node *node = schema_find(map, key);

	if (!node || is_null(node))
		return SCHEMA_ABSENT;
	if (node->kind != kind)
		return fail_wanted(node, key, wanted, NULL, error);
	*ret_node = node;
	return 0;
}

int schema_get_map(const struct yaml_node *map, const char *key, const struct yaml_node **ret_map,
		   struct ph_error *error)
{
	return get_container(map, key, YAML_MAP, "a map", ret_map, error);
}

int schema_get_list(const struct yaml_node *map, const char *key, const struct yaml_node **ret_list,
		    struct ph_error *error)
{
	return get_container(map, key, YAML_LIST, "a list", ret_list, error);
}

int schema_read_text(const struct yaml_node *node, const char *key, size_t maximum,
		     const char **ret_text, struct ph_error *error)
{
	if (node->kind != YAML_SCALAR || is_null(node))
		return fail_wanted(node, key, "a text", NULL, error);
	if (node->text[0] == '\0')
		return schema_error(node, error, "leave the key out to have the default",
				    "key '%s' is an empty text", key);
	if (strlen(node->text) > maximum)
		return schema_error(node, error, NULL, "key '%s' is longer than %zu bytes", key,
				    maximum);
	*ret_text = node->text;
	return 0;
}

int schema_get_text(const struct yaml_node *map, const char *key, size_t maximum,
		    const char **ret_text, struct ph_error *error)
{
	const struct yaml_node *node = schema_find(map, key);

	return node ? schema_read_text(node, key, maximum, ret_text, error) : SCHEMA_ABSENT;
}

int schema_get_name(const struct yaml_node *map, const char *key, const char **ret_name,
		    struct ph_error *error)
{
	const struct yaml_node *node = schema_find(map, key);

	if (!node)
		return SCHEMA_ABSENT;
	if (node->kind != YAML_SCALAR || !name_is_valid(node->text))
		return fail_wanted(node, key, "a name",
				   "a name is 1 to 63 of a-z, 0-9 and '-', and does not begin "
				   "with '-'",
				   error);
	*ret_name = node->text;
	return 0;
}

int schema_get_word(const struct yaml_node *map, const char *key, const char *const *words,
		    size_t *ret_index, struct ph_error *error)
{
	const struct yaml_node *node = schema_find(map, key);
	char why[120];

	if (!node)
		return SCHEMA_ABSENT;
	if (node->kind != YAML_SCALAR || is_null(node))
		return fail_wanted(node, key, "a word", NULL, error);
	for (size_t i = 0; words[i]; i++) {
		if (strcmp(node->text, words[i]) == 0) {
			*ret_index = i;
			return 0;
		}
	}
	snprintf(why, sizeof(why), "key '%s' cannot be '%.40s'", key, node->text);
	return fail_with_words(node, words, "it is one of: ", error, why);
}

int schema_get_bool(const struct yaml_node *map, const char *key, bool *ret_value,
		    struct ph_error *error)
{
	const struct yaml_node *node = schema_find(map, key);
	bool value;

	if (!node)
		return SCHEMA_ABSENT;
	value = node->kind == YAML_SCALAR && strcmp(node->text, "true") == 0;
	if (node->kind != YAML_SCALAR || !node->plain ||
	    (!value && strcmp(node->text, "false") != 0))
		return fail_wanted(node, key, "true or false", "write true or false, unquoted",
				   error);
	*ret_value = value;
	return 0;
}

int schema_get_integer(const struct yaml_node *map, const char *key, uint64_t minimum,
		       uint64_t maximum, uint64_t *ret_value, struct ph_error *error)
{
	const struct yaml_node *node = schema_find(map, key);
	uint64_t value = 0;
	char wanted[80];

	if (!node)
		return SCHEMA_ABSENT;
	if (node->kind != YAML_SCALAR || !node->plain ||
	    text_to_u64(node->text, maximum, &value) < 0 || value < minimum) {
		snprintf(wanted, sizeof(wanted), "a whole number from %llu to %llu",
			 (unsigned long long)minimum, (unsigned long long)maximum);
		return fail_wanted(node, key, wanted, "write the number unquoted", error);
	}
	*ret_value = value;
	return 0;
}

struct unit {
	const char *name;
	unsigned int shift;
};

static const struct unit units[] = {
	{ "", 0 }, { "KiB", 10 }, { "MiB", 20 }, { "GiB", 30 }, { "TiB", 40 },
};

static int parse_size(const char *text, uint64_t *ret_bytes)
{
	size_t digits = strspn(text, "0123456789");
	char number[24];
	uint64_t value;

	if (digits == 0 || digits >= sizeof(number))
		return -EINVAL;
	memcpy(number, text, digits);
	number[digits] = '\0';
	for (size_t i = 0; i < ARRAY_LENGTH(units); i++) {
		if (strcmp(text + digits, units[i].name) != 0)
			continue;
		if (text_to_u64(number, SIZE_MAXIMUM >> units[i].shift, &value) < 0)
			return -EINVAL;
		*ret_bytes = value << units[i].shift;
		return 0;
	}
	return -EINVAL;
}

int schema_get_size(const struct yaml_node *map, const char *key, uint64_t *ret_bytes,
		    struct ph_error *error)
{
	const struct yaml_node *node = schema_find(map, key);

	if (!node)
		return SCHEMA_ABSENT;
	if (node->kind != YAML_SCALAR || parse_size(node->text, ret_bytes) < 0)
		return fail_wanted(node, key, "a size",
				   "write a whole number with KiB, MiB, GiB or TiB (512MiB), or "
				   "plain bytes",
				   error);
	return 0;
}

/* "D", "D.D" or "D.DD" as hundredths. */
static int parse_hundredths(const char *text, uint64_t maximum, uint32_t *ret_value)
{
	size_t digits = strspn(text, "0123456789");
	const char *fraction = text + digits;
	uint64_t whole, hundredths = 0;
	char number[8];

	if (digits == 0 || digits >= sizeof(number))
		return -EINVAL;
	memcpy(number, text, digits);
	number[digits] = '\0';
	if (text_to_u64(number, maximum, &whole) < 0)
		return -EINVAL;
	if (*fraction == '.') {
		size_t length = strlen(++fraction);

		if (length > 2 || text_to_u64(fraction, 99, &hundredths) < 0)
			return -EINVAL;
		hundredths *= length == 1 ? 10 : 1;
	} else if (*fraction) {
		return -EINVAL;
	}
	*ret_value = (uint32_t)(whole * 100 + hundredths);
	return 0;
}

int schema_get_cpus(const struct yaml_node *map, const char *key, uint32_t *ret_percent,
		    struct ph_error *error)
{
	const struct yaml_node *node = schema_find(map, key);
	uint32_t percent = 0;

	if (!node)
		return SCHEMA_ABSENT;
	if (node->kind != YAML_SCALAR || !node->plain ||
	    parse_hundredths(node->text, CPUS_MAXIMUM, &percent) < 0 ||
	    percent > CPUS_MAXIMUM * 100)
		return fail_wanted(node, key, "a number of processors",
				   "write 2, 1.5 or 0.25: at most 1024, two decimals", error);
	*ret_percent = percent;
	return 0;
}

int schema_get_ipv4(const struct yaml_node *map, const char *key, uint32_t *ret_address,
		    struct ph_error *error)
{
	const struct yaml_node *node = schema_find(map, key);

	if (!node)
		return SCHEMA_ABSENT;
	if (node->kind != YAML_SCALAR || text_to_ipv4(node->text, ret_address) < 0)
		return fail_wanted(node, key, "an IPv4 address", "write it as 10.209.0.20", error);
	return 0;
}

/* Split "A.B.C.D/N". */
static int parse_subnet(const char *text, uint32_t minimum, uint32_t maximum, uint32_t *ret_address,
			uint32_t *ret_prefix_length)
{
	const char *slash = strchr(text, '/');
	char address[16];
	uint64_t prefix_length;

	if (!slash || (size_t)(slash - text) >= sizeof(address))
		return -EINVAL;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = '\0';
	if (text_to_ipv4(address, ret_address) < 0 ||
	    text_to_u64(slash + 1, maximum, &prefix_length) < 0 || prefix_length < minimum)
		return -EINVAL;
	*ret_prefix_length = (uint32_t)prefix_length;
	return 0;
}

int schema_get_subnet(const struct yaml_node *map, const char *key, uint32_t minimum,
		      uint32_t maximum, uint32_t *ret_subnet, uint32_t *ret_prefix_length,
		      struct ph_error *error)
{
	const struct yaml_node *node = schema_find(map, key);
	uint32_t address, prefix_length, mask;
	char wanted[80], subnet[16], remedy[80];

	if (!node)
		return SCHEMA_ABSENT;
	if (node->kind != YAML_SCALAR ||
	    parse_subnet(node->text, minimum, maximum, &address, &prefix_length) < 0) {
		snprintf(wanted, sizeof(wanted), "an IPv4 network with /%u to /%u", minimum,
			 maximum);
		return fail_wanted(node, key, wanted, "write it as 10.209.0.0/16", error);
	}
	mask = prefix_length ? UINT32_MAX << (32 - prefix_length) : 0;
	if (address & ~mask) {
		snprintf(remedy, sizeof(remedy), "write %s/%u",
			 ipv4_to_text(address & mask, subnet), prefix_length);
		return schema_error(node, error, remedy,
				    "key '%s': '%s' is an address within its network", key,
				    node->text);
	}
	*ret_subnet = address;
	*ret_prefix_length = prefix_length;
	return 0;
}

static bool is_path_byte(char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
	       (byte >= '0' && byte <= '9') || (byte != '\0' && strchr("/._+@-", byte));
}

/* Whether a path has an empty, "." or ".." component, or ends in '/'. */
static bool has_odd_component(const char *path)
{
	while (*path == '/') {
		size_t length = strcspn(++path, "/");

		if (length == 0 || (length == 1 && path[0] == '.') ||
		    (length == 2 && path[0] == '.' && path[1] == '.'))
			return true;
		path += length;
	}
	return false;
}

int schema_get_path(const struct yaml_node *map, const char *key, size_t maximum,
		    const char **ret_path, struct ph_error *error)
{
	const struct yaml_node *node = schema_find(map, key);

	return node ? schema_read_path(node, key, maximum, ret_path, error) : SCHEMA_ABSENT;
}

int schema_read_path(const struct yaml_node *node, const char *key, size_t maximum,
		     const char **ret_path, struct ph_error *error)
{
	const char *path = NULL;
	int ret = schema_read_text(node, key, maximum, &path, error);

	if (ret < 0)
		return ret;
	if (path[0] != '/' || has_odd_component(path))
		return fail_wanted(node, key, "an absolute path",
				   "begin it with '/', without '..', '//' and a '/' at the end",
				   error);
	for (const char *byte = path; *byte; byte++)
		if (!is_path_byte(*byte))
			return fail_wanted(node, key, "a path of letters, digits and /._+@-",
					   "it goes into mount options, where other bytes mean "
					   "something",
					   error);
	*ret_path = path;
	return 0;
}
