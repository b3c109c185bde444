/*
 * liblxc takes a line for "key = value" with blanks around both, and '#' for a comment in the first
 * column that is not blank. Newlines are kept by always ending the last line.
 */
#include "controller/host/lxc/lxc_config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"

#define BLANKS " \t\r"

/* The '=', or the ':' of Proxmox's files, in which lxc.* keys stand among others. */
static const char *find_separator(const char *begin)
{
	size_t word = strcspn(begin, ":=" BLANKS);

	if (strncmp(begin, "lxc.", 4) == 0 && begin[word] == ':')
		return begin + word;
	return strchr(begin, '=');
}

static void split(struct lxc_config_line *line)
{
	const char *begin = line->text + strspn(line->text, BLANKS);
	const char *equals = find_separator(begin);
	size_t key_length, value_length;
	const char *value;

	if (*begin == '#' || !equals)
		return;
	key_length = (size_t)(equals - begin);
	while (key_length > 0 && strchr(BLANKS, begin[key_length - 1]))
		key_length--;
	if (key_length == 0 || memchr(begin, ' ', key_length) || memchr(begin, '\t', key_length))
		return;
	value = equals + 1 + strspn(equals + 1, BLANKS);
	line->head = (size_t)(value - line->text);
	value_length = strlen(value);
	while (value_length > 0 && strchr(BLANKS, value[value_length - 1]))
		value_length--;
	/* liblxc takes quotes around the whole value away. */
	if (value_length >= 2 && (*value == '"' || *value == '\'') &&
	    value[value_length - 1] == *value) {
		value++;
		value_length -= 2;
	}
	line->key = ph_strndup(begin, key_length);
	line->value = ph_strndup(value, value_length);
}

static void add_line(struct lxc_config *config, char *text)
{
	struct lxc_config_line line = { .text = text };

	split(&line);
	config->lines = ph_realloc(config->lines, (config->count + 1) * sizeof(*config->lines));
	config->lines[config->count++] = line;
}

static int check_bytes(const char *text, size_t length, struct ph_error *error)
{
	size_t lines = 0;

	if (length > LXC_CONFIG_TEXT_MAXIMUM)
		return error_set(error, -EFBIG, NULL, NULL, "longer than %d bytes",
				 LXC_CONFIG_TEXT_MAXIMUM);
	for (size_t i = 0; i < length; i++) {
		unsigned char byte = (unsigned char)text[i];

		lines += byte == '\n';
		if ((byte < 0x20 && !strchr("\n\t\r", byte)) || byte == 0 || byte == 0x7f)
			return error_set(error, -EINVAL, NULL, "take it out",
					 "line %zu has the control byte 0x%02x", lines + 1, byte);
	}
	if (lines >= LXC_CONFIG_LINES_MAXIMUM)
		return error_set(error, -EFBIG, NULL, NULL, "it has more than %d lines",
				 LXC_CONFIG_LINES_MAXIMUM);
	return 0;
}

int lxc_config_parse(const char *text, size_t length, struct lxc_config *ret_config,
		     struct ph_error *error)
{
	struct lxc_config config = { 0 };
	int code = check_bytes(text, length, error);

	if (code < 0)
		return code;
	for (const char *end = text + length; text < end;) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t size = (size_t)((newline ? newline : end) - text);

		add_line(&config, ph_strndup(text, size));
		text += size + 1;
		if (!newline)
			break;
	}
	*ret_config = config;
	return 0;
}

static void line_fini(struct lxc_config_line *line)
{
	free(line->text);
	free(line->key);
	free(line->value);
}

void lxc_config_fini(struct lxc_config *config)
{
	for (size_t i = 0; i < config->count; i++)
		line_fini(&config->lines[i]);
	free(config->lines);
	*config = (struct lxc_config){ 0 };
}

static bool is_key(const struct lxc_config_line *line, const char *key)
{
	return line->key && strcmp(line->key, key) == 0;
}

static struct lxc_config_line *find_last(const struct lxc_config *config, const char *key)
{
	for (size_t i = config->count; i > 0; i--)
		if (is_key(&config->lines[i - 1], key))
			return &config->lines[i - 1];
	return NULL;
}

const char *lxc_config_get(const struct lxc_config *config, const char *key)
{
	const struct lxc_config_line *line = find_last(config, key);

	return line ? line->value : NULL;
}

