/*
 * libyaml's events are turned into the tree as they come, so that every limit holds before the next
 * token is read: a text of a million brackets ends at the seventeenth.
 */
#include "common/yaml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#include "common/cleanup.h"
#include "common/memory.h"

#define FILE_SHOWN 180 /* bytes of a file name in an error: the line must fit behind it */

struct reader {
	yaml_parser_t parser;
	const char *file; /* borrowed */
	const char *text; /* borrowed */
	size_t length;
	size_t nodes;
	struct ph_error *error; /* borrowed; may be NULL */
};

PH_DEFINE_CLEANUP(struct yaml_node *, yaml_node_free);

#define AUTO_NODE PH_CLEANUP(yaml_node_free_cleanup)
#define AUTO_EVENT PH_CLEANUP(yaml_event_delete)

int yaml_error(const char *file, unsigned int line, unsigned int column, struct ph_error *error,
	       const char *remedy, const char *why, ...)
{
	size_t length = strlen(file);
	const char *shown = length > FILE_SHOWN ? file + length - FILE_SHOWN : file;
	char where[sizeof(error->where)], text[sizeof(error->why)];
	va_list arguments;

	va_start(arguments, why);
	vsnprintf(text, sizeof(text), why, arguments);
	va_end(arguments);
	snprintf(where, sizeof(where), "%s%s:%u:%u", shown == file ? "" : "…", shown, line, column);
	return error_set(error, -EINVAL, where, remedy, "%s", text);
}

static int fail_at(struct reader *reader, const yaml_mark_t *mark, const char *remedy,
		   const char *why)
{
	return yaml_error(reader->file, (unsigned int)mark->line + 1,
			  (unsigned int)mark->column + 1, reader->error, remedy, "%s", why);
}

/* Whether the blanks at the beginning of a line contain a tab. */
static bool is_indented_by_tab(const struct reader *reader, size_t line)
{
	const char *at = reader->text, *end = reader->text + reader->length;

	while (line-- > 0) {
		at = memchr(at, '\n', (size_t)(end - at));
		if (!at)
			return false;
		at++;
	}
	while (at < end && *at == ' ')
		at++;
	return at < end && *at == '\t';
}

/* Invalid UTF-8 and the like: libyaml gives an offset only. */
static int fail_reading(struct reader *reader)
{
	yaml_mark_t mark = { 0 };

	for (size_t i = 0; i < reader->parser.problem_offset && i < reader->length; i++) {
		mark.column++;
		if (reader->text[i] == '\n') {
			mark.line++;
			mark.column = 0;
		}
	}
	return fail_at(reader, &mark, "save the file as UTF-8 text without control bytes",
		       "this is not text");
}

static int fail_parsing(struct reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;
	char why[200];

	if (parser->error == YAML_MEMORY_ERROR)
		abort();
	if (parser->error == YAML_READER_ERROR)
		return fail_reading(reader);
	if (is_indented_by_tab(reader, parser->problem_mark.line))
		return fail_at(reader, &parser->problem_mark,
			       "indent with spaces: YAML allows no tabs there",
			       "the line is indented with a tab");
	snprintf(why, sizeof(why), "this is not YAML: %s%s%s", parser->problem,
		 parser->context ? ", " : "", parser->context ? parser->context : "");
	return fail_at(reader, &parser->problem_mark,
		       "look for a missing ':' or '-', a wrong indentation or an open quote here "
		       "or in the line above",
		       why);
}

static int next_event(struct reader *reader, yaml_event_t *ret_event)
{
	if (!yaml_parser_parse(&reader->parser, ret_event)) {
		/* the cleanup of an event that was never made */
		memset(ret_event, 0, sizeof(*ret_event));
		return fail_parsing(reader);
	}
	return 0;
}

static int check_extras(struct reader *reader, const yaml_event_t *event)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;

	if (event->type == YAML_ALIAS_EVENT)
		anchor = event->data.alias.anchor;
	else if (event->type == YAML_SCALAR_EVENT) {
		anchor = event->data.scalar.anchor;
		tag = event->data.scalar.tag;
	} else if (event->type == YAML_SEQUENCE_START_EVENT) {
		anchor = event->data.sequence_start.anchor;
		tag = event->data.sequence_start.tag;
	} else if (event->type == YAML_MAPPING_START_EVENT) {
		anchor = event->data.mapping_start.anchor;
		tag = event->data.mapping_start.tag;
	}
	if (anchor)
		return fail_at(reader, &event->start_mark, "write the value out where it is needed",
			       "anchors and aliases (& and *) are not accepted here");
	if (tag)
		return fail_at(reader, &event->start_mark, "leave the tag out",
			       "tags (!) are not accepted here");
	return 0;
}

