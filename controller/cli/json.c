#include "controller/cli/json.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/memory.h"
#include "common/str.h"

static json_t *from_text(const char *text)
{
	json_t *value = json_string(text ? text : "");
	struct str kept = STR_INIT;

	if (value)
		return value;
	/* Not UTF-8: what is not comes as \xNN. */
	for (size_t length; *text; text += length ? length : 1) {
		length = text_character(text);
		if (length)
			str_append_bytes(&kept, text, length);
		else
			str_appendf(&kept, "\\x%02x", (unsigned char)*text);
	}
	value = json_string(str_text(&kept));
	str_fini(&kept);
	return value;
}

static json_t *from_bytes(const ProtobufCBinaryData *data)
{
	char *text = ph_alloc(2 * data->len + 1);
	json_t *value = json_string(bytes_to_hex(data->data, data->len, text));

	free(text);
	return value;
}

static json_t *from_enum(const ProtobufCFieldDescriptor *field, int number)
{
	const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(field->descriptor,
									       number);

	return value ? json_string(value->name) : json_integer(number);
}

/* Numbers beyond jansson's integers stay numbers, if not exact ones. */
static json_t *from_u64(uint64_t value)
{
	return value <= INT64_MAX ? json_integer((json_int_t)value) : json_real((double)value);
}

/* JSON has neither infinity nor NaN. */
static json_t *from_real(double value)
{
	json_t *real = json_real(value);

	return real ? real : json_null();
}

static json_t *from_value(const ProtobufCFieldDescriptor *field, const void *value)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		return from_text(*(char *const *)value);
	case PROTOBUF_C_TYPE_BYTES:
		return from_bytes(value);
	case PROTOBUF_C_TYPE_MESSAGE: {
		const ProtobufCMessage *message = *(const ProtobufCMessage *const *)value;

		return message ? json_from_message(message) : json_null();
	}
	case PROTOBUF_C_TYPE_ENUM:
		return from_enum(field, *(const int *)value);
	case PROTOBUF_C_TYPE_BOOL:
		return json_boolean(*(const protobuf_c_boolean *)value);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return json_integer(*(const uint32_t *)value);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return from_u64(*(const uint64_t *)value);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return json_integer((json_int_t) * (const int64_t *)value);
	case PROTOBUF_C_TYPE_FLOAT:
		return from_real((double)*(const float *)value);
	case PROTOBUF_C_TYPE_DOUBLE:
		return from_real(*(const double *)value);
	default:
		return json_integer(*(const int32_t *)value);
	}
}

/* How far apart the elements of a repeated field lie. */
static size_t size_of(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	default:
		return 4;
	}
}

static json_t *from_repeated(const ProtobufCFieldDescriptor *field, const char *message)
{
	size_t count = *(const size_t *)(message + field->quantifier_offset);
	const char *items = *(const char *const *)(message + field->offset);
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, from_value(field, items + i * size_of(field->type)));
	return array;
}

json_t *json_from_message(const ProtobufCMessage *message)
{
	json_t *object = json_object();

	for (unsigned int i = 0; i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
		const char *base = (const char *)message;

		json_object_set_new(object, field->name,
				    field->label == PROTOBUF_C_LABEL_REPEATED ?
					    from_repeated(field, base) :
					    from_value(field, base + field->offset));
	}
	return object;
}

void json_print(const ProtobufCMessage *message, bool as_line)
{
	json_t *object = json_from_message(message);

	/* Pure ASCII: the texts keep every byte, and none of them works on a terminal. */
	json_dumpf(object, stdout, JSON_ENSURE_ASCII | (as_line ? JSON_COMPACT : JSON_INDENT(2)));
	putchar('\n');
	json_decref(object);
}