const char *lxc_config_next(const struct lxc_config *config, const char *key, size_t *index)
{
	size_t first = 0;

	for (size_t i = 0; i < config->count; i++)
		if (is_key(&config->lines[i], key) && !config->lines[i].value[0])
			first = i + 1;
	for (size_t i = *index > first ? *index : first; i < config->count; i++) {
		if (!is_key(&config->lines[i], key))
			continue;
		*index = i + 1;
		return config->lines[i].value;
	}
	*index = config->count;
	return NULL;
}

void lxc_config_set(struct lxc_config *config, const char *key, const char *value)
{
	struct lxc_config_line *line = find_last(config, key);
	struct lxc_config_line new = { 0 };

	if (!line) {
		lxc_config_append(config, key, value);
		return;
	}
	if (strcmp(line->value, value) == 0)
		return;
	/* Up to its value the line stays as its author likes it. */
	new.text = ph_format("%.*s%s", (int)line->head, line->text, value);
	split(&new);
	line_fini(line);
	*line = new;
}

void lxc_config_append(struct lxc_config *config, const char *key, const char *value)
{
	add_line(config, ph_format("%s = %s", key, value));
}

void lxc_config_comment(struct lxc_config *config, const char *text)
{
	add_line(config, ph_format("# %s", text));
}

void lxc_config_format(const struct lxc_config *config, struct str *ret_text)
{
	*ret_text = STR_INIT;
	for (size_t i = 0; i < config->count; i++) {
		str_append(ret_text, config->lines[i].text);
		str_append(ret_text, "\n");
	}
}

/* ---- what the values mean ---- */

struct id_map {
	unsigned int lines;
	uint64_t inside, outside, count;
};

static int read_map(const char *value, struct id_map maps[2], struct ph_error *error)
{
	uint64_t inside, outside, count;
	char kind, rest;

	if (sscanf(value, "%c %" SCNu64 " %" SCNu64 " %" SCNu64 " %c", &kind, &inside, &outside,
		   &count, &rest) != 4 ||
	    (kind != 'u' && kind != 'g'))
		return error_set(error, -ENOTSUP, NULL, NULL, "lxc.idmap = %.60s is no id map",
				 value);
	maps[kind == 'g'].lines++;
	maps[kind == 'g'].inside = inside;
	maps[kind == 'g'].outside = outside;
	maps[kind == 'g'].count = count;
	return 0;
}

int lxc_config_id_map(const struct lxc_config *config, uint32_t *ret_base, uint32_t *ret_count,
		      struct ph_error *error)
{
	struct id_map maps[2] = { 0 };
	const char *value;
	size_t index = 0;
	int code = 0;

	while (code == 0 && (value = lxc_config_next(config, "lxc.idmap", &index)))
		code = read_map(value, maps, error);
	if (code < 0)
		return code;
	if (!maps[0].lines && !maps[1].lines)
		return error_set(error, -ENOENT, NULL,
				 "give it ids of its own: lxc.idmap = u 0 100000 65536, and the same "
				 "with g",
				 "there is no lxc.idmap in its configuration: its root is the host's");
	if (maps[0].lines != 1 || maps[1].lines != 1 || maps[0].inside || maps[1].inside ||
	    maps[0].outside != maps[1].outside || maps[0].count != maps[1].count)
		return error_set(error, -ENOTSUP, NULL,
				 "use one range: lxc.idmap = u 0 100000 65536, and the same with g",
				 "its id map is not one range from 0 on, equal for users and groups");
	if (maps[0].outside < 65536 || maps[0].count < 65536 ||
	    maps[0].outside + maps[0].count > UINT32_MAX)
		return error_set(error, -ENOTSUP, NULL, "use a range above 65536 of 65536 ids",
				 "its ids are %" PRIu64 " from %" PRIu64 " on", maps[0].count,
				 maps[0].outside);
	*ret_base = (uint32_t)maps[0].outside;
	*ret_count = (uint32_t)maps[0].count;
	return 0;
}

/* "SOURCE TARGET TYPE OPTIONS 0 0", as in fstab. */
const char *lxc_config_mounted_at(const struct lxc_config *config, const char *target,
				  size_t *ret_length)
{
	const char *entry, *found = NULL;
	size_t index = 0;

	while ((entry = lxc_config_next(config, "lxc.mount.entry", &index))) {
		size_t source = strcspn(entry, " \t");
		const char *second = entry + source + strspn(entry + source, " \t");
		size_t length = strcspn(second, " \t");

		second += *second == '/';
		length -= length > 0 && second[-1] == '/';
		if (length != strlen(target) || strncmp(second, target, length) != 0)
			continue;
		found = entry;
		*ret_length = source;
	}
	return found;
}