static struct yaml_node *new_node(struct reader *reader, const yaml_event_t *event,
				  enum yaml_kind kind)
{
	struct yaml_node *node = ph_alloc(sizeof(*node));

	node->kind = kind;
	node->file = reader->file;
	node->line = (unsigned int)event->start_mark.line + 1;
	node->column = (unsigned int)event->start_mark.column + 1;
	return node;
}

static int read_scalar(struct reader *reader, const yaml_event_t *event,
		       struct yaml_node **ret_node)
{
	const unsigned char *value = event->data.scalar.value;
	struct yaml_node *node;

	for (size_t i = 0; i < event->data.scalar.length; i++)
		if (value[i] < 0x20 || value[i] == 0x7f)
			return fail_at(reader, &event->start_mark,
				       "every value here is one line of text",
				       "the value contains a line break or a control byte");
	node = new_node(reader, event, YAML_SCALAR);
	node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	node->text = ph_strndup((const char *)value, event->data.scalar.length);
	*ret_node = node;
	return 0;
}

static bool is_power_of_two(size_t count)
{
	return (count & (count - 1)) == 0;
}

/* Append to a list or, with a key, to a map. */
static void add_item(struct yaml_node *node, struct yaml_node *key, struct yaml_node *item)
{
	if (is_power_of_two(node->count)) {
		size_t capacity = node->count ? 2 * node->count : 1;

		node->items = ph_realloc(node->items, capacity * sizeof(*node->items));
		if (key)
			node->keys = ph_realloc(node->keys, capacity * sizeof(*node->keys));
	}
	if (key)
		node->keys[node->count] = key;
	node->items[node->count++] = item;
}

static int read_node(struct reader *reader, const yaml_event_t *event, unsigned int depth,
		     struct yaml_node **ret_node);

static int read_list(struct reader *reader, const yaml_event_t *start, unsigned int depth,
		     struct yaml_node **ret_node)
{
	AUTO_NODE struct yaml_node *node = new_node(reader, start, YAML_LIST);

	for (;;) {
		AUTO_EVENT yaml_event_t event = { 0 };
		struct yaml_node *item;
		int ret = next_event(reader, &event);

		if (ret < 0)
			return ret;
		if (event.type == YAML_SEQUENCE_END_EVENT)
			break;
		ret = read_node(reader, &event, depth + 1, &item);
		if (ret < 0)
			return ret;
		add_item(node, NULL, item);
	}
	*ret_node = take_pointer(node);
	return 0;
}

static int check_key(struct reader *reader, const struct yaml_node *map,
		     const struct yaml_node *key, const yaml_event_t *event)
{
	if (key->kind != YAML_SCALAR)
		return fail_at(reader, &event->start_mark, "write the key as a plain word",
			       "a list or a map cannot be a key");
	if (map->count >= YAML_KEYS_MAXIMUM)
		return fail_at(reader, &event->start_mark, NULL, "this map has too many keys");
	for (size_t i = 0; i < map->count; i++)
		if (strcmp(map->keys[i]->text, key->text) == 0)
			return yaml_error(key->file, key->line, key->column, reader->error,
					  "keep one of the two",
					  "key '%.60s' was given before, in line %u", key->text,
					  map->keys[i]->line);
	return 0;
}

static int read_pair(struct reader *reader, struct yaml_node *map, const yaml_event_t *event,
		     unsigned int depth)
{
	AUTO_NODE struct yaml_node *key = NULL;
	AUTO_EVENT yaml_event_t value_event = { 0 };
	struct yaml_node *value;
	int ret = read_node(reader, event, depth, &key);

	if (ret == 0)
		ret = check_key(reader, map, key, event);
	if (ret == 0)
		ret = next_event(reader, &value_event);
	if (ret == 0)
		ret = read_node(reader, &value_event, depth, &value);
	if (ret == 0)
		add_item(map, take_pointer(key), value);
	return ret;
}

static int read_map(struct reader *reader, const yaml_event_t *start, unsigned int depth,
		    struct yaml_node **ret_node)
{
	AUTO_NODE struct yaml_node *node = new_node(reader, start, YAML_MAP);

