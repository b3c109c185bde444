#include "controller/host/tree/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/memory.h"
#include "common/str.h"
#include "controller/host/tree/tree.h"

#define RECORD_MAXIMUM 65536

int record_load(int dir, const char *file, json_t **ret_record, struct ph_error *error)
{
	PH_AUTO_FREE char *text = NULL;
	json_error_t reason;
	size_t length;
	json_t *record;
	int result = tree_read_small(dir, file, RECORD_MAXIMUM, &text, &length, error);

	if (result < 0)
		return result;
	record = json_loadb(text, length, JSON_REJECT_DUPLICATES, &reason);
	if (!json_is_object(record)) {
		json_decref(record);
		return error_set(error, -EBADMSG, file, NULL, "damaged record: %s", reason.text);
	}
	*ret_record = record;
	return 0;
}

int record_save(int dir, const char *file, const json_t *record, struct ph_error *error)
{
	const struct tree_owner owner = { 0, 0, 0600 };
	PH_AUTO_FREE char *text = json_dumps(record, JSON_INDENT(1) | JSON_SORT_KEYS);
	int result;

	if (!text)
		return error_set(error, -EINVAL, file, NULL, "record cannot be written as JSON");
	result = tree_write_file(dir, file, text, strlen(text), &owner, error);
	return result < 0 ? result : 0;
}

void record_set_text(json_t *record, const char *key, const char *text)
{
	PH_AUTO_FREE char *copy = ph_strdup(text ? text : "");

	for (char *at = copy; *at; at++)
		if (((unsigned char)*at < 0x20 && *at != '\n' && *at != '\t') || *at == 0x7f)
			*at = '?';
	if (json_object_set_new(record, key, json_string(copy)) == 0)
		return;
	for (char *at = copy; *at; at++)
		if ((unsigned char)*at >= 0x80)
			*at = '?';
	json_object_set_new(record, key, json_string(copy));
}

void record_set_number(json_t *record, const char *key, uint64_t number)
{
	json_object_set_new(record, key, json_integer((json_int_t)number));
}

bool record_text(const json_t *record, const char *key, char *buffer, size_t size)
{
	const json_t *value = json_object_get(record, key);

	return json_is_string(value) && text_copy(buffer, size, json_string_value(value));
}

bool record_number(const json_t *record, const char *key, uint64_t maximum, uint64_t *ret_number)
{
	const json_t *value = json_object_get(record, key);

	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
	    (uint64_t)json_integer_value(value) > maximum)
		return false;
	*ret_number = (uint64_t)json_integer_value(value);
	return true;
}

bool record_flag(const json_t *record, const char *key, bool *ret_flag)
{
	const json_t *value = json_object_get(record, key);

	if (!json_is_boolean(value))
		return false;
	*ret_flag = json_is_true(value);
	return true;
}
