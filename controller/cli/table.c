#include "controller/cli/table.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "common/memory.h"
#include "common/str.h"

/* Decode one UTF-8 character; returns its length, 0 when it is malformed or over-long. */
static size_t decode(const unsigned char *text, uint32_t *ret_character)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t length = text[0] < 0x80 ? 1 : text[0] < 0xc2 ? 0 : text[0] < 0xe0 ? 2 :
			text[0] < 0xf0 ? 3 : text[0] < 0xf5 ? 4 : 0;
	uint32_t character = length == 1 ? text[0] : text[0] & (0x7fu >> length);

	if (length == 0)
		return 0;
	for (size_t i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		character = character << 6 | (text[i] & 0x3f);
	}
	if (character < smallest[length] || character > 0x10ffff ||
	    (character >= 0xd800 && character < 0xe000))
		return 0;
	*ret_character = character;
	return length;
}

/* C0, DEL, C1, and the marks that reorder text: a name could disguise itself with them. */
static bool is_dangerous(uint32_t character)
{
	return character < 0x20 || (character >= 0x7f && character < 0xa0) ||
	       (character >= 0x200e && character <= 0x200f) ||
	       (character >= 0x2028 && character <= 0x202e) ||
	       (character >= 0x2066 && character <= 0x2069);
}

char *text_clean(const char *text)
{
	const unsigned char *bytes = (const unsigned char *)(text ? text : "");
	struct str clean = STR_INIT;

	while (*bytes) {
		uint32_t character = 0;
		size_t length = decode(bytes, &character);

		if (length == 0 || is_dangerous(character))
			str_append(&clean, "?");
		else
			str_append_bytes(&clean, bytes, length);
		bytes += length ? length : 1;
	}
	return str_take(&clean);
}

static bool is_wide(uint32_t character)
{
	return (character >= 0x1100 && character <= 0x115f) ||
	       (character >= 0x2e80 && character <= 0xa4cf) ||
	       (character >= 0xac00 && character <= 0xd7a3) ||
	       (character >= 0xf900 && character <= 0xfaff) ||
	       (character >= 0xfe30 && character <= 0xfe6f) ||
	       (character >= 0xff00 && character <= 0xff60) ||
	       (character >= 0x1f300 && character <= 0x1faff) || character >= 0x20000;
}

size_t text_width(const char *text)
{
	const unsigned char *bytes = (const unsigned char *)text;
	size_t width = 0;

	while (*bytes) {
		uint32_t character = 0;
		size_t length = decode(bytes, &character);

		width += is_wide(character) ? 2 : 1;
		bytes += length ? length : 1;
	}
	return width;
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
					     widths[j] + 2 - text_width(table->rows[i][j]) : 0;

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
