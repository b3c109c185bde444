/*
 * A rule is judged by what it matches, not by how it is spelt: its pattern is tried on the paths that
 * runc opens, and on a made-up name in each directory, which only a glob can match. So rules that name
 * single sysctls, as ours do, are none of its business.
 */
#include "controller/host/confine/clash.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"

#define STEPS_MAXIMUM 200000
#define EXPANSIONS_MAXIMUM 64
#define PERMISSIONS "rwaxlkmuUpPcCi"

/* What Docker and Kubernetes let a container set, and a name that is nowhere in every directory. */
static const char *const SYSCTLS[] = {
	"/sys/net/ipv4/ip_unprivileged_port_start",
	"/sys/net/ipv4/ping_group_range",
	"/sys/net/ipv4/ip_forward",
	"/sys/net/ipv6/conf/all/disable_ipv6",
	"/sys/net/core/somaxconn",
	"/sys/kernel/shmmax",
	"/sys/kernel/shmall",
	"/sys/kernel/shmmni",
	"/sys/kernel/shm_rmid_forced",
	"/sys/kernel/msgmax",
	"/sys/kernel/msgmnb",
	"/sys/kernel/msgmni",
	"/sys/kernel/sem",
	"/sys/kernel/hostname",
	"/sys/kernel/domainname",
	"/sys/fs/mqueue/msg_max",
	"/sys/fs/mqueue/queues_max",
	"/sys/abi/any_other_name",
	"/sys/debug/any_other_name",
	"/sys/dev/any_other_name",
	"/sys/fs/any_other_name",
	"/sys/kernel/any_other_name",
	"/sys/net/any_other_name",
	"/sys/user/any_other_name",
	"/sys/vm/any_other_name",
};

struct variable {
	char *name;         /* owned */
	struct str pattern; /* its values, comma-separated: the inside of an alternation */
};

struct scan {
	const char *at;
	unsigned int line;
	struct variable *variables; /* owned */
	size_t count;
	unsigned int steps; /* of matching, for the pattern at hand */
};

static void scan_fini(struct scan *scan)
{
	for (size_t i = 0; i < scan->count; i++) {
		free(scan->variables[i].name);
		str_fini(&scan->variables[i].pattern);
	}
	free(scan->variables);
}

/* --- patterns --------------------------------------------------------------------------------- */

/* Behind the bracket that closes the one at open; NULL when none does. */
static const char *behind_close(const char *open, char opening, char closing)
{
	int depth = 0;

	for (const char *at = open; *at; at++) {
		if (*at == '\\' && at[1])
			at++;
		else if (*at == opening)
			depth++;
		else if (*at == closing && !--depth)
			return at + 1;
	}
	return NULL;
}

static bool class_has(const char *class, const char *end, char wanted)
{
	bool negated = *class == '^';
	bool found = false;

	for (class += negated; class < end; class++) {
		if (class + 2 < end && class[1] == '-') {
			found |= class[0] <= wanted && wanted <= class[2];
			class += 2;
		} else {
			found |= *class == wanted;
		}
	}
	return found != negated;
}

static bool matches(struct scan *scan, const char *pattern, const char *path);

/* "{a,b}rest": each branch with the rest behind it. */
static bool matches_alternation(struct scan *scan, const char *pattern, const char *path)
{
	const char *rest = behind_close(pattern, '{', '}');
	const char *branch = pattern + 1;
	int depth = 0;

	if (!rest)
		return false;
	for (const char *at = branch; at < rest; at++) {
		bool is_end = at == rest - 1 || (*at == ',' && !depth);

		if (is_end) {
			PH_AUTO_FREE char *whole = ph_format("%.*s%s", (int)(at - branch), branch, rest);

			if (matches(scan, whole, path))
				return true;
			branch = at + 1;
		}
		depth += *at == '{' ? 1 : *at == '}' ? -1 : 0;
	}
	return false;
}

/* "*" stays within a name, "**" does not. */
static bool matches_star(struct scan *scan, const char *pattern, const char *path)
{
	bool is_deep = pattern[1] == '*';
	const char *rest = pattern + 1 + is_deep;

	for (;; path++) {
		if (matches(scan, rest, path))
			return true;
		if (!*path || (*path == '/' && !is_deep))
			return false;
	}
}

