/*
 * A depth-first walk over the texts that share a prefix. The sets are small (a dozen file system
 * types, one path), so the texts themselves are the tree.
 */
#include "controller/host/confine/pattern.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define TEXTS_MAXIMUM 64
#define TEXT_MAXIMUM 255
#define LETTERS "-./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"

struct walk {
	const char *const *texts;
	size_t count;
	enum confine_pattern_kind kind;
	struct str *pattern;
	bool has_any; /* an alternative has been written */
};

static void begin_alternative(struct walk *walk, const char *prefix, size_t depth)
{
	str_append(walk->pattern, walk->has_any ? "," : "{");
	str_append_bytes(walk->pattern, prefix, depth);
	walk->has_any = true;
}

/* Whether a text goes on behind the prefix with that letter; it is handed out. */
static const char *find_child(const struct walk *walk, const char *prefix, size_t depth,
			      char letter)
{
	for (size_t i = 0; i < walk->count; i++) {
		if (!strncmp(walk->texts[i], prefix, depth) && walk->texts[i][depth] == letter)
			return walk->texts[i];
	}
	return NULL;
}

/* The letters that stay inside; LETTERS begins with '-', which has to come first in a class. */
static size_t collect_children(const struct walk *walk, const char *prefix, size_t depth,
			       char children[sizeof(LETTERS)])
{
	size_t count = 0;

	for (const char *letter = LETTERS; *letter; letter++) {
		if (find_child(walk, prefix, depth, *letter))
			children[count++] = *letter;
	}
	children[count] = '\0';
	return count;
}

/* prefix is any text that begins so; depth bytes of it count. Bounded by TEXT_MAXIMUM. */
static void visit(struct walk *walk, const char *prefix, size_t depth)
{
	bool is_text = find_child(walk, prefix, depth, '\0') != NULL;
	char children[sizeof(LETTERS)];

	if (is_text && walk->kind == CONFINE_PATTERN_PREFIX)
		return;
	if (!is_text && depth)
		begin_alternative(walk, prefix, depth);
	begin_alternative(walk, prefix, depth);
	if (!collect_children(walk, prefix, depth, children)) {
		str_append(walk->pattern, "?**");
		return;
	}
	str_append(walk->pattern, "[^");
	str_append(walk->pattern, children);
	str_append(walk->pattern, "]**");
	for (const char *letter = children; *letter; letter++)
		visit(walk, find_child(walk, prefix, depth, *letter), depth + 1);
}

int confine_pattern_outside(const char *const *texts, size_t count,
			    enum confine_pattern_kind kind, struct str *pattern)
{
	struct walk walk = { texts, count, kind, pattern, false };

	if (!count || count > TEXTS_MAXIMUM)
		return -EINVAL;
	for (size_t i = 0; i < count; i++) {
		size_t length = strlen(texts[i]);

		if (!length || length > TEXT_MAXIMUM || strspn(texts[i], LETTERS) != length)
			return -EINVAL;
	}
	visit(&walk, texts[0], 0);
	str_append(pattern, "}");
	return 0;
}
