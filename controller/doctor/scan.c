/*
 * The parser's own message is no help in finding a damaged line: it often names the next file. So
 * each line is read against the few shapes that a tunables file may hold; what is nearly one of them
 * becomes it, and what is none of them becomes a comment. In profiles only the braces that open and
 * close blocks are counted, because a } that is missing there is blamed on whatever is read next.
 */
#include "controller/doctor/scan.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

struct kind_text {
	const char *name, *explanation, *remedy;
	bool silent;
};

static const struct kind_text kinds[] = {
	[DOCTOR_MISSING_AT] = { "missing-at", "a variable is set without its '@'", "write @{NAME}",
				false },
	[DOCTOR_BRACES] = { "braces", "a variable's braces are missing or unbalanced",
			    "write @{NAME}", false },
	[DOCTOR_DOUBLE_EQUALS] = { "double-equals",
				   "'==' sets the variable to a value that begins with '='; the parser is silent",
				   "write a single '='", true },
	[DOCTOR_MISSING_EQUALS] = { "missing-equals", "a variable has a value but no '='",
				    "put '=' between them", false },
	[DOCTOR_SPACING] = { "spacing", "spaces tear a variable or its '+=' apart",
			     "take the spaces out", false },
	[DOCTOR_BOOLEAN] = { "boolean", "'$' sets a boolean, and this is no boolean value",
			     "write @{NAME}", false },
	[DOCTOR_NO_VALUE] = { "no-value", "a variable is set to nothing",
			      "write its value; it cannot be guessed", false },
	[DOCTOR_STRAY] = { "stray-line", "the line is no statement of a tunables file",
			   "make it a comment", false },
	[DOCTOR_UNDECLARED_ADD] = { "undeclared-add",
				    "'+=' adds to a variable that no file declares", "write '='",
				    false },
	[DOCTOR_UNDECLARED_USE] = { "undeclared-use",
				    "a value uses a variable that no file declares; the parser is silent",
				    "declare it, or correct its name", true },
	[DOCTOR_UNCLOSED] = { "unclosed-profile",
			      "a block is opened and never closed; the parser blames what it reads next",
			      "close it with '}'", false },
	[DOCTOR_EXTRA_CLOSE] = { "extra-close", "a '}' closes nothing", "take it out", false },
	[DOCTOR_MISSING_OPEN] = { "missing-open", "a profile begins without its '{'",
				  "put '{' at the end of the line", false },
	[DOCTOR_CRLF] = { "crlf", "the line ends as on Windows", "take the carriage return out",
			  false },
	[DOCTOR_BINARY] = { "binary", "the file is not text",
			    "restore it from its package or a backup", false },
};

/* One line, without its line break, and what it would be without its comment. */
struct line {
	const char *text;
	size_t length;
	size_t number;
	const char *next; /* where the next one begins */
};

bool doctor_is_silent(enum doctor_kind kind)
{
	return kinds[kind].silent;
}

const char *doctor_kind_name(enum doctor_kind kind)
{
	return kinds[kind].name;
}

const char *doctor_explain(enum doctor_kind kind)
{
	return kinds[kind].explanation;
}

const char *doctor_remedy(enum doctor_kind kind)
{
	return kinds[kind].remedy;
}

void doctor_scan_fini(struct doctor_scan *scan)
{
	for (size_t i = 0; i < scan->count; i++)
		free(scan->findings[i].replacement);
	scan->count = 0;
}

static bool line_next(struct line *line, const char *end)
{
	const char *stop;

	if (line->next >= end)
		return false;
	line->text = line->next;
	stop = memchr(line->text, '\n', (size_t)(end - line->text));
	line->length = (size_t)((stop ? stop : end) - line->text);
	line->next = stop ? stop + 1 : end;
	line->number++;
	return true;
}

/* replacement is taken; it may be NULL. */
static void add(struct doctor_scan *scan, enum doctor_kind kind, size_t number, size_t column,
		const char *variable, char *replacement)
{
	struct doctor_finding *finding;

	if (scan->count == DOCTOR_FINDINGS_MAXIMUM) {
		free(replacement);
		return;
	}
	finding = &scan->findings[scan->count++];
	*finding = (struct doctor_finding){ kind, number, column + 1, replacement, "" };
	text_copy(finding->variable, sizeof(finding->variable), variable);
}