static bool matches(struct scan *scan, const char *pattern, const char *path)
{
	if (scan->steps >= STEPS_MAXIMUM)
		return false;
	scan->steps++;
	if (!*pattern)
		return !*path;
	if (*pattern == '{')
		return matches_alternation(scan, pattern, path);
	if (*pattern == '*')
		return matches_star(scan, pattern, path);
	if (!*path)
		return false;
	if (*pattern == '[') {
		const char *end = behind_close(pattern, '[', ']');

		return end && class_has(pattern + 1, end - 1, *path) && matches(scan, end, path + 1);
	}
	if (*pattern == '?')
		return *path != '/' && matches(scan, pattern + 1, path + 1);
	if (*pattern == '\\' && pattern[1])
		pattern++;
	return *pattern == *path && matches(scan, pattern + 1, path + 1);
}

/* --- variables -------------------------------------------------------------------------------- */

/* The values of a variable; Debian's own tunables where the text sets none. NULL: unknown. */
static const char *variable_values(const struct scan *scan, const char *name)
{
	for (size_t i = 0; i < scan->count; i++) {
		if (text_equal(scan->variables[i].name, name))
			return str_text(&scan->variables[i].pattern);
	}
	if (text_equal(name, "PROC"))
		return "/proc/";
	return text_equal(name, "sys") ? "/sys/" : NULL;
}

/* "@{NAME}" replaced until there is none left. False for a variable that nobody sets. */
static bool expand(const struct scan *scan, const char *pattern, struct str *ret_pattern)
{
	PH_AUTO_FREE char *current = ph_strdup(pattern);

	for (int round = 0; round < EXPANSIONS_MAXIMUM; round++) {
		char *mark = strstr(current, "@{");
		char *end = mark ? strchr(mark, '}') : NULL;
		PH_AUTO_FREE char *name = NULL;
		const char *values;
		char *next;

		if (!end) {
			/* A variable that ends in a slash and "/x" behind it make one slash. */
			for (const char *at = current; *at; at++) {
				if (at[0] != '/' || at[1] != '/')
					str_append_bytes(ret_pattern, at, 1);
			}
			return true;
		}
		name = ph_strndup(mark + 2, (size_t)(end - mark - 2));
		values = variable_values(scan, name);
		if (!values || strlen(current) > 65536)
			return false;
		/* One value needs no braces, and its slash can then meet the next one. */
		next = strchr(values, ',') ?
			       ph_format("%.*s{%s}%s", (int)(mark - current), current, values, end + 1) :
			       ph_format("%.*s%s%s", (int)(mark - current), current, values, end + 1);
		free(current);
		current = next;
	}
	return false;
}

/* "@{NAME}=a b" or "+=" in this line. False when it is none. */
static bool take_variable(struct scan *scan, const char *line, size_t length)
{
	const char *end = memchr(line, '}', length);
	const char *at = end ? end + 1 : line;
	struct variable *variable;

	if (!text_has_prefix(line, "@{") || !end)
		return false;
	at += strspn(at, " \t");
	at += *at == '+';
	if (*at++ != '=')
		return false;
	scan->variables = ph_realloc(scan->variables, (scan->count + 1) * sizeof(*variable));
	variable = &scan->variables[scan->count++];
	*variable = (struct variable){ .name = ph_strndup(line + 2, (size_t)(end - line - 2)) };
	while (at < line + length) {
		size_t word = strcspn(at, " \t\n");

		if (word && variable->pattern.length)
			str_append(&variable->pattern, ",");
		for (size_t i = 0; i < word; i++) {
			if (at[i] != '"')
				str_append_bytes(&variable->pattern, at + i, 1);
		}
		at += word + (at + word < line + length);
	}
	return true;
}

/* --- rules ------------------------------------------------------------------------------------ */

/* The next word of a rule, which is changed: ends it. Blanks in quotes and brackets are its own. */
static char *next_word(char **at)
{
	char *word = *at + strspn(*at, " \t\n");
	bool is_quoted = *word == '"';
	char *end = is_quoted ? strchr(word + 1, '"') : word + strcspn(word, " \t\n");

	if (!*word)
		return NULL;
	if (!end)
		end = word + strlen(word);
	*at = *end ? end + 1 : end;
	*end = '\0';
	return word + is_quoted;
}

static bool is_permissions(const char *word)
{
	return *word && strspn(word, PERMISSIONS) == strlen(word);
}

static bool is_qualifier(const char *word)
{
	return text_equal(word, "audit") || text_equal(word, "owner") || text_equal(word, "other") ||
	       text_equal(word, "quiet") || text_equal(word, "file") ||
	       text_has_prefix(word, "priority=");
}

