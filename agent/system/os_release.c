/* os-release is written by the container's owner: data, read without trusting its form. */
#include "agent/system/os_release.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"

struct field {
	const char *key;
	size_t offset;
	size_t size;
};

#define FIELD(key, member)                                                                         \
	{                                                                                          \
		key, offsetof(struct os_release, member), sizeof(((struct os_release *)0)->member) \
	}

static const struct field fields[] = {
	FIELD("ID", id),
	FIELD("ID_LIKE", id_like),
	FIELD("VERSION_ID", version_id),
	FIELD("VERSION_CODENAME", codename),
	FIELD("PRETTY_NAME", pretty_name),
};

/* Copy the value without its quotes and backslashes; what does not fit is cut. */
static void value_take(const char *value, size_t length, char *buffer, size_t size)
{
	char quote = length > 0 && (value[0] == '"' || value[0] == '\'') ? value[0] : '\0';
	size_t kept = 0, i = quote ? 1 : 0;

	for (; i < length && kept + 1 < size; i++) {
		if (quote && value[i] == quote)
			break;
		if (value[i] == '\\' && quote != '\'' && i + 1 < length)
			i++;
		buffer[kept++] = value[i];
	}
	buffer[kept] = '\0';
}

static void field_take(const char *key, size_t key_length, const char *value, size_t length,
		       struct os_release *release)
{
	for (size_t i = 0; i < ARRAY_LENGTH(fields); i++)
		if (strlen(fields[i].key) == key_length &&
		    strncmp(fields[i].key, key, key_length) == 0)
			value_take(value, length, (char *)release + fields[i].offset,
				   fields[i].size);
}

static int line_error(const char *path, size_t number, struct ph_error *error)
{
	char where[256];

	snprintf(where, sizeof(where), "%s:%zu", path, number);
	return error_set(error, -EINVAL, where, "write it as os-release(5) describes: NAME=value",
			 "the line is not an assignment");
}

int os_release_parse(const char *path, const char *text, struct os_release *ret_release,
		     struct ph_error *error)
{
	struct os_release release = { 0 };
	size_t number = 1;

	for (const char *line = text; *line; number++) {
		size_t length = strcspn(line, "\n"), start = strspn(line, " \t");
		size_t key_length = strcspn(line + start, "=\n");

		if (line[start] != '\n' && line[start] != '#' && line[start] != '\0') {
			if (key_length == 0 || line[start + key_length] != '=')
				return line_error(path, number, error);
			field_take(line + start, key_length, line + start + key_length + 1,
				   length - start - key_length - 1, &release);
		}
		line += length + (line[length] == '\n');
	}
	if (!release.id[0])
		return error_set(error, -EINVAL, path, "use an image whose os-release has an ID",
				 "it does not say which distribution this is: no ID= line");
	*ret_release = release;
	return 0;
}