static bool is_declared(const char *declared, const char *name)
{
	char word[72];

	snprintf(word, sizeof(word), " %s ", name);
	return strstr(declared, word) != NULL;
}

/* ---- tunables ---- */

/* What a line that sets a variable is made of, however badly. */
struct setting {
	bool at, dollar, open, close, spaced, add, equals;
	size_t signs; /* number of '=' */
	char name[64];
	size_t value; /* where it begins; the line's end: none */
};

static size_t skip_blanks(const char *text, size_t at)
{
	while (text[at] == ' ' || text[at] == '\t')
		at++;
	return at;
}

static size_t read_operator(const char *text, size_t at, struct setting *setting)
{
	size_t start = skip_blanks(text, at);

	at = start;
	while (text[at] == '+' || text[at] == '=') {
		size_t after = skip_blanks(text, at + 1);

		setting->add |= text[at] == '+';
		setting->signs += text[at] == '=';
		setting->spaced |= after != at + 1 && text[after] == '=';
		at = text[after] == '=' ? after : at + 1;
	}
	setting->equals = setting->signs > 0;
	return setting->equals ? skip_blanks(text, at) : start;
}

/* Read a line as a setting; false when no name stands where one must. */
static bool read_setting(const char *text, struct setting *ret_setting)
{
	struct setting setting = { 0 };
	size_t at = skip_blanks(text, 0), length = 0, before;

	if (text[at] == '@' || text[at] == '$') {
		setting.at = text[at] == '@';
		setting.dollar = text[at] == '$';
		before = ++at;
		at = skip_blanks(text, at);
		setting.spaced |= at != before;
	}
	if (text[at] == '{') {
		setting.open = true;
		before = ++at;
		at = skip_blanks(text, at);
		setting.spaced |= at != before;
	}
	if (!isalpha((unsigned char)text[at]) && text[at] != '_')
		return false;
	while ((isalnum((unsigned char)text[at]) || text[at] == '_') &&
	       length + 1 < sizeof(setting.name))
		setting.name[length++] = text[at++];
	before = at;
	if (setting.open)
		at = skip_blanks(text, at);
	if (text[at] == '}') {
		setting.close = true;
		setting.spaced |= at != before;
		at++;
	} else {
		at = before;
	}
	setting.value = read_operator(text, at, &setting);
	*ret_setting = setting;
	return true;
}

static bool is_statement(const char *text)
{
	static const char *const words[] = { "include ", "include\t", "alias ",  "alias\t",
					     "abi ",     "if ",       "include<" };

	text += skip_blanks(text, 0);
	if (!*text || *text == '#')
		return true;
	for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
		if (text_has_prefix(text, words[i]))
			return true;
	return false;
}

static bool is_boolean(const char *value)
{
	return text_has_prefix(value, "true") || text_has_prefix(value, "false");
}

/* The kind of damage; -1: none. */
static int judge(const struct setting *setting, const char *value, const char *declared)
{
	if (setting->dollar)
		return setting->equals && is_boolean(value) ? -1 : DOCTOR_BOOLEAN;
	if (!*value || *value == '#')
		return DOCTOR_NO_VALUE;
	if (!setting->at)
		return setting->equals ? DOCTOR_MISSING_AT : DOCTOR_STRAY;
	if (!setting->open || !setting->close)
		return DOCTOR_BRACES;
	if (!setting->equals)
		return DOCTOR_MISSING_EQUALS;
	if (setting->spaced)
		return DOCTOR_SPACING;
	if (setting->signs > 1)
		return DOCTOR_DOUBLE_EQUALS;
	if (setting->add && declared && !is_declared(declared, setting->name))
		return DOCTOR_UNDECLARED_ADD;
	return -1;
}

static char *make_setting(const struct setting *setting, const char *value, const char *declared)
{
	struct str text = STR_INIT;
	bool adds = setting->add && (!declared || is_declared(declared, setting->name));

	str_appendf(&text, "@{%s}%s%s", setting->name, adds ? "+=" : "=", value);
	return str_take(&text);
}