	for (;;) {
		AUTO_EVENT yaml_event_t event = { 0 };
		int ret = next_event(reader, &event);

		if (ret < 0)
			return ret;
		if (event.type == YAML_MAPPING_END_EVENT)
			break;
		ret = read_pair(reader, node, &event, depth + 1);
		if (ret < 0)
			return ret;
	}
	*ret_node = take_pointer(node);
	return 0;
}

/* Read the node that an event begins; depth counts the lists and maps around it. */
static int read_node(struct reader *reader, const yaml_event_t *event, unsigned int depth,
		     struct yaml_node **ret_node)
{
	int ret = check_extras(reader, event);

	if (ret < 0)
		return ret;
	if (++reader->nodes > YAML_NODES_MAXIMUM)
		return fail_at(reader, &event->start_mark, "split the file",
			       "the file has too many values");
	if (event->type == YAML_SCALAR_EVENT)
		return read_scalar(reader, event, ret_node);
	if (depth >= YAML_DEPTH_MAXIMUM)
		return fail_at(reader, &event->start_mark,
			       "write it flatter: no file of ours needs more than five levels",
			       "lists and maps are nested too deeply");
	if (event->type == YAML_SEQUENCE_START_EVENT)
		return read_list(reader, event, depth, ret_node);
	return read_map(reader, event, depth, ret_node);
}

/* Read the event that must come next in a well-formed stream. */
static int skip_event(struct reader *reader)
{
	AUTO_EVENT yaml_event_t event = { 0 };

	return next_event(reader, &event);
}

static int read_stream(struct reader *reader, struct yaml_node **ret_root)
{
	AUTO_NODE struct yaml_node *root = NULL;
	AUTO_EVENT yaml_event_t begin = { 0 }, event = { 0 }, end = { 0 };
	int ret = skip_event(reader); /* the stream's start */

	if (ret == 0)
		ret = next_event(reader, &begin);
	if (ret < 0)
		return ret;
	if (begin.type == YAML_STREAM_END_EVENT)
		return YAML_EMPTY;
	ret = next_event(reader, &event);
	if (ret == 0)
		ret = read_node(reader, &event, 0, &root);
	if (ret == 0)
		ret = skip_event(reader); /* the document's end */
	if (ret == 0)
		ret = next_event(reader, &end);
	if (ret < 0)
		return ret;
	if (end.type != YAML_STREAM_END_EVENT)
		return fail_at(reader, &end.start_mark, "remove the '---' or split the file",
			       "there is a second document");
	*ret_root = take_pointer(root);
	return 0;
}

int yaml_parse(const char *file, const char *text, size_t length, struct yaml_node **ret_root,
	       struct ph_error *error)
{
	struct reader reader = { .file = file, .text = text, .length = length, .error = error };
	int ret;

	if (length > YAML_TEXT_MAXIMUM)
		return error_set(error, -EFBIG, file, "split the file",
				 "the file is larger than %d bytes", YAML_TEXT_MAXIMUM);
	if (!yaml_parser_initialize(&reader.parser))
		abort(); /* out of memory */
	yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, length);
	ret = read_stream(&reader, ret_root);
	yaml_parser_delete(&reader.parser);
	return ret;
}

int yaml_read(int fd, const char *file, char **ret_text, size_t *ret_length, struct ph_error *error)
{
	PH_AUTO_FREE char *text = NULL;
	size_t length = 0, capacity = 0;
	ssize_t count;

	do {
		if (length == capacity) {
			capacity = capacity ? 2 * capacity : 16384;
			text = ph_realloc(text, capacity);
		}
		count = read(fd, text + length, capacity - length);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return error_errno(error, -errno, file, NULL, "read");
		length += (size_t)count;
		if (length > YAML_TEXT_MAXIMUM)
			return error_set(error, -EFBIG, file, "split the file",
					 "the file is larger than %d bytes", YAML_TEXT_MAXIMUM);
	} while (count != 0);
	*ret_text = take_pointer(text);
	*ret_length = length;
	return 0;
}

void yaml_node_free(struct yaml_node *node)
{
	if (!node)
		return;
	for (size_t i = 0; i < node->count; i++) {
		if (node->keys)
			yaml_node_free(node->keys[i]);
		yaml_node_free(node->items[i]);
	}
	free(node->keys);
	free(node->items);
	free(node->text);
	free(node);
}