/* The pattern that a rule keeps from being written; NULL when it is no such rule. Changes the rule. */
static const char *denied_pattern(char *rule)
{
	bool is_denied = false;
	bool is_file = false;
	char *word = next_word(&rule);
	char *second;

	for (; word && (is_qualifier(word) || text_equal(word, "deny")); word = next_word(&rule)) {
		is_denied |= text_equal(word, "deny");
		is_file |= text_equal(word, "file");
	}
	if (!is_denied)
		return NULL;
	if (!word)
		return is_file ? "/**" : NULL;
	second = next_word(&rule);
	if (!second)
		return NULL;
	if (strchr("/@{[", *word) && is_permissions(second))
		return strchr(second, 'w') ? word : NULL;
	if (is_permissions(word) && strchr("/@{[", *second))
		return strchr(word, 'w') ? second : NULL;
	return NULL;
}

static int judge_rule(struct scan *scan, const char *rule, size_t length, unsigned int line,
		      struct confine_clash *ret_clash)
{
	PH_AUTO_FREE char *words = ph_strndup(rule, length);
	PH_AUTO_STR struct str expanded = STR_INIT;
	const char *pattern = denied_pattern(words);
	int code = 0;

	if (!pattern || !expand(scan, pattern, &expanded))
		return 0;
	for (size_t i = 0; i < ARRAY_LENGTH(SYSCTLS) && !code; i++) {
		ret_clash->sysctl = SYSCTLS[i];
		scan->steps = 0;
		if (matches(scan, str_text(&expanded), SYSCTLS[i]))
			code = 1;
		else if (scan->steps >= STEPS_MAXIMUM)
			code = -E2BIG;
	}
	if (code < 0)
		ret_clash->sysctl = NULL;
	if (code) {
		PH_AUTO_FREE char *text = ph_strndup(rule, length);

		ret_clash->line = line;
		strncpy(ret_clash->rule, text, sizeof(ret_clash->rule) - 1);
	}
	return code;
}

/* The length of what begins here: up to the comma, brace or bracket of a block that ends it. */
static size_t rule_length(const char *rule)
{
	int depth = 0;
	bool is_quoted = false;
	const char *at = rule;

	for (; *at; at++) {
		if (*at == '\\' && at[1])
			at++;
		else if (*at == '"')
			is_quoted = !is_quoted;
		else if (is_quoted)
			continue;
		else if (*at == '[' && behind_close(at, '[', ']'))
			at = behind_close(at, '[', ']') - 1;
		else if (*at == '{' && !depth && (!at[1] || isspace((unsigned char)at[1])))
			break; /* a block: "profile x {" */
		else if (*at == '{')
			depth++;
		else if (*at == '}' && !depth)
			break;
		else if (*at == '}')
			depth--;
		else if (*at == ',' && !depth)
			break;
	}
	return (size_t)(at - rule);
}

/* Past blanks and comments; "#include" is one for this purpose. */
static void skip_blanks(struct scan *scan)
{
	for (;; scan->at++) {
		if (*scan->at == '#')
			scan->at += strcspn(scan->at, "\n");
		if (!*scan->at || !isspace((unsigned char)*scan->at))
			return;
		scan->line += *scan->at == '\n';
	}
}

int confine_clash_find(const char *text, struct confine_clash *ret_clash)
{
	__attribute__((cleanup(scan_fini))) struct scan scan = { .at = text, .line = 1 };
	int code = 0;

	*ret_clash = (struct confine_clash){ 0 };
	for (skip_blanks(&scan); *scan.at && !code; skip_blanks(&scan)) {
		size_t length = strcspn(scan.at, "\n");

		if (!take_variable(&scan, scan.at, length)) {
			length = rule_length(scan.at);
			code = judge_rule(&scan, scan.at, length, scan.line, ret_clash);
			length += scan.at[length] != '\0';
		}
		for (; length; length--)
			scan.line += *scan.at++ == '\n';
	}
	if (!code)
		*ret_clash = (struct confine_clash){ 0 };
	return code;
}

int confine_clash_refuse(const char *place, const struct confine_clash *clash,
			 struct ph_error *error)
{
	if (!clash->sysctl)
		return error_set(error, -EINVAL, place, "write the rule with fewer alternatives",
				 "\"%s\" is too involved to be judged", clash->rule);
	return error_set(error, -EINVAL, place,
			 "name the files that are meant: a glob below /sys also matches /proc/sys",
			 "\"%s\" would break docker run: runc writes /proc%s as \"%s\"", clash->rule,
			 clash->sysctl, clash->sysctl);
}