static void scan_uses(const char *value, size_t offset, size_t number, const char *declared,
		      struct doctor_scan *scan)
{
	for (const char *at = value; declared && (at = strstr(at, "@{")); at += 2) {
		size_t length = strcspn(at + 2, "} \t,\"/");
		char name[64];

		if (at[2 + length] != '}' || length >= sizeof(name))
			continue;
		memcpy(name, at + 2, length);
		name[length] = '\0';
		if (!is_declared(declared, name))
			add(scan, DOCTOR_UNDECLARED_USE, number, offset + (size_t)(at - value),
			    name, NULL);
	}
}

static void scan_tunable(const char *text, size_t number, const char *declared,
			 struct doctor_scan *scan)
{
	struct setting setting;
	size_t column = skip_blanks(text, 0);
	struct str comment = STR_INIT;
	char *replacement = NULL;
	int kind;

	if (is_statement(text))
		return;
	kind = read_setting(text, &setting) ? judge(&setting, text + setting.value, declared) :
					      DOCTOR_STRAY;
	if (kind == DOCTOR_STRAY) {
		str_appendf(&comment, "# %s", text);
		replacement = str_take(&comment);
	} else if (kind >= 0 && kind != DOCTOR_NO_VALUE && setting.value < strlen(text)) {
		replacement = make_setting(&setting, text + setting.value, declared);
	}
	if (kind >= 0)
		add(scan, (enum doctor_kind)kind, number, column,
		    kind == DOCTOR_STRAY ? "" : setting.name, replacement);
	else
		scan_uses(text + setting.value, setting.value, number, declared, scan);
}

/* ---- profiles ---- */

struct blocks {
	size_t depth;
	size_t opened;  /* line of the outermost open block */
	bool at_margin; /* that block began in the first column */
};

/* Cut a comment and blanks from a line's end. */
static void strip(char *text)
{
	size_t length;
	bool quoted = false;

	for (char *at = text; *at; at++) {
		quoted ^= *at == '"';
		if (*at == '#' && !quoted && (at == text || isblank((unsigned char)at[-1]))) {
			*at = '\0';
			break;
		}
	}
	for (length = strlen(text); length && isspace((unsigned char)text[length - 1]); length--)
		text[length - 1] = '\0';
}

static bool opens(const char *text)
{
	size_t length = strlen(text);

	return length && text[length - 1] == '{' &&
	       (length == 1 || isblank((unsigned char)text[length - 2]) || text[length - 2] == ')');
}

static bool begins_profile(const char *text)
{
	return text_has_prefix(text, "profile ") || text_has_prefix(text, "profile\t");
}

static void scan_block(const char *raw, size_t number, struct blocks *blocks,
		       struct doctor_scan *scan)
{
	PH_AUTO_FREE char *copy = strdup(raw);
	PH_AUTO_STR struct str fixed = STR_INIT;
	const char *text;

	if (!copy)
		abort();
	strip(copy);
	text = copy + skip_blanks(copy, 0);
	if (begins_profile(copy) && blocks->depth && blocks->at_margin) {
		str_appendf(&fixed, "}\n\n%s", raw);
		add(scan, DOCTOR_UNCLOSED, number, 0, "", str_take(&fixed));
		blocks->depth = 0;
	}
	if (opens(text)) {
		if (!blocks->depth++) {
			blocks->opened = number;
			blocks->at_margin = copy == text;
		}
	} else if (begins_profile(text) && !text_has_suffix(text, ",") && !strchr(text, '{')) {
		str_appendf(&fixed, "%s {", copy);
		add(scan, DOCTOR_MISSING_OPEN, number, strlen(copy), "", str_take(&fixed));
		blocks->depth++;
	} else if (strcmp(text, "}") == 0) {
		if (blocks->depth) {
			blocks->depth--;
			return;
		}
		str_appendf(&fixed, "# %s", raw);
		add(scan, DOCTOR_EXTRA_CLOSE, number, (size_t)(text - copy), "", str_take(&fixed));
	}
}

/* ---- both ---- */

static bool is_binary(const char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)bytes[i] < ' ' && !isspace((unsigned char)bytes[i]))
			return true;
	return false;
}

static char *line_copy(const struct line *line)
{
	char *text = strndup(line->text, line->length);

	if (!text)
		abort();
	if (line->length && text[line->length - 1] == '\r')
		text[line->length - 1] = '\0';
	return text;
}

