#include "controller/fleet/selector.h"

#include <errno.h>
#include <string.h>

#include "common/str.h"
#include "controller/fleet/check.h"

#define NAME_GLOB_BYTES "abcdefghijklmnopqrstuvwxyz0123456789-*?"

static const char remedy[] = "write names, globs and labels: 'web1,web2', 'web*', "
			     "'role=web,zone!=b'; '*' is all";

static int fail(const char *term, struct ph_error *error, const char *why)
{
	return error_set(error, -EINVAL, NULL, remedy, "selector: '%.80s' %s", term, why);
}

/* Backtracks to the last '*' only: an earlier one cannot do better. */
bool selector_glob(const char *glob, const char *text)
{
	const char *star = NULL, *resume = NULL;

	while (*text) {
		if (*glob == '*') {
			star = glob++;
			resume = text;
		} else if (*glob == '?' || *glob == *text) {
			glob++;
			text++;
		} else if (star) {
			glob = star + 1;
			text = ++resume;
		} else {
			return false;
		}
	}
	while (*glob == '*')
		glob++;
	return *glob == '\0';
}

/* A value as labels have them, where '*' and '?' may stand for anything. */
static bool is_value_glob(const char *value)
{
	char plain[64];
	size_t length = strlen(value);

	if (length == 0 || length >= sizeof(plain))
		return false;
	for (size_t i = 0; i <= length; i++)
		plain[i] = value[i] == '*' || value[i] == '?' ? 'x' : value[i];
	return check_label_value(plain);
}

static int parse_label(const char *text, const char *equals, struct selector_term *term,
		       struct ph_error *error)
{
	bool is_negative = equals > text && equals[-1] == '!';
	size_t length = (size_t)(equals - text) - is_negative;

	term->kind = is_negative ? SELECTOR_NOT_LABEL : SELECTOR_LABEL;
	if (length == 0 || length >= sizeof(term->key))
		return fail(text, error, "has no key before the '='");
	memcpy(term->key, text, length);
	if (!check_label_key(term->key))
		return fail(text, error, "has something before the '=' that is no label's key");
	if (!is_value_glob(equals + 1))
		return fail(text, error, "has something behind the '=' that no label can be");
	text_copy(term->value, sizeof(term->value), equals + 1);
	return 0;
}

static int parse_term(const char *text, struct selector_term *term, struct ph_error *error)
{
	const char *equals = strchr(text, '=');
	bool is_negative = text[0] == '!';
	const char *name = text + is_negative;

	*term = (struct selector_term){ 0 };
	if (equals)
		return parse_label(text, equals, term, error);
	term->kind = is_negative ? SELECTOR_NOT_NAME : SELECTOR_NAME;
	if (!name[0] || strlen(name) >= sizeof(term->value) ||
	    strspn(name, NAME_GLOB_BYTES) != strlen(name))
		return fail(text, error, "is neither a name nor a glob for names");
	text_copy(term->value, sizeof(term->value), name);
	return 0;
}

static int add_term(struct selector *selector, const char *text, const char *begin, size_t length,
		    struct ph_error *error)
{
	char term[144] = { 0 };

	if (length == 0 || length >= sizeof(term))
		return fail(text, error, "has a term that is empty or too long");
	if (selector->count == SELECTOR_TERMS_MAXIMUM)
		return fail(text, error, "has more than 32 terms");
	memcpy(term, begin, length);
	return parse_term(term, &selector->terms[selector->count++], error);
}

int selector_parse(const char *text, struct selector *ret_selector, struct ph_error *error)
{
	struct selector selector = { 0 };

	if (strlen(text) > SELECTOR_TEXT_MAXIMUM)
		return error_set(error, -EINVAL, NULL, "use labels or globs",
				 "selector: longer than %d bytes", SELECTOR_TEXT_MAXIMUM);
	for (const char *rest = text; *text; rest++) {
		size_t length = strcspn(rest, ",");
		int ret = add_term(&selector, text, rest, length, error);

		if (ret < 0)
			return ret;
		rest += length;
		if (!*rest)
			break;
	}
	*ret_selector = selector;
	return 0;
}

static bool label_matches(const struct selector_term *term, Phoenix__Pair *const *labels,
			  size_t label_count)
{
	for (size_t i = 0; i < label_count; i++)
		if (text_equal(labels[i]->key, term->key))
			return selector_glob(term->value, labels[i]->value);
	return false;
}

bool selector_matches(const struct selector *selector, const char *name,
		      Phoenix__Pair *const *labels, size_t label_count)
{
	bool has_names = false, is_named = false;

	for (size_t i = 0; i < selector->count; i++) {
		const struct selector_term *term = &selector->terms[i];

		switch (term->kind) {
		case SELECTOR_NAME:
			has_names = true;
			is_named |= selector_glob(term->value, name);
			break;
		case SELECTOR_NOT_NAME:
			if (selector_glob(term->value, name))
				return false;
			break;
		case SELECTOR_LABEL:
		case SELECTOR_NOT_LABEL:
			if (label_matches(term, labels, label_count) !=
			    (term->kind == SELECTOR_LABEL))
				return false;
		}
	}
	return !has_names || is_named;
}

bool selector_is_name(const struct selector *selector)
{
	return selector->count == 1 && selector->terms[0].kind == SELECTOR_NAME &&
	       strpbrk(selector->terms[0].value, "*?") == NULL;
}
