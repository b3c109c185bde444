/*
 * Aligned tables and safe text for terminals. Texts may come from a container: what could move the
 * cursor or change colours never reaches the terminal.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define TABLE_COLUMNS 12

struct table {
	size_t columns;
	char ***rows; /* owned */
	size_t count;
};

/* Begin a table with its head; columns at most TABLE_COLUMNS. */
void table_init(struct table *table, size_t columns, const char *const *head);

/* Add a row of as many texts as there are columns; they are cleaned and copied. */
void table_add(struct table *table, const char *const *cells);

/* Print it on stdout, two spaces between columns. */
void table_print(const struct table *table);

/* Free the rows. */
void table_fini(struct table *table);

/* Columns that a text takes on a terminal: UTF-8 characters, wide ones as two, combining ones as none. */
size_t text_width(const char *text);

/* Cut a text in place behind the last character that fits into so many columns. */
void text_cut(char *text, size_t columns);

/*
 * Copy a text with control bytes, marks that are invisible or reorder text, and malformed UTF-8
 * replaced by '?'. NULL gives "". The caller frees.
 */
char *text_clean(const char *text);

/* Print a text from elsewhere on stdout, cleaned. */
void print_clean(const char *text);

/* Print it, cleaned, and fill up with spaces to so many columns. */
void print_padded(const char *text, size_t columns);

/* The columns of the terminal on stdout; 0: it is none. */
size_t terminal_columns(void);

/* Whether stdout takes colours: a terminal, and nothing said otherwise. */
bool has_color(void);

/* Print a text in a colour ("31" red, "32" green, "33" yellow) when colours are on. */
void print_colored(const char *color, const char *text);
