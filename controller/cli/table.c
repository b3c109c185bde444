#include "controller/cli/table.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"

/* Take the first character of a text that is not empty; its bytes, 0 when they are no UTF-8. */
static size_t decode(const char *text, uint32_t *ret_character)
{
	static const unsigned char masks[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	size_t length = text_character(text);
	uint32_t character = (unsigned char)text[0] & masks[length];

	for (size_t i = 1; i < length; i++)
		character = character << 6 | ((unsigned char)text[i] & 0x3f);
	*ret_character = character;
	return length;
}

struct range {
	uint32_t first, last;
};

/* What nearly every character is: it takes a column, and hides nothing. */
static bool is_plain(uint32_t character)
{
	return character >= 0x20 && character < 0x7f;
}

static bool is_in(uint32_t character, const struct range *ranges, size_t count)
{
	if (is_plain(character))
		return false;
	for (size_t i = 0; i < count; i++)
		if (character >= ranges[i].first && character <= ranges[i].last)
			return true;
	return false;
}

/* Controls, and what is invisible or reorders text: a name could disguise itself with them. */
static const struct range dangerous[] = {
	{ 0, 0x1f },          /* C0 */
	{ 0x7f, 0x9f },       /* DEL, C1: 0x9b begins an escape sequence by itself */
	{ 0xad, 0xad },       /* soft hyphen */
	{ 0x61c, 0x61c },     /* Arabic letter mark */
	{ 0x115f, 0x1160 },   /* Hangul fillers */
	{ 0x180e, 0x180e },   /* Mongolian vowel separator */
	{ 0x200b, 0x200f },   /* zero width, left-to-right and right-to-left marks */
	{ 0x2028, 0x202e },   /* line and paragraph ends, embeddings, overrides */
	{ 0x2060, 0x206f },   /* invisible operators, isolates */
	{ 0x3164, 0x3164 },   /* Hangul filler */
	{ 0xfeff, 0xfeff },   /* byte order mark */
	{ 0xfff9, 0xfffb },   /* interlinear annotations */
	{ 0xe0000, 0xe0fff }, /* tags and variation selectors */
};

/* Characters that take two columns: East Asian wide and full-width, pictures. */
static const struct range wide[] = {
	{ 0x1100, 0x115e },   { 0x2e80, 0x303e },   { 0x3041, 0xa4cf },   { 0xac00, 0xd7a3 },
	{ 0xf900, 0xfaff },   { 0xfe30, 0xfe6f },   { 0xff00, 0xff60 },   { 0xffe0, 0xffe6 },
	{ 0x1f300, 0x1f64f }, { 0x1f680, 0x1f6ff }, { 0x1f900, 0x1faff }, { 0x20000, 0x3fffd },
};

/* Marks that stand on the character before them. */
static const struct range combining[] = {
	{ 0x300, 0x36f },   { 0x483, 0x489 },   { 0x591, 0x5bd },
	{ 0x64b, 0x65f },   { 0x1ab0, 0x1aff }, { 0x1dc0, 0x1dff },
	{ 0x20d0, 0x20ff }, { 0xfe00, 0xfe0f }, { 0xfe20, 0xfe2f },
};

static size_t width_of(uint32_t character)
{
	if (is_in(character, combining, ARRAY_LENGTH(combining)))
		return 0;
	return is_in(character, wide, ARRAY_LENGTH(wide)) ? 2 : 1;
}

char *text_clean(const char *text)
{
	struct str clean = STR_INIT;

	for (size_t length; text && *text; text += length ? length : 1) {
		uint32_t character;

		length = decode(text, &character);
		if (length == 0 || is_in(character, dangerous, ARRAY_LENGTH(dangerous)))
			str_append(&clean, "?");
		else
			str_append_bytes(&clean, text, length);
	}
	return str_take(&clean);
}

size_t text_width(const char *text)
{
	size_t width = 0;

	for (size_t length; *text; text += length ? length : 1) {
		uint32_t character;

		length = decode(text, &character);
		width += length ? width_of(character) : 1;
	}
	return width;
}

void text_cut(char *text, size_t columns)
{
	size_t width = 0;

	for (size_t length; *text; text += length ? length : 1) {
		uint32_t character;

		length = decode(text, &character);
		width += length ? width_of(character) : 1;
		if (width > columns) {
			*text = '\0';
			return;
		}
	}
}

void table_init(struct table *table, size_t columns, const char *const *head)
{
	*table = (struct table){ .columns = columns };
	table_add(table, head);
}

void table_add(struct table *table, const char *const *cells)
{
	char **row = ph_alloc_array(table->columns, sizeof(*row));

	for (size_t i = 0; i < table->columns; i++)
		row[i] = text_clean(cells[i]);
	table->rows = ph_realloc(table->rows, (table->count + 1) * sizeof(*table->rows));
	table->rows[table->count++] = row;
}

void table_print(const struct table *table)
{
	size_t widths[TABLE_COLUMNS] = { 0 };

	for (size_t i = 0; i < table->count; i++) {
		for (size_t j = 0; j < table->columns; j++) {
			size_t width = text_width(table->rows[i][j]);

			if (width > widths[j])
				widths[j] = width;
		}
	}
	for (size_t i = 0; i < table->count; i++) {
		for (size_t j = 0; j < table->columns; j++) {
			size_t pad = j + 1 < table->columns ?
					     widths[j] + 2 - text_width(table->rows[i][j]) :
					     0;

			printf("%s%*s", table->rows[i][j], (int)pad, "");
		}
		putchar('\n');
	}
}

void table_fini(struct table *table)
{
	for (size_t i = 0; i < table->count; i++) {
		for (size_t j = 0; j < table->columns; j++)
			free(table->rows[i][j]);
		free(table->rows[i]);
	}
	free(table->rows);
	*table = (struct table){ 0 };
}

void print_clean(const char *text)
{
	char *clean = text_clean(text);

	fputs(clean, stdout);
	free(clean);
}

void print_padded(const char *text, size_t columns)
{
	char *clean = text_clean(text);
	size_t width = text_width(clean);

	printf("%s%*s", clean, width < columns ? (int)(columns - width) : 0, "");
	free(clean);
}

size_t terminal_columns(void)
{
	struct winsize size;

	if (!isatty(STDOUT_FILENO))
		return 0;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col < 20)
		return 80;
	return size.ws_col;
}

bool has_color(void)
{
	return isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
}

void print_colored(const char *color, const char *text)
{
	char *clean = text_clean(text);

	if (has_color())
		printf("\033[%sm%s\033[0m", color, clean);
	else
		fputs(clean, stdout);
	free(clean);
}