static void close_blocks(const struct blocks *blocks, const char *last, size_t number,
			 struct doctor_scan *scan)
{
	PH_AUTO_STR struct str fixed = STR_INIT;

	if (!blocks->depth)
		return;
	str_append(&fixed, last ? last : "");
	for (size_t i = 0; i < blocks->depth && i < DOCTOR_FINDINGS_MAXIMUM; i++)
		str_append(&fixed, "\n}");
	add(scan, DOCTOR_UNCLOSED, number, 0, "", str_take(&fixed));
}

int doctor_scan_text(const char *bytes, size_t size, enum doctor_file file, const char *declared,
		     struct doctor_scan *ret_scan)
{
	struct line line = { .next = bytes };
	struct blocks blocks = { 0 };
	PH_AUTO_FREE char *last = NULL;
	bool continued = false;

	if (size > DOCTOR_TEXT_MAXIMUM)
		return -EFBIG;
	*ret_scan = (struct doctor_scan){ 0 };
	if (is_binary(bytes, size)) {
		add(ret_scan, DOCTOR_BINARY, 1, 0, "", NULL);
		return 0;
	}
	while (size && line_next(&line, bytes + size)) {
		size_t before = ret_scan->count;

		free(last);
		last = line_copy(&line);
		if (file == DOCTOR_PROFILES)
			scan_block(last, line.number, &blocks, ret_scan);
		else if (!continued)
			scan_tunable(last, line.number, declared, ret_scan);
		continued = text_has_suffix(last, "\\");
		if (line.length != strlen(last) && ret_scan->count == before)
			add(ret_scan, DOCTOR_CRLF, line.number, strlen(last), "", strdup(last));
	}
	close_blocks(&blocks, last, line.number, ret_scan);
	return 0;
}

void doctor_declared(const char *bytes, size_t size, struct str *names)
{
	struct line line = { .next = bytes };

	if (size > DOCTOR_TEXT_MAXIMUM || is_binary(bytes, size))
		return;
	while (size && line_next(&line, bytes + size)) {
		PH_AUTO_FREE char *text = line_copy(&line);
		struct setting setting;

		if (!is_statement(text) && read_setting(text, &setting) && !setting.add &&
		    (setting.at || setting.equals))
			str_appendf(names, " %s ", setting.name);
	}
}

static const struct doctor_finding *finding_at(const struct doctor_scan *scan, size_t number)
{
	for (size_t i = scan->count; i > 0; i--)
		if (scan->findings[i - 1].line == number && scan->findings[i - 1].replacement)
			return &scan->findings[i - 1];
	return NULL;
}

void doctor_apply(const char *bytes, size_t size, const struct doctor_scan *scan, struct str *text)
{
	struct line line = { .next = bytes };

	while (size && line_next(&line, bytes + size)) {
		const struct doctor_finding *finding = finding_at(scan, line.number);

		if (finding)
			str_append(text, finding->replacement);
		else
			str_append_bytes(text, line.text, line.length);
		if (line.next > line.text + line.length ||
		    (finding && finding->kind == DOCTOR_UNCLOSED))
			str_append(text, "\n");
	}
}

/* Every finding is one line that becomes others, so hunks without context need no comparison. */
void doctor_diff(const char *path, const char *old, size_t old_size, const struct doctor_scan *scan,
		 struct str *diff)
{
	struct line line = { .next = old };
	size_t grown = 0;

	str_appendf(diff, "--- a/%s\n+++ b/%s\n", path, path);
	while (old_size && line_next(&line, old + old_size)) {
		const struct doctor_finding *finding = finding_at(scan, line.number);
		size_t lines = 1;

		if (!finding)
			continue;
		for (const char *at = finding->replacement; (at = strchr(at, '\n')); at++)
			lines++;
		str_appendf(diff, "@@ -%zu,1 +%zu,%zu @@\n-", line.number, line.number + grown,
			    lines);
		str_append_bytes(diff, line.text, line.length);
		str_append(diff, "\n+");
		for (const char *at = finding->replacement; *at; at++)
			str_appendf(diff, *at == '\n' ? "\n+" : "%c", *at);
		str_append(diff, "\n");
		grown += lines - 1;
	}
}
